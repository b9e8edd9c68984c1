"""Lexicons: lists of words, rated or not, and whether a text holds one of them."""

import math
import re
from collections.abc import Iterable
from pathlib import Path

from data.errors import InputError, shown
from data.readers.compressed import ending_of
from data.readers.record import bounded_lines, csv_cells, open_text

# As many as Hosseini and Caragea (2021, appendix A) took.
TOP = 200


def top_words(path: Path, count: int | None = None) -> tuple[str, ...]:
    """The `count` words of a lexicon that are rated highest, the highest first.

    A file has rows word,rating (.tsv: with a tab), as that of Sedoc et al. (2019), with a header
    or without; among equals the earlier one counts. Without a count the first TOP, or all of a
    shorter one. Or it has a word a line, all of which are taken. Words are given `folded`; of one
    that stands twice the higher rating counts.

    Raises InputError for a missing file, a wrong row, and a count that the file can't give.
    """
    ratings = _ratings(path)
    rated = [(word, rating) for word, rating in ratings.items() if rating is not None]
    if not rated:
        if count is not None:
            raise InputError(f"{path}: its words have no ratings to choose by: leave out --top")
        return tuple(ratings)
    if count is not None and count > len(rated):
        raise InputError(f"{path}: holds {len(rated):,} words: give --top {len(rated)} or less")
    rated.sort(key=lambda pair: -pair[1])
    return tuple(word for word, _ in rated[: TOP if count is None else count])


def folded(text: str) -> str:
    """A text as words are looked for in it: without case, and with straight apostrophes."""
    return text.casefold().replace("’", "'")


def whole_words(words: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the words, whole, in a folded text.

    What stands beside a word is no letter and no digit: #cancer, cancer's and _cancer_ hold the
    word cancer, cancerous does not. White space inside a word is any run of it.
    """
    parts = (r"\s+".join(map(re.escape, folded(word).split())) for word in words)
    return re.compile(rf"(?<![^\W_])(?:{'|'.join(parts)})(?![^\W_])")


def _ratings(path: Path) -> dict[str, float | None]:
    """Word → rating, or None in a list without ratings."""
    found: dict[str, float | None] = {}
    width = 0
    delimiter = "\t" if ending_of(path) == ".tsv" else ","
    with open_text(path) as file:
        for line, cells in csv_cells(bounded_lines(file), delimiter):
            where = f"{path}:{line}"
            if isinstance(cells, str):
                raise InputError(f"{where}: {cells}")
            if not width:
                width = len(cells)
                if width == 2 and _number(cells[1]) is None:
                    continue  # the header
            if len(cells) != width or width > 2:
                raise InputError(
                    f"{where}: has {len(cells)} cells: give word,rating in every row, "
                    f"or a word alone in every row"
                )
            if "\t" in cells[0]:
                raise InputError(f"{where}: holds a tab: name the file .tsv, or divide by commas")
            word = folded(cells[0]).strip()
            if not word:
                raise InputError(f"{where}: the word is empty: write one or delete the row")
            rating = _rating(where, cells[1]) if width == 2 else None
            before = found.get(word)
            found[word] = rating if rating is None or before is None else max(rating, before)
    if not found:
        raise InputError(f"{path}: holds no words: give word,rating rows, or a word a line")
    return found


def _rating(where: str, cell: str) -> float:
    rating = _number(cell)
    if rating is None:
        raise InputError(f"{where}: {shown(cell)} is no rating: give a number")
    return rating


def _number(cell: str) -> float | None:
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
