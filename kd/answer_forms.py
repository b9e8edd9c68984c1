"""The forms of a file of answers: rows as a piece of CSV, TSV or JSON lines, lines as Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.readers.texts import Form, RejectedRow
from kd.answer_columns import Columns, Value

REJECTED_HEADER = b"id,row,line,reason\n"
# Rows of a Parquet row group.
GROUP_ROWS = 16_384
TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}


def header_bytes(form: Form, columns: Columns) -> bytes:
    """What a file of answers begins with."""
    return b"" if form == "jsonl" else answer_bytes(form, columns, [columns.names])


def answer_bytes(form: Form, columns: Columns, rows: Sequence[Sequence[Value]]) -> bytes:
    """Rows of answers as a piece of a file; numbers have six decimals."""
    if form == "jsonl":
        return b"".join(_json_line(columns, row) for row in rows)
    between = "\t" if form == "tsv" else ","
    return _csv([map(_cell, row) for row in rows], between, columns.csv_line_end)


def rejected_bytes(rows: Sequence[RejectedRow]) -> bytes:
    """Rejected rows as a piece of a CSV file: id, row, line and reason, and nothing of the text."""
    return _csv([(row.id, row.number, row.line, row.reason) for row in rows], ",", "\n")


def write_parquet(lines: Path, target: Path, columns: Columns) -> None:
    """Make a Parquet file of JSON lines, some thousand rows at a time."""
    fields = zip(columns.names, columns.kinds, strict=True)
    schema = pa.schema([(name, TYPES[kind]) for name, kind in fields])
    with lines.open(encoding="utf-8") as file, pq.ParquetWriter(target, schema) as writer:
        while group := [json.loads(line) for line in islice(file, GROUP_ROWS)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))


def _json_line(columns: Columns, row: Sequence[Value]) -> bytes:
    values = (round(value, 6) if isinstance(value, float) else value for value in row)
    line = json.dumps(dict(zip(columns.names, values, strict=True)), ensure_ascii=False)
    return f"{line}\n".encode()


def _cell(value: Value) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _csv(rows: Iterable[Iterable[object]], between: str, line_end: str) -> bytes:
    lines = []
    for row in rows:
        line = io.StringIO()
        # The module quotes \r and \n only where its own line end has them.
        csv.writer(line, delimiter=between, lineterminator="\r\n").writerow(row)
        lines.append(line.getvalue().removesuffix("\r\n") + line_end)
    return "".join(lines).encode()
