"""Record, the row that every reader yields, and checked access to lines and cells of a file."""

import codecs
import csv
import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from data.errors import InputError, shown, shown_header
from data.readers.compressed import DAMAGED, open_bytes

BLOCK = 1 << 20  # bytes
# What is held of one row, whatever the file is.
ROW_CHARACTERS = 16_000_000
# The csv module's own limit, 131,072 characters, is shorter than some texts.
csv.field_size_limit(ROW_CHARACTERS)


@dataclass(frozen=True)
class Record:
    """One labelled text as its file says it, before cleaning.

    `label` is a class name, a number in words, or None for unlabelled text. `parts` are the
    rationale's quoted parts, None when the format has no rationales. `group` names what must not
    be divided between splits (a writer, a seeker).
    """

    where: str  # file:line
    text: str
    label: str | None
    text_column: str = "text"
    label_column: str = "label"
    context: str | None = None
    key: str | None = None
    group: str | None = None
    parts: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table with its place; cells by column name."""

    where: str
    cells: dict[str, str]

    def mapped(self, column: str, classes: dict[str, str]) -> str:
        """The class name that `classes` gives the cell.

        Raises InputError naming file, line, column, the cell and the cells that would be right.
        """
        cell = self.cells[column].strip()
        if cell not in classes:
            raise InputError(
                f"{self.where}, column {column!r}: {shown(cell)} is not a label: "
                f"choose from {', '.join(classes)}"
            )
        return classes[cell]


def open_text(path: Path, encoding: str = "utf-8", *, newline: str = "") -> TextIO:
    """A file open for reading, after its byte-order mark; `newline` is that of `open`.

    Raises InputError when the file is missing or damaged, or holds bytes that are not `encoding`.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: check the path, and data.root for a task's files")
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_bytes(path) as raw:
            while block := raw.read(BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _wrong_byte(path, encoding) from None
    except DAMAGED as error:
        raise unreadable(path, error) from None
    file = TextIOWrapper(open_bytes(path), encoding=encoding, newline=newline)
    if file.read(1) != "\ufeff":
        file.seek(0)
    return file


def unreadable(path: Path, error: Exception) -> InputError:
    """The error that says why a file can't be opened, or not be read to its end."""
    return InputError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}")


def _wrong_byte(path: Path, encoding: str) -> InputError:
    """The error that names the first byte which is not `encoding`."""
    with open_bytes(path) as file:
        raw = file.read()
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        return InputError(
            f"{path}:{line}, byte {column}: 0x{raw[error.start]:02x} is not {encoding}: "
            f"save the file as UTF-8, or name its encoding in the source"
        )
    return InputError(f"{path}: changed while it was read: try again")


def lines_of(path: Path, encoding: str = "utf-8") -> Iterator[tuple[str, str]]:
    """(file:line, line) of every line that is not blank; only \\n and \\r\\n end a line."""
    with open_text(path, encoding, newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f"{path}:{number}", line.removesuffix("\n").removesuffix("\r")


def json_cells(line: str) -> dict[str, Any] | str:
    """The cells of a line of JSON by column, or what is wrong with it."""
    try:
        cells = json.loads(line)
    except json.JSONDecodeError as error:
        return f"is not JSON: {error.msg} at character {error.pos + 1}"
    except (ValueError, RecursionError):
        return "is not JSON: a number is too long or brackets lie too deep"
    return cells if isinstance(cells, dict) else "is not a JSON object"


def check_header(where: str, header: list[str], wanted: tuple[str, ...]) -> None:
    """Raise InputError naming each wanted column that the header lacks or names twice."""
    missing = [name for name in wanted if name not in header]
    if missing:
        raise InputError(
            f"{where}: column {', '.join(map(repr, missing))} is missing: "
            f"{shown_header(header)}, it needs {','.join(wanted)!r}"
        )
    repeated = sorted({name for name in wanted if header.count(name) > 1})
    if repeated:
        raise InputError(
            f"{where}: column {', '.join(map(repr, repeated))} stands twice: rename one"
        )


def csv_rows(
    path: Path, wanted: tuple[str, ...], *, delimiter: str = ",", encoding: str = "utf-8"
) -> Iterator[Row]:
    """Rows of a quoted CSV file that has the wanted columns."""
    header: list[str] | None = None
    with open_text(path, encoding) as file:
        for line, cells in csv_cells(bounded_lines(file), delimiter):
            where = f"{path}:{line}"
            if isinstance(cells, str):
                raise InputError(f"{where}: {cells}")
            if header is None:
                header = [name.strip() for name in cells]
                check_header(where, header, wanted)
                continue
            yield Row(where, _cells_by_name(where, header, cells))
    if header is None:
        raise InputError(f"{path}: is empty: it needs the header {','.join(wanted)!r}")


def bounded_lines(file: TextIO) -> Iterator[str | None]:
    """Each line with its end, or None for one of ROW_CHARACTERS and more, which is passed over."""
    while line := file.readline(ROW_CHARACTERS):
        part = line
        while len(part) == ROW_CHARACTERS and not part.endswith("\n"):
            part = file.readline(ROW_CHARACTERS)
        yield line if len(line) < ROW_CHARACTERS else None


class _LongLine(Exception):
    """A line that `bounded_lines` passed over."""


def csv_cells(lines: Iterable[str | None], delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """(its first line, its cells or what is wrong with it) of each row that is not blank.

    A row whose quotes are wrong ends with its first line, and reading goes on with the next one:
    a quote that is never closed would swallow all the rows behind it.
    """
    source = iter(lines)
    again: deque[str | None] = deque()
    taken: list[str | None] = []

    def feed() -> Iterator[str]:
        held = 0
        while not taken or held < ROW_CHARACTERS:
            line = again.popleft() if again else next(source, "")
            if line == "":
                return
            taken.append(line)
            if line is None:
                raise _LongLine
            held = held + len(line) if len(taken) > 1 else len(line)
            yield line

    number = 1
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _LongLine) as error:
            if taken[0] is None:
                yield number, f"has more than {ROW_CHARACTERS:,} characters"
            else:
                cause = "a quote is never closed" if isinstance(error, _LongLine) else error
                yield number, f"{cause}: check the quotes of this row"
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        else:
            if cells:
                yield number, cells
        number += len(taken)
        taken.clear()


def tsv_rows(path: Path, wanted: tuple[str, ...], *, encoding: str = "utf-8") -> Iterator[Row]:
    """Rows of an unquoted tab-separated file with a header; a stray quote is a character."""
    header: list[str] | None = None
    for where, line in lines_of(path, encoding):
        cells = line.split("\t")
        if header is None:
            header = [name.strip() for name in cells]
            check_header(where, header, wanted)
            continue
        yield Row(where, _cells_by_name(where, header, cells))
    if header is None:
        raise InputError(f"{path}: is empty: it needs the header {', '.join(wanted)!r}")


def _cells_by_name(where: str, header: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(header):
        raise InputError(
            f"{where}: has {len(cells)} cells: the header names {len(header)} ({','.join(header)})"
        )
    return dict(zip(header, cells, strict=True))
