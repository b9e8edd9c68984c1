"""Ragged: rows of different lengths in one flat array.

Letters: N = rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

RowNumbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths in one flat array; `starts` is (N + 1,)."""

    values: npt.NDArray[Any]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        """Rows of token ids in one array."""
        listed = list(rows)
        flat = np.array(list(chain.from_iterable(listed)), dtype=np.int32)
        return cls.from_lengths(flat, np.array([len(row) for row in listed], dtype=np.int64))

    @classmethod
    def from_lengths(cls, values: npt.NDArray[Any], lengths: npt.NDArray[np.integer]) -> "Ragged":
        """Rows of (N,) lengths that follow each other in `values`."""
        starts = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=starts[1:])
        return cls(values, starts)

    def between(self, start: int, stop: int) -> "Ragged":
        """The rows from start to stop, their values shared."""
        starts = self.starts[start : stop + 1]
        return Ragged(self.values[starts[0] : starts[-1]], starts - starts[0])

    def places(self, rows: RowNumbers) -> RowNumbers:
        """Where the values of some rows stand in `values`, row after row."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        before = np.cumsum(lengths) - lengths
        return np.repeat(self.starts[rows] - before, lengths) + np.arange(lengths.sum())

    def take(self, rows: RowNumbers) -> "Ragged":
        """A copy of some rows."""
        lengths = self.starts[rows + 1] - self.starts[rows]
        return Ragged.from_lengths(self.values[self.places(rows)], lengths)

    def keep(self, is_kept: npt.NDArray[np.bool_]) -> "Ragged":
        """A copy of every row without the values that are not kept; is_kept: as `values`."""
        before = np.append(0, np.cumsum(is_kept))
        return Ragged(self.values[is_kept], before[self.starts])

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) values in each row."""
        return np.diff(self.starts)

    def row(self, index: int) -> npt.NDArray[Any]:
        """The values of one row."""
        return self.values[self.starts[index] : self.starts[index + 1]]
