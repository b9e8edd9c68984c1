"""Tests of data.tasks: cells to targets, logits to answers, and the file in a model's folder."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import InputError
from data.tasks import TaskSpec, load_tasks, save_tasks

LEVELS = TaskSpec("ER", classes=("none", "weak", "strong"), has_context=True, has_rationale=True)
RATING = TaskSpec("empathy", kind="regression", low=1.0, high=7.0)


def test_a_class_becomes_a_one_hot_row():
    assert [LEVELS.encode(name) for name in LEVELS.classes] == np.eye(3).tolist()
    assert LEVELS.width == 3


@pytest.mark.parametrize(("cell", "target"), [("1", 0.0), ("4", 0.5), ("5.5", 0.75), ("7.0", 1.0)])
def test_a_rating_is_scaled_to_0_1(cell, target):
    assert RATING.encode(cell) == [target]
    assert RATING.width == 1


@given(st.floats(1.0, 7.0))
def test_decoding_the_target_of_a_rating_gives_the_rating(value):
    assert RATING.decode(np.array(RATING.encode(repr(value)))) == pytest.approx(value)


def test_decoding_logits_gives_the_class_of_the_largest():
    assert LEVELS.decode(np.array([-3.0, 0.2, 0.1])) == "weak"


@pytest.mark.parametrize("cell", ["Weak", "3", "", " weak"])
def test_a_cell_that_is_not_a_class_is_refused_with_the_classes(cell):
    with pytest.raises(
        InputError, match=f"^'{cell}' is not a class of task 'ER': choose from none, weak, strong$"
    ):
        LEVELS.encode(cell)


@pytest.mark.parametrize("cell", ["0.99", "7.01", "nan", "inf", "", "high", "-4"])
def test_a_cell_off_the_scale_is_refused_with_the_scale(cell):
    """'nan' is a number to Python and would silently become an unknown target."""
    with pytest.raises(
        InputError, match=f"^'{cell}' is not a value of task 'empathy': give a number from 1 to 7$"
    ):
        RATING.encode(cell)


def test_the_selection_metric_follows_the_kind():
    assert LEVELS.selection_metric == "macro_f1"
    assert RATING.selection_metric == "pearson"


def test_saved_tasks_are_read_back_equal(tmp_path):
    save_tasks([LEVELS, RATING], tmp_path)
    assert load_tasks(tmp_path) == [LEVELS, RATING]


def test_a_tasks_file_that_says_more_of_each_task_is_read_too(tmp_path):
    """An export's also says what a graph reads and how much of it."""
    save_tasks([LEVELS, RATING], tmp_path)
    rows = json.loads((tmp_path / "tasks.json").read_text())
    more = [row | {"inputs": ["text"], "max_tokens": 96} for row in rows]
    (tmp_path / "tasks.json").write_text(json.dumps(more))
    assert load_tasks(tmp_path) == [LEVELS, RATING]


def test_a_folder_without_tasks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no tasks\.json: give a model folder written by"):
        load_tasks(tmp_path)
