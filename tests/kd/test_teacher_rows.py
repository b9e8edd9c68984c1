"""Tests of kd.teacher_rows: which rows a teacher is asked about."""

import math

import numpy as np

from data.encoding import EncodedTable
from data.ragged import Ragged
from kd.teacher_rows import rows_of

UNKNOWN, SAD = [math.nan, math.nan], [1.0, 0.0]


def table_of(*rows):
    """A table of rows (has a context, gold of mood, gold of reply)."""
    return EncodedTable(
        ids=tuple(map(str, range(len(rows)))),
        texts=Ragged.of([[1]] * len(rows)),
        offsets=np.zeros((len(rows), 2), dtype=np.int32),
        contexts=Ragged.of([[1] if has_context else [] for has_context, _, _ in rows]),
        pad_id=0,
        gold={"mood": np.float32([r[1] for r in rows]), "reply": np.float32([r[2] for r in rows])},
        gold_tokens={},
    )


def test_a_teacher_labels_rows_of_its_task_and_rows_that_no_task_labels(mood):
    rows = [(False, SAD, UNKNOWN), (False, UNKNOWN, SAD), (False, UNKNOWN, UNKNOWN)]
    assert rows_of(table_of(*rows), mood).tolist() == [0, 2]


def test_a_teacher_that_reads_a_post_labels_only_rows_that_answer_one(reply):
    rows = [(True, UNKNOWN, SAD), (False, UNKNOWN, UNKNOWN), (True, UNKNOWN, UNKNOWN)]
    assert rows_of(table_of(*rows), reply).tolist() == [0, 2]
