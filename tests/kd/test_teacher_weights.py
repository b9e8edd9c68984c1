"""Tests of kd.teacher_weights: weights as given and by dev score, on planted answers by hand."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score

from data.errors import InputError
from kd.config import Config
from kd.teacher_weights import covers, mean_trust, teacher_weights
from teachers.soft_targets import SoftTargets


def config_of(weights, *teachers, task="mood"):
    kinds = {
        "mood": {"classes": ["sad", "glad"]},
        "rating": {"kind": "regression", "low": 1, "high": 7},
    }
    tasks = {task: {"sources": [{"files": "mine.csv"}], **kinds[task]}}
    listed = {"weights": weights, "tasks": {task: list(teachers)}}
    return Config.model_validate({"name": "mine", "tasks": tasks, "teachers": listed})


def says(table, answers, rows=24):
    """A teacher of the first rows that is sure of class indices, or says values."""
    values = np.float32(answers)[:rows]
    logits = np.eye(2, dtype=np.float32)[values.astype(int)] * 4 if values.ndim == 1 else values
    return SoftTargets("mood", ("sad", "glad"), "f", pa.array(table.ids[:rows]), logits)


GOLD = np.arange(24) % 2
SAD = np.zeros(24, dtype=int)


def weights_of(config, table, *targets, task="mood"):
    return list(teacher_weights(config, {task: list(targets)}, table)[task].values())


def test_given_weights_add_up_to_one_and_bear_the_teachers_names(table):
    config = config_of("given", {"weight": 3}, {}, {"file": "mine.csv", "weight": 4})
    found = teacher_weights(config, {}, table)
    assert found == {"mood": {"mood": 0.375, "mood-2": 0.125, "mood-3": 0.5}}


def test_dev_weights_are_proportional_to_macro_f1(table):
    """Of 12 and 12 rows the constant answer has an F1 of 2/3 and of 0; the third is half right."""
    half = np.where(np.arange(24) < 12, GOLD, 1 - GOLD)
    scores = [f1_score(GOLD, answers, average="macro") for answers in (GOLD, SAD, half)]
    assert scores == pytest.approx([1, 1 / 3, 1 / 2])
    found = weights_of(
        config_of("dev", {}, {}, {}), table, *(says(table, a) for a in (GOLD, SAD, half))
    )
    assert found == pytest.approx([6 / 11, 2 / 11, 3 / 11])


def test_dev_scores_multiply_the_given_weights(table):
    found = weights_of(
        config_of("dev", {}, {"weight": 6}), table, says(table, GOLD), says(table, SAD)
    )
    assert found == pytest.approx([1 / 3, 2 / 3])


def test_a_correlation_below_0_counts_0(table):
    gold = table.gold["rating"]
    config = config_of("dev", {}, {}, {}, task="rating")
    noisy = gold + np.float32(0.3) * (np.arange(24) % 2)[:, None].astype(np.float32)
    pearson = np.corrcoef(gold[:, 0], noisy[:, 0])[0, 1]
    found = weights_of(
        config, table, says(table, gold), says(table, -gold), says(table, noisy), task="rating"
    )
    assert found == pytest.approx([1 / (1 + pearson), 0.0, pearson / (1 + pearson)], abs=1e-6)


def test_where_every_dev_score_is_0_the_given_weights_count(table):
    constant = says(table, np.zeros((24, 1)))
    config = config_of("dev", {}, {"weight": 3}, task="rating")
    assert weights_of(config, table, constant, constant, task="rating") == [0.25, 0.75]


def test_dev_rows_without_gold_do_not_count(table):
    table.gold["mood"][1::2] = np.nan
    found = weights_of(config_of("dev", {}, {}), table, says(table, GOLD), says(table, SAD))
    assert found == [0.5, 0.5]


@pytest.mark.parametrize("weights", ["given", "trust"])
def test_only_dev_looks_at_what_they_say(table, weights):
    config = config_of(weights, {}, {"weight": 3})
    assert weights_of(config, table, says(table, GOLD), says(table, SAD)) == [0.25, 0.75]


def test_one_teacher_needs_no_score(table):
    assert weights_of(config_of("dev", {}), table, says(table, SAD, rows=2)) == [1.0]


def test_a_file_without_all_dev_rows_has_no_score_to_count_by(table):
    config = config_of("dev", {}, {"file": "mine.csv"})
    whole, part = says(table, GOLD), says(table, GOLD, rows=20)
    assert covers(whole, table, config.specs[0])
    assert not covers(part, table, config.specs[0])
    expected = r"teachers\.weights: dev needs .* teacher 'mood-2' has 20 of the 24 dev rows"
    with pytest.raises(InputError, match=expected):
        weights_of(config, table, whole, part)


def test_the_trust_in_a_teacher_is_its_mean_over_rows_with_gold(table, mood):
    """It says e^4 / (e^4 + 1) of sad, which is right on every other row: 1/2."""
    assert mean_trust(says(table, SAD), table, mood) == pytest.approx(0.5)
    table.gold["mood"][:] = np.nan
    assert mean_trust(says(table, SAD), table, mood) is None
