"""Reader of the six-column empathy files of Sharma et al. (2020), one mechanism a file."""

from collections.abc import Iterator
from pathlib import Path

from data.readers.record import Record, csv_rows

COLUMNS = ("sp_id", "rp_id", "seeker_post", "response_post", "level", "rationales")
LEVELS = {"0": "none", "1": "weak", "2": "strong"}
CLASSES = tuple(LEVELS.values())


def read_empathy_reddit(path: Path, *, encoding: str = "utf-8") -> Iterator[Record]:
    """Records with the seeker post as context, keyed by (sp_id, rp_id), grouped by seeker."""
    for row in csv_rows(path, COLUMNS, encoding=encoding):
        cells = row.cells
        yield Record(
            where=row.where,
            text=cells["response_post"],
            label=row.mapped("level", LEVELS),
            text_column="response_post",
            label_column="level",
            context=cells["seeker_post"],
            key=f"{cells['sp_id']}_{cells['rp_id']}",
            group=cells["sp_id"],
            parts=tuple(part for part in cells["rationales"].split("|") if part.strip()),
        )
