"""Sections: what a part of the report says, shown alike in HTML and Markdown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # it takes seconds to import, and few commands draw
    import altair as alt

Tone = Literal["good", "bad", "open"]
NUMBER = re.compile(r"\[.*\]|[<+−-]?[\d.,]+( ?[%sM]| MB| ms)?( \[.*\]| ± .*| \(.*\)|–.*)?")


@dataclass(frozen=True)
class Mark:
    """A cell that stands out: a word with a tone."""

    text: str
    tone: Tone

    def __str__(self) -> str:
        return self.text


Cell = str | Mark


@dataclass(frozen=True)
class Table:
    """Columns and rows of cells ready to be read."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]

    def filled(self) -> "Table":
        """The same without columns that are empty in every row."""
        places = [n for n in range(len(self.columns)) if any(str(row[n]) for row in self.rows)]
        rows = [[row[place] for place in places] for row in self.rows]
        return Table(self.caption, [self.columns[place] for place in places], rows)

    @property
    def is_number(self) -> list[bool]:
        """Whether each column holds numbers, which stand to the right."""
        return [
            all(NUMBER.fullmatch(str(row[place])) for row in self.rows if str(row[place]))
            and any(str(row[place]) for row in self.rows)
            for place in range(len(self.columns))
        ]


@dataclass(frozen=True)
class Figure:
    """A chart; its name is that of its file, its caption says what to see in it.

    cells: its numbers as the rows of a table, which are then written too, and a PNG beside.
    """

    name: str
    caption: str
    chart: "alt.TopLevelMixin"
    cells: Sequence[Sequence[object]] | None = None


@dataclass(frozen=True)
class Part:
    """A piece of a section: sentences, then tables and figures."""

    title: str = ""
    sentences: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()


@dataclass(frozen=True)
class Section:
    """One section of the report; data: every figure of it as JSON-able values."""

    key: str
    title: str
    parts: Sequence[Part]
    data: dict[str, Any] = field(default_factory=dict)
