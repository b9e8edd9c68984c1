"""Reader of texts to be answered: a row with a fault is rejected alone, the next one is read."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, islice
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, Literal, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from data.cleaning import fault_of
from data.errors import InputError, shown_header
from data.readers.compressed import DAMAGED, ending_of, open_bytes
from data.readers.record import (
    ROW_CHARACTERS,
    bounded_lines,
    csv_cells,
    json_cells,
    unreadable,
)

Form = Literal["lines", "csv", "tsv", "jsonl", "parquet"]
FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
TEXT_COLUMNS = ("text", "response_post")
CONTEXT_COLUMNS = ("context", "seeker_post")
OTHER_COLUMNS = (*CONTEXT_COLUMNS, "id")
# Lines of JSON of which one must have a text.
FIRST_LINES = 100
# Rows of a Parquet file that are Python objects at one time.
BATCH_ROWS = 1024
# The types of a Parquet file's strings.
STRINGS = (pa.string(), pa.large_string(), pa.string_view())
KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class TextRow:
    """A text to be answered, as its file says it, and its context or an empty one.

    `number` is that of the row, the first is 1; `line` the one on which it starts, None in
    Parquet; `id` the row's own or its number.
    """

    number: int
    line: int | None
    id: str
    text: str
    context: str
    has_own_id: bool = False


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that can't be answered, and why; `id` is empty where it can't be known."""

    number: int
    line: int | None
    id: str
    reason: str


def fault_in(path: Path, row: TextRow | RejectedRow) -> str | None:
    """Where and why a row of a file can't be read, without its text; None of a good one."""
    if isinstance(row, RejectedRow):
        return f"{path}, row {row.number}: {row.reason}"
    fault = fault_of(row.text)
    return None if fault is None else f"{path}, row {row.number}: the text {fault}"


Columns = tuple[str, ...]
# A row's line and its cells by column, or what is wrong with it.
Cells = Mapping[str, Any] | str
Rows = Iterator[tuple[int | None, Cells]]


def form_of(path: Path) -> Form:
    """The form of a table by its name's ending, which may have .gz or .xz behind it.

    Raises InputError for another ending.
    """
    ending = ending_of(path)
    if ending not in FORMS:
        raise InputError(f"{path}: {ending!r} is no table: give {', '.join(FORMS)}")
    return FORMS[ending]


def read_texts(
    source: Path | BinaryIO, form: Form, text_columns: Columns = TEXT_COLUMNS
) -> Iterator[TextRow | RejectedRow]:
    """Every row of a table or a stream; one with a fault is rejected, none is left out.

    The text stands in the first of `text_columns` that a row has, its context in context or
    seeker_post, its id in id. Blank lines are no rows, but in `lines`, where each line is a text.
    Raises InputError when there is no such file or no column with texts, naming those found.
    """
    # A byte that is not UTF-8 becomes a half surrogate pair, which its row is rejected for.
    encoding, errors = "utf-8-sig", "surrogateescape"
    newline = "" if form in ("csv", "tsv") else "\n"
    if not isinstance(source, Path):
        stream = TextIOWrapper(source, encoding, errors, newline)
        yield from _numbered(_rows(stream, form, "stdin", text_columns), text_columns)
        return
    if not source.is_file():
        raise InputError(f"{source}: no such file: check the path")
    if form == "parquet":
        yield from _numbered(_parquet(source, text_columns), text_columns)
        return
    try:
        with TextIOWrapper(open_bytes(source), encoding, errors, newline) as file:
            yield from _numbered(_rows(file, form, str(source), text_columns), text_columns)
    except DAMAGED as error:
        raise unreadable(source, error) from None


def _numbered(rows: Rows, text_columns: Columns) -> Iterator[TextRow | RejectedRow]:
    return (
        _row(number, line, cells, text_columns)
        for number, (line, cells) in enumerate(rows, start=1)
    )


def _rows(file: TextIO, form: Form, where: str, text_columns: Columns) -> Rows:
    lines = bounded_lines(file)
    if form == "lines":
        return ((number, _text(line)) for number, line in enumerate(lines, start=1))
    if form == "jsonl":
        return _jsonl(lines, where, text_columns)
    return _csv(lines, where, "," if form == "csv" else "\t", text_columns)


def _text(line: str | None) -> Cells:
    if line is None:
        return f"has more than {ROW_CHARACTERS:,} characters"
    return {"text": line.removesuffix("\n").removesuffix("\r")}


