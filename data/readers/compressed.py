"""Files of text as they lie on a disk: plain, or compressed by gzip or xz, as their ending says."""

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

ENDINGS: dict[str, Callable[[Path], object]] = {".gz": gzip.open, ".xz": lzma.open}
# What reading a damaged archive raises.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError)


def ending_of(path: Path) -> str:
    """The ending that tells a file's format, in small letters: of turns.TSV.xz it is `.tsv`."""
    ending = path.suffix.lower()
    return Path(path.stem).suffix.lower() if ending in ENDINGS else ending


def open_bytes(path: Path) -> BinaryIO:
    """A file open for reading, without its compression.

    Raises OSError where it can't be opened; reading raises one of DAMAGED where it is damaged.
    """
    opened = ENDINGS.get(path.suffix.lower())
    return path.open("rb") if opened is None else cast(BinaryIO, opened(path))
