"""Readers of dialogues: MELD (Poria et al. 2019), and a table with a turn a row.

A turn is read with those before it, itself first and the oldest last, so that what is cut off a
long text is the oldest: `[S2] What? [S1] He lost his job. [S2] You look sad.` Each turn begins with
its speaker, numbered within the dialogue by first appearance.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from data.cleaning import clean
from data.errors import InputError, shown
from data.readers.record import Record, Row, csv_rows
from data.readers.table import table_rows

logger = logging.getLogger(__name__)

MELD_CLASSES = ("neutral", "joy", "surprise", "anger", "sadness", "disgust", "fear")
# Speakers after the last one share its number.
SPEAKERS = 9
MARKS = tuple(f"[S{number}]" for number in range(1, SPEAKERS + 1))
# What somebody wrote that would begin a turn.
FALSE_MARK = re.compile(r"\[(S\d)\]", re.IGNORECASE)
# In some copies bytes of Windows-1252 stand as control characters: U+0092 for an apostrophe.
CONTROLS = {
    number: bytes([number]).decode("cp1252", errors="ignore") or None
    for number in range(0x80, 0xA0)
    if number != 0x85  # a line break of its own right
}


@dataclass(frozen=True)
class DialogueColumns:
    """The columns of a table of turns; label None: the turns are unlabelled."""

    dialogue: str = "dialogue"
    turn: str = "turn"
    speaker: str = "speaker"
    text: str = "text"
    label: str | None = "emotion"

    @property
    def wanted(self) -> tuple[str, ...]:
        """Every column that must be there."""
        return tuple(name for name in vars(self).values() if name is not None)


MELD = DialogueColumns("Dialogue_ID", "Utterance_ID", "Speaker", "Utterance", "Emotion")


def read_meld(path: Path, *, window: int, encoding: str = "utf-8") -> Iterator[Record]:
    """Turns of MELD's CSV files with up to `window` - 1 turns before them, and their emotion."""
    rows = csv_rows(path, MELD.wanted, encoding=encoding)
    return _records(path, rows, MELD, window, {name: name for name in MELD_CLASSES})


def read_dialogues(
    path: Path, *, columns: DialogueColumns, window: int, encoding: str = "utf-8"
) -> Iterator[Record]:
    """The same of a table in any order of rows; an empty label is an unknown one.

    Raises InputError as `table_rows` does, for a turn that is no whole number, and for one that
    stands twice in its dialogue.
    """
    rows = table_rows(path, columns.wanted, encoding)
    return _records(path, rows, columns, window, None)


def _records(
    path: Path,
    rows: Iterator[Row],
    columns: DialogueColumns,
    window: int,
    classes: dict[str, str] | None,
) -> Iterator[Record]:
    dialogues: dict[str, dict[int, Row]] = {}
    for row in rows:
        name = row.cells[columns.dialogue].strip()
        turns = dialogues.setdefault(name, {})
        turn = _turn(row, columns.turn)
        if turn in turns:
            raise InputError(
                f"{row.where}, column {columns.turn!r}: turn {turn} of dialogue {shown(name)} "
                f"stands at {turns[turn].where} too: number the turns of a dialogue"
            )
        turns[turn] = row
    speakers = {name: _speakers(turns, columns.speaker) for name, turns in dialogues.items()}
    if dialogues and all(len(set(numbers.values())) == 1 for numbers in speakers.values()):
        logger.warning(
            "%s, column %r: no dialogue has a second speaker: the speakers say nothing",
            path, columns.speaker,
        )  # fmt: skip
    for name, turns in dialogues.items():
        before: list[str] = []
        for turn in sorted(turns):
            row = turns[turn]
            # Cleaned first: an entity may stand for a bracket.
            said = FALSE_MARK.sub(r"(\1)", clean(row.cells[columns.text].translate(CONTROLS)).text)
            before.append(f"{MARKS[speakers[name][turn]]} {said}")
            label = None
            if columns.label is not None:
                cell = row.cells[columns.label].strip()
                label = row.mapped(columns.label, classes) if classes else cell or None
            if said.strip():  # what was not said has no emotion, but it is a turn
                yield Record(
                    where=row.where,
                    text=" ".join(reversed(before[-window:])),
                    label=label,
                    text_column=columns.text,
                    label_column=columns.label or "",
                    key=f"{path.stem}-{name}-{turn}",
                    group=f"{path.stem}-{name}",
                )


def _turn(row: Row, column: str) -> int:
    cell = row.cells[column].strip()
    try:
        return int(cell)
    except ValueError:
        raise InputError(
            f"{row.where}, column {column!r}: {shown(cell)} is no whole number: "
            f"number the turns of a dialogue"
        ) from None


def _speakers(turns: Mapping[int, Row], column: str) -> dict[int, int]:
    """turn → the number of its speaker, from 0, in the order in which they first speak."""
    known: dict[str, int] = {}
    return {
        turn: min(known.setdefault(turns[turn].cells[column].strip(), len(known)), SPEAKERS - 1)
        for turn in sorted(turns)
    }
