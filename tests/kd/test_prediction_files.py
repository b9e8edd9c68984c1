"""Tests of kd.prediction_files: what is written of each row comes back the same, without texts."""

import csv

import numpy as np
import pytest

from data.errors import InputError
from data.rationales import spans_of_tokens
from kd.evaluation import known_rows
from kd.metrics import token_f1_of_row
from kd.prediction_files import read_predictions, write_predictions
from student.inference import Logits

LABELS = {"mood": 2, "reply": 3, "rating": 1}


@pytest.fixture
def logits(table):
    """Random logits of every row; values of the regression are targets, from 0 to 1."""
    random = np.random.default_rng(5)
    labels = {
        task: (random.normal if width > 1 else random.random)(size=(24, width)).astype(np.float32)
        for task, width in LABELS.items()
    }
    return Logits(labels, {"reply": random.normal(size=len(table.offsets)).astype(np.float32)})


@pytest.fixture
def back(table, logits, tmp_path):
    """A function that writes a task's answers and reads them."""

    def came(spec):
        write_predictions(tmp_path / "answers.csv", spec, table, logits)
        return read_predictions(tmp_path / "answers.csv", spec)

    return came


def test_classes_and_chances_come_back(back, table, logits, mood):
    ids, gold, answers = back(mood)
    assert ids == table.ids
    assert gold.tolist() == table.gold["mood"].argmax(axis=1).tolist()
    assert answers.predicted.tolist() == logits.labels["mood"].argmax(axis=1).tolist()
    raised = np.exp(logits.labels["mood"])
    expected = raised / raised.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answers.chances, expected, atol=1e-6)
    assert (answers.spans, answers.token_f1) == (None, None)


def test_values_come_back_on_the_tasks_own_scale(back, table, logits, rating):
    """From 1 to 7."""
    _, gold, answers = back(rating)
    np.testing.assert_allclose(gold, 1 + 6 * table.gold["rating"][:, 0])
    np.testing.assert_allclose(answers.predicted, 1 + 6 * logits.labels["rating"][:, 0])
    assert answers.chances.shape == (24, 0)


def test_rationales_come_back_as_spans_with_their_token_f1(back, table, logits, reply):
    _, _, answers = back(reply)
    for row in range(24):
        chosen, part = logits.tokens["reply"] > 0, table.part(row)
        assert answers.spans[row] == spans_of_tokens(chosen[part], table.offsets[part])
        real = slice(part.start + 1, part.stop - 1)
        gold = table.gold_tokens["reply"][real] > 0.5
        expected = token_f1_of_row(gold, chosen[real], both_empty=1.0)
        assert answers.token_f1[row] == pytest.approx(expected, abs=1e-6)
    assert len({len(spans) for spans in answers.spans}) > 1


def test_an_unknown_rationale_has_no_token_f1_and_a_row_without_gold_no_line(back, table, reply):
    table.gold_tokens["reply"][table.part(2)] = np.nan
    table.gold["reply"][[0, 5]] = np.nan
    ids, _, answers = back(reply)
    assert ids == tuple(f"row{row}" for row in known_rows(table.gold["reply"]))
    assert np.flatnonzero(np.isnan(answers.token_f1)).tolist() == [ids.index("row2")]


def test_a_file_has_ids_and_answers_alone(back, tmp_path, reply):
    back(reply)
    with (tmp_path / "answers.csv").open(newline="") as file:
        assert next(csv.reader(file)) == [
            "id", "gold", "predicted", "p(none)", "p(weak)", "p(strong)", "rationale",
            "rationale_token_f1",
        ]  # fmt: skip


def test_a_file_without_rows_comes_back_empty(back, table, mood):
    table.gold["mood"][:] = np.nan
    ids, gold, answers = back(mood)
    assert (ids, len(gold), answers.chances.shape) == ((), 0, (0, 2))


def test_a_file_that_is_not_there_is_asked_for(tmp_path, mood):
    with pytest.raises(InputError, match=r"gone\.csv: no such file: run kd evaluate"):
        read_predictions(tmp_path / "gone.csv", mood)


def test_the_chances_of_a_diverged_model_are_refused(back, logits, mood):
    logits.labels["mood"][3] = np.nan
    with pytest.raises(InputError, match="holds a chance that is no number: the model diverged"):
        back(mood)
