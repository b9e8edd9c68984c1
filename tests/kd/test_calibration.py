"""Tests of calibration: hand-computed numbers, a plain loop as oracle, what has no number."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.calibration import reliability


def ece_in_a_plain_loop(chances, gold, bins):
    error = 0.0
    for index in range(bins):
        inside = [
            (max(row), row.index(max(row)) == truth)
            for row, truth in zip(chances.tolist(), gold.tolist(), strict=True)
            if index / bins < max(row) <= (index + 1) / bins
        ]
        if inside:
            confidence = sum(chance for chance, _ in inside) / len(inside)
            accuracy = sum(hit for _, hit in inside) / len(inside)
            error += len(inside) / len(gold) * abs(accuracy - confidence)
    return error


def test_scores_equal_numbers_computed_by_hand():
    chances = np.array([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [1.0, 0.0]])
    found = reliability(chances, np.array([0, 0, 1, 0]), bins=2)
    assert found["bins"] == [
        {"low": 0.0, "high": 0.5, "rows": 0, "confidence": None, "accuracy": None},
        {"low": 0.5, "high": 1.0, "rows": 4, "confidence": pytest.approx(0.8), "accuracy": 0.75},
    ]
    assert found["ece"] == pytest.approx(0.05)
    assert found["brier"] == pytest.approx((0.01 + 0.49 + 0.16 + 0) / 4)
    assert found["negative_log_likelihood"] == pytest.approx(
        -(math.log(0.9) + math.log(0.3) + math.log(0.6)) / 4
    )


def test_errors_of_opposite_sign_do_not_cancel_between_bins():
    chances = np.array([[0.6, 0.4], [0.6, 0.4], [0.9, 0.1], [0.9, 0.1]])
    found = reliability(chances, np.array([0, 0, 0, 1]), bins=4)
    assert [described["rows"] for described in found["bins"]] == [0, 0, 2, 2]
    assert found["ece"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)


def test_a_chance_on_the_border_belongs_to_the_bin_below():
    """Guo et al.'s bins are open at low and closed at high."""
    found = reliability(np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]]), np.zeros(3, int), bins=4)
    assert [described["rows"] for described in found["bins"]] == [0, 1, 1, 1]


@given(
    rows=st.integers(1, 60), classes=st.integers(2, 5), bins=st.integers(1, 20), seed=st.integers(0)
)
def test_the_error_equals_a_plain_loop(rows, classes, bins, seed):
    random = np.random.default_rng(seed)
    chances = random.dirichlet(np.ones(classes), rows)
    gold = random.integers(0, classes, rows)
    found = reliability(chances, gold, bins)
    assert found["ece"] == pytest.approx(ece_in_a_plain_loop(chances, gold, bins))
    assert sum(described["rows"] for described in found["bins"]) == rows
    for described in found["bins"]:
        if described["rows"]:
            assert described["low"] < described["confidence"] <= described["high"]
    by_hand = np.square(chances - np.eye(classes)[gold]).sum(axis=1).mean()
    assert found["brier"] == pytest.approx(by_hand / 2 if classes == 2 else by_hand)
    assert found["negative_log_likelihood"] == pytest.approx(
        -np.log(chances[np.arange(rows), gold]).mean()
    )


def test_a_model_that_is_as_often_right_as_it_says_has_no_error():
    chances = np.tile([0.75, 0.25], (4, 1))
    assert reliability(chances, np.array([0, 0, 0, 1]))["ece"] == pytest.approx(0)


def test_chances_of_single_precision_or_rounded_in_a_file_are_taken():
    """scikit-learn warns of a row whose sum is not 1 to sixteen digits."""
    chances = np.array([[0.333, 0.333, 0.333], [0.1, 0.2, 0.7]], dtype=np.float32)
    assert reliability(chances, np.array([0, 2]))["brier"] == pytest.approx((2 / 3 + 0.14) / 2)


@pytest.mark.parametrize(
    "chances", [np.zeros((0, 3)), np.array([[math.nan] * 3]), np.array([[math.inf, 0, 0]])]
)
def test_without_rows_or_with_a_chance_that_is_not_finite_there_is_no_number(chances):
    found = reliability(chances, np.zeros(len(chances), dtype=int))
    assert found["ece"] is found["brier"] is found["negative_log_likelihood"] is None
    assert len(found["bins"]) == 15
    assert {described["rows"] for described in found["bins"]} == {0}
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_sure_model_that_is_wrong_has_finite_numbers():
    found = reliability(np.array([[1.0, 0.0]]), np.array([1]))
    assert (found["ece"], found["brier"]) == (1.0, 1.0)
    assert math.isfinite(found["negative_log_likelihood"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_sides_that_do_not_fit_are_errors():
    chances = np.array([[0.5, 0.5]])
    with pytest.raises(ValueError, match=r"chances have shape \(1, 2\) and gold \(2,\)"):
        reliability(chances, np.array([0, 1]))
    with pytest.raises(ValueError, match=r"chances have shape \(1, 1\)"):
        reliability(np.ones((1, 1)), np.array([0]))
    with pytest.raises(ValueError, match=r"gold holds .*2.* no class: use 0 to 1"):
        reliability(chances, np.array([2]))
    with pytest.raises(ValueError, match="0 bins: use at least 1"):
        reliability(chances, np.array([0]), bins=0)
    for wrong in ([[2.0, -1.0]], [[0.2, 0.2]]):
        with pytest.raises(ValueError, match="give probabilities, not logits"):
            reliability(np.array(wrong), np.array([0]))
