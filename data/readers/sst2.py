"""Reader of SST-2 in GLUE's form: a TSV with the columns sentence and label."""

from collections.abc import Iterator
from pathlib import Path

from data.readers.record import Record, tsv_rows

LABELS = {"0": "negative", "1": "positive"}
CLASSES = tuple(LABELS.values())


def read_sst2(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """Records labelled negative or positive."""
    for row in tsv_rows(path, ("sentence", "label"), encoding=encoding):
        label = row.mapped("label", LABELS)
        yield Record(row.where, row.cells["sentence"], label, text_column="sentence")
