"""Word vectors in GloVe's text format: a line a word, the word and its values divided by spaces.

Letters: V = words, E = values of a vector.
"""

import math
from array import array
from collections.abc import Iterator
from functools import lru_cache
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import InputError
from data.readers.compressed import DAMAGED, open_bytes

# Rows of every table of vectors before those of the file.
PADDING, UNKNOWN = "[PAD]", "[UNK]"
FORMAT = "give lines of a word and its values, divided by single spaces"


class WordVectors(NamedTuple):
    """words: (V,), in the file's order; values: (V, E), float32."""

    words: tuple[str, ...]
    values: npt.NDArray[np.float32]


def read_vectors(path: Path, rows: int | None = None) -> WordVectors:
    """The vectors of a file, plain or compressed, or its first `rows`; one is kept for the next
    call.

    Raises InputError, with the line, when the file is missing, empty or not UTF-8, or a line has
    another number of values than the first, a value that is no finite number, or a word again.
    """
    try:
        about = path.stat()
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}: {FORMAT}") from None
    return _read(path, rows, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1)
def _read(path: Path, rows: int | None, modified: int, size: int) -> WordVectors:
    """The vectors of a file that was written then and has that many bytes."""
    places: dict[str, int] = dict.fromkeys((PADDING, UNKNOWN), 0)
    values = array("f")
    width = 0
    for number, line in enumerate(islice(_lines(path), rows), start=1):
        where = f"{path}, line {number}"
        # A word may hold spaces, as ". . ." in GloVe's largest file; line 1 tells the width.
        word, *cells = line.rsplit(" ", width) if width else line.split(" ")
        width = width or len(cells)
        if not word or not cells or len(cells) != width or _ends_in_numbers(word):
            cells = line.split(" ")[1:]
            wanted = f"{width} values" if width else "values"
            raise InputError(f"{where}: has {len(cells)} values, not a word and {wanted}: {FORMAT}")
        if word in places:
            first = f"stands in line {places[word]} too" if places[word] else "is kept for texts"
            raise InputError(f"{where}: the word {word!r} {first}: leave one line a word")
        places[word] = number
        try:
            values.extend(map(float, cells))
        except ValueError:
            raise InputError(f"{where}: {_wrong(cells)!r} is no finite number: {FORMAT}") from None
    if not values:
        raise InputError(f"{path}: is empty: {FORMAT}")
    table = np.frombuffer(values, dtype=np.float32).reshape(-1, width)
    # Also of numbers beyond float32.
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        value = table[bad[0]][~np.isfinite(table[bad[0]])][0]
        raise InputError(f"{path}, line {bad[0] + 1}: {value} is no finite number: {FORMAT}")
    return WordVectors(tuple(places)[2:], table)


def _lines(path: Path) -> Iterator[str]:
    """Its lines, without what ends them; only a line feed does, as words hold other white space."""
    try:
        with TextIOWrapper(open_bytes(path), "utf-8", newline="\n") as file:
            for line in file:
                yield line.rstrip("\r\n ")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8: {FORMAT}") from None
    except DAMAGED as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: can't be read: {why}: {FORMAT}") from None


def _ends_in_numbers(word: str) -> bool:
    """Whether all that follows a word's first space are numbers: values too many."""
    _, *rest = word.split(" ")
    return bool(rest) and not any(_wrong([cell]) for cell in rest)


def _wrong(cells: list[str]) -> str:
    """The first cell that is no finite number."""
    for cell in cells:
        try:
            if not math.isfinite(float(cell)):
                return cell
        except ValueError:
            return cell
    return ""
