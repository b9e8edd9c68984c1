"""Reader of ISEAR (Scherer & Wallbott 1994): what made people feel one of seven emotions."""

import re
from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError
from data.readers.record import Record, Row, check_header, lines_of

CLASSES = ("anger", "disgust", "fear", "guilt", "joy", "sadness", "shame")
PERSON, TEXT, EMOTION, KEY = COLUMNS = ("ID", "SIT", "Field1", "MYKEY")
# The file writes line breaks as á, and quotes as \" or \ alone.
BREAK = "á"
QUOTE = re.compile(r'\\"?')
# What stands where somebody had nothing to tell.
NOTHING = re.compile(r"\W*no (?:response|description)\W*", re.IGNORECASE)


def read_isear(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """The situations, each with its emotion; the emotions of a person stay together.

    Cells are divided by `|`, which may stand in a situation too: the cells behind it are counted
    from the end. Rows without an answer are left out.
    """
    header: list[str] | None = None
    for where, line in lines_of(path, encoding):
        cells = line.split("|")
        if header is None:
            header = [name.strip() for name in cells]
            check_header(where, header, COLUMNS)
            place = header.index(TEXT)
            continue
        surplus = len(cells) - len(header)
        if surplus < 0:
            raise InputError(f"{where}: has {len(cells)} cells: the header names {len(header)}")
        text = "".join(cells[place : place + surplus + 1])
        if surplus or "\\" in text:
            text = text.removesuffix('"')  # it closes the row, which was in quotes once
        del cells[place : place + surplus]
        row = Row(where, dict(zip(header, cells, strict=True)))
        text = QUOTE.sub('"', text.replace(BREAK, " "))
        if not NOTHING.fullmatch(text):
            yield Record(
                where,
                text,
                row.mapped(EMOTION, {name: name for name in CLASSES}),
                text_column=TEXT,
                label_column=EMOTION,
                key=row.cells[KEY],
                group=row.cells[PERSON],
            )
