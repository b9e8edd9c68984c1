"""Reader of a user's own table: any CSV, TSV, JSONL or Parquet file with named columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.cleaning import SURROGATE
from data.errors import InputError
from data.readers.compressed import ending_of
from data.readers.record import (
    Record,
    Row,
    bounded_lines,
    check_header,
    csv_cells,
    csv_rows,
    json_cells,
    lines_of,
    open_text,
)


@dataclass(frozen=True)
class Columns:
    """The columns of a user's table; None where the table has no such column."""

    text: str = "text"
    label: str | None = "label"
    context: str | None = None
    key: str | None = None
    group: str | None = None
    rationale: str | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that must be there."""
        return tuple(name for name in vars(self).values() if name is not None)

    def record(self, row: Row) -> Record:
        """The row as a record; rationale parts are divided by `|`, an empty label is unknown."""
        cells = row.cells
        parts = cells[self.rationale].split("|") if self.rationale else None
        return Record(
            where=row.where,
            text=cells[self.text],
            label=(cells[self.label].strip() or None) if self.label else None,
            text_column=self.text,
            label_column=self.label or "",
            context=cells[self.context] if self.context else None,
            key=cells[self.key] if self.key else None,
            group=cells[self.group] if self.group else None,
            parts=tuple(part for part in parts if part.strip()) if parts is not None else None,
        )


def read_table(path: Path, *, columns: Columns, encoding: str = "utf-8") -> Iterator[Record]:
    """Records from the columns named.

    Raises InputError for an unknown file ending or a missing column.
    """
    return map(columns.record, table_rows(path, columns.wanted, encoding))


def table_rows(path: Path, wanted: tuple[str, ...], encoding: str = "utf-8") -> Iterator[Row]:
    """Rows with the wanted columns.

    Raises InputError for an unknown file ending or a missing column.
    """
    ending = ending_of(path)
    if ending == ".csv":
        return csv_rows(path, wanted, encoding=encoding)
    if ending == ".tsv":
        return csv_rows(path, wanted, delimiter="\t", encoding=encoding)
    if ending in (".jsonl", ".ndjson"):
        return _jsonl_rows(path, wanted, encoding)
    if ending == ".parquet":
        return _parquet_rows(path, wanted)
    raise InputError(f"{path}: {ending!r} is no table: give .csv, .tsv, .jsonl or .parquet")


def header_of(path: Path, encoding: str = "utf-8") -> list[str]:
    """The names of a table's columns, of JSON lines the first one's keys; none of an empty file.

    Raises InputError for an unknown file ending or a first line that is no row.
    """
    ending = ending_of(path)
    if ending in (".csv", ".tsv"):
        with open_text(path, encoding) as file:
            first = next(csv_cells(bounded_lines(file), "," if ending == ".csv" else "\t"), None)
        if first is not None and isinstance(first[1], str):
            raise InputError(f"{path}:{first[0]}: {first[1]}")
        return [name.strip() for name in first[1]] if first is not None else []
    if ending in (".jsonl", ".ndjson"):
        line = next(lines_of(path, encoding), None)
        return list(_json_object(*line)) if line is not None else []
    if ending == ".parquet":
        return list(_parquet_file(path).schema_arrow.names)
    raise InputError(f"{path}: {ending!r} is no table: give .csv, .tsv, .jsonl or .parquet")


def _json_object(where: str, line: str) -> dict[str, Any]:
    cells = json_cells(line)
    if isinstance(cells, str):
        raise InputError(f"{where}: {cells}: write one object a line")
    return cells


def _jsonl_rows(path: Path, wanted: tuple[str, ...], encoding: str) -> Iterator[Row]:
    for where, line in lines_of(path, encoding):
        cells = _json_object(where, line)
        check_header(where, list(cells), wanted)
        row = Row(where, {name: cell_text(cells[name]) for name in wanted})
        for name, cell in row.cells.items():
            # JSON can write half of an emoji (\ud83d); nothing that stores text can.
            if SURROGATE.search(cell):
                raise InputError(
                    f"{where}, column {name!r}: holds half a surrogate pair: write the whole sign"
                )
        yield row


def _parquet_file(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise InputError(f"{path}: no such file: check the path, and data.root for a task's files")
    try:
        return pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: is not a Parquet file: {error}") from None


def _parquet_rows(path: Path, wanted: tuple[str, ...]) -> Iterator[Row]:
    table = _parquet_file(path)
    check_header(str(path), table.schema_arrow.names, wanted)
    number = 0
    try:
        for batch in table.iter_batches(columns=list(wanted)):
            for cells in batch.to_pylist():
                number += 1
                yield Row(f"{path}:row {number}", {k: cell_text(v) for k, v in cells.items()})
    except UnicodeDecodeError:
        raise InputError(f"{path}: a string behind row {number} is not UTF-8") from None
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: can't be read behind row {number}: {first}") from None


def cell_text(value: Any) -> str:
    """A typed cell as text: null is empty, a list is its items divided by `|`."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(str, value))
    return str(value)