def _csv(lines: Iterator[str | None], where: str, delimiter: str, text_columns: Columns) -> Rows:
    rows = csv_cells(lines, delimiter)
    line, first = next(rows, (1, "is empty: it needs a header"))
    if isinstance(first, str):
        raise InputError(f"{where}:{line}: {first}")
    header = [name.strip() for name in first]
    _check_columns(f"{where}:{line}", header, text_columns)
    for line, cells in rows:
        if isinstance(cells, list) and len(cells) != len(header):
            yield line, f"has {len(cells)} cells, the header names {len(header)}"
        else:
            yield line, cells if isinstance(cells, str) else dict(zip(header, cells, strict=True))


def _jsonl(lines: Iterator[str | None], where: str, text_columns: Columns) -> Rows:
    rows = (
        (number, _json_cells(line))
        for number, line in enumerate(lines, start=1)
        if line is None or line.strip()
    )
    first = list(islice(rows, FIRST_LINES))
    names = [list(cells) for _, cells in first if not isinstance(cells, str)]
    if names and not any(column in found for found in names for column in text_columns):
        raise InputError(
            f"{where}:{first[0][0]}: {_no_text(text_columns)}: {shown_header(names[0])}"
        )
    return chain(first, rows)


def _json_cells(line: str | None) -> Cells:
    if line is None:
        return f"has more than {ROW_CHARACTERS:,} characters"
    return json_cells(line)


def _parquet(path: Path, text_columns: Columns) -> Rows:
    try:
        # With a buffer, a column is read in pieces and not a row group at a time.
        table = pq.ParquetFile(path, buffer_size=1 << 20)
        schema = table.schema_arrow
        _check_columns(str(path), schema.names, text_columns)
        used = [name for name in schema.names if name in (*text_columns, *OTHER_COLUMNS)]
        for name in used:
            if name != "id" and not _holds_text(schema.field(name).type):
                found = schema.field(name).type
                raise InputError(f"{path}, column {name!r}: is of type {found}: it needs strings")
        for batch in table.iter_batches(batch_size=BATCH_ROWS, columns=used):
            columns = [_values(batch.column(name)) for name in used]
            for cells in zip(*columns, strict=True):
                yield None, dict(zip(used, cells, strict=True))
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: is not a Parquet file that can be read: {first}") from None


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in STRINGS or bool(pa.types.is_null(kind))


def _values(column: pa.Array) -> list[Any]:
    """A column's values; strings by their bytes, of which Parquet may hold any."""
    if column.type not in STRINGS:
        return list(column.to_pylist())
    cells = column.cast(pa.large_binary()).to_pylist()
    return [None if cell is None else cell.decode("utf-8", "surrogateescape") for cell in cells]


def _no_text(text_columns: Columns) -> str:
    return f"no column {' or '.join(map(repr, text_columns))}"


def _check_columns(where: str, header: list[str], text_columns: Columns) -> None:
    if not any(name in header for name in text_columns):
        raise InputError(f"{where}: {_no_text(text_columns)}: {shown_header(header)}")
    used = (*text_columns, *OTHER_COLUMNS)
    repeated = [name for name in used if header.count(name) > 1]
    if repeated:
        raise InputError(f"{where}: column {repeated[0]!r} stands twice: rename one")


def _row(
    number: int, line: int | None, cells: Cells, text_columns: Columns
) -> TextRow | RejectedRow:
    if isinstance(cells, str):
        return RejectedRow(number, line, "", cells)
    name = cells.get("id")
    if isinstance(name, list | dict | bytes):
        return RejectedRow(number, line, "", "the id is no string and no number")
    if isinstance(name, float):  # pandas makes floats of whole numbers where one is missing
        name = None if isnan(name) else int(name) if name.is_integer() else name
    has_own_id = name is not None and name != ""
    shown = str(name) if has_own_id else str(number)
    if fault := fault_of(shown):
        return RejectedRow(number, line, "", f"the id {fault}")
    found = []
    for name, columns in (("text", text_columns), ("context", CONTEXT_COLUMNS)):
        column = next((column for column in columns if column in cells), None)
        if column is None and name == "text":
            return RejectedRow(number, line, shown, f"has {_no_text(text_columns)}")
        cell = cells[column] if column is not None else None
        if cell is not None and not isinstance(cell, str):
            kind = KINDS.get(type(cell), "no string")
            return RejectedRow(number, line, shown, f"the {name} is {kind}, not a string")
        found.append(cell or "")
    text, context = found
    return TextRow(number, line, shown, text, context, has_own_id)
