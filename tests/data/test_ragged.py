"""Tests of data.ragged: rows are read back from the flat array, whole, in part and in any order."""

import numpy as np
import pytest

from data.ragged import Ragged

ROWS = [[1, 2, 3], [], [4], [5, 6], []]


@pytest.fixture
def ragged():
    return Ragged.of(ROWS)


def listed(ragged):
    return [ragged.row(index).tolist() for index in range(len(ragged.lengths))]


def test_rows_are_read_back(ragged):
    assert listed(ragged) == ROWS
    assert ragged.lengths.tolist() == [3, 0, 1, 2, 0]


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (1, 4), (2, 2), (0, 0), (4, 5)])
def test_the_rows_between_two_share_their_values(ragged, start, stop):
    part = ragged.between(start, stop)
    assert listed(part) == ROWS[start:stop]
    assert part.values.base is ragged.values


@pytest.mark.parametrize("rows", [[3, 0, 0], [1, 4], [], [2]])
def test_rows_are_taken_in_any_order_and_repeated(ragged, rows):
    assert listed(ragged.take(np.array(rows, dtype=np.int64))) == [ROWS[row] for row in rows]


def test_values_that_are_not_kept_are_gone_from_their_row_alone(ragged):
    kept = ragged.keep(ragged.values % 2 == 0)
    assert listed(kept) == [[2], [], [4], [6], []]
    assert kept.lengths.tolist() == [1, 0, 1, 1, 0]
    part = ragged.between(2, 5)
    assert listed(part.keep(part.values > 5)) == [[], [6], []]
