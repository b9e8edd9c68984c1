"""Reader of NewsEmp (Buechel et al. 2018): essays with empathy and distress, grouped by writer."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError
from data.readers.record import Record, csv_rows

CLASSES = ("low", "high")
BINARY = {"0": "low", "1": "high"}
COLUMNS = ("empathy", "distress", "empathy_bin", "distress_bin")


def read_newsemp(
    path: Path, *, column: str = "empathy_bin", encoding: str = "utf-8"
) -> Iterator[Record]:
    """Essays labelled by one of four columns; the binary ones are classes, the others ratings 1-7.

    Raises InputError for a column that is not one of the four.
    """
    if column not in COLUMNS:
        raise InputError(
            f"{path}: {column!r} is no label of NewsEmp: choose from {', '.join(COLUMNS)}"
        )
    for row in csv_rows(path, ("response_id", "essay", column), encoding=encoding):
        binary = column.endswith("_bin")
        yield Record(
            where=row.where,
            text=row.cells["essay"],
            label=row.mapped(column, BINARY) if binary else row.cells[column],
            text_column="essay",
            label_column=column,
            group=row.cells["response_id"],
        )
