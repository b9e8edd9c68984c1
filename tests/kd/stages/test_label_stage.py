"""Tests of kd.stages.label: which rows a teacher is asked about."""

import math

from datasets import Dataset, DatasetDict

from kd.stages.label import rows_of

UNKNOWN, SAD = [math.nan, math.nan], [1.0, 0.0]


def table_of(rows):
    columns = ("id", "context", "gold/mood", "gold/reply")
    split = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    return DatasetDict({name: Dataset.from_dict(split) for name in ("train", "dev", "test")})


def test_a_teacher_labels_rows_of_its_task_and_rows_that_no_task_labels(mood):
    table = table_of(
        [("mine", "", SAD, UNKNOWN), ("other's", "", UNKNOWN, SAD), ("free", "", UNKNOWN, UNKNOWN)]
    )
    assert list(rows_of(table, mood)["id"]) == ["mine", "free"] * 3  # in each split


def test_a_teacher_that_reads_a_post_labels_only_rows_that_answer_one(reply):
    table = table_of([("answer", "i am sad", UNKNOWN, SAD), ("free", "", UNKNOWN, UNKNOWN)])
    assert list(rows_of(table, reply)["id"]) == ["answer"] * 3
