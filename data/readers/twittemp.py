"""Reader of TwittEmp (Hosseini & Caragea 2021): tweets that seek or provide empathy, or neither."""

from collections.abc import Iterator
from pathlib import Path

from data.errors import InputError
from data.readers.record import Record, tsv_rows

# What each number means under each scheme (Hosseini & Caragea 2021, section 5).
SCHEMES = {
    "classes": {"0": "none", "1": "seeking", "2": "providing"},
    "binary": {"0": "none", "1": "empathy", "2": "empathy"},
    "seek": {"0": "rest", "1": "seeking", "2": "rest"},
    "provide": {"0": "rest", "1": "rest", "2": "providing"},
}


def twittemp_classes(scheme: str) -> tuple[str, ...]:
    """The class names of a scheme, the negative class first.

    Raises InputError for an unknown scheme.
    """
    if scheme not in SCHEMES:
        raise InputError(f"{scheme!r} is no scheme of TwittEmp: choose from {', '.join(SCHEMES)}")
    return tuple(dict.fromkeys(SCHEMES[scheme].values()))


def read_twittemp(
    path: Path, *, scheme: str = "classes", encoding: str = "utf-8"
) -> Iterator[Record]:
    """Tweets from a TSV with the columns text and label (0 none, 1 seeking, 2 providing)."""
    for row in tsv_rows(path, ("text", "label"), encoding=encoding):
        yield Record(row.where, row.cells["text"], row.mapped("label", SCHEMES[scheme]))
