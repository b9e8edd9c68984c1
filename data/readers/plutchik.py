"""Readers of emotion files that hold Plutchik's eight: EmoNet's form, SemEval-2018 E-c and XED."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError, shown
from data.readers.record import Record, lines_of, tsv_rows

CLASSES = (
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "sadness",
    "surprise",
    "trust",
)
XED_NUMBERS = {str(number): name for number, name in enumerate(CLASSES, start=1)}


def read_plutchik8(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """EmoNet's form: a TSV with the columns text and label, the label one of the eight."""
    for row in tsv_rows(path, ("text", "label"), encoding=encoding):
        cell = row.cells["label"].strip().lower()
        yield Record(row.where, row.cells["text"], cell)


def read_semeval_ec(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """SemEval-2018 Task 1 E-c (multi-label); tweets with exactly one of the eight are kept.

    Love, optimism and pessimism are not Plutchik's primary emotions and are not looked at.
    """
    for row in tsv_rows(path, ("ID", "Tweet", *CLASSES), encoding=encoding):
        present = []
        for name in CLASSES:
            if row.mapped(name, {"0": "no", "1": "yes"}) == "yes":
                present.append(name)
        if len(present) == 1:
            # The corpus writes line breaks as the two characters \ and n.
            text = row.cells["Tweet"].replace("\\n", " ")
            yield Record(row.where, text, present[0], text_column="Tweet")


def read_xed(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """XED's annotated lines (sentence, tab, numbers 1 to 8); lines with one emotion are kept."""
    for where, line in lines_of(path, encoding):
        text, tab, numbers = line.rpartition("\t")
        labels = [number.strip() for number in numbers.split(",")]
        wrong = [number for number in labels if number not in XED_NUMBERS]
        if not tab or wrong:
            raise InputError(
                f"{where}, column 'labels': {shown(numbers)} is not a list of emotions: "
                f"write the sentence, a tab, and numbers from 1 to 8 with commas"
            )
        if len(labels) == 1:
            yield Record(where, text, XED_NUMBERS[labels[0]], "sentence", "labels")
