"""Tests of kd.annealing: schedules against numbers computed by hand."""

import math

import pytest

from kd.annealing import SCHEDULES, constant, cosine, linear, step


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.9])
def test_the_linear_gold_weight_is_the_progress(progress):
    assert linear(progress) == progress


@pytest.mark.parametrize(
    ("progress", "weight"),
    [(0.0, 0.0), (0.25, (1 - math.sqrt(0.5)) / 2), (0.5, 0.5), (2 / 3, 0.75), (1.0, 1.0)],
)
def test_the_cosine_gold_weight_equals_numbers_computed_by_hand(progress, weight):
    assert cosine(progress) == pytest.approx(weight, abs=1e-12)


def test_the_step_schedule_leaves_the_teacher_for_gold_exactly_at_half():
    assert [step(progress) for progress in (0.0, 0.49, 0.5, 0.99)] == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_a_constant_schedule_ignores_the_progress(weight):
    schedule = constant(weight)
    assert [schedule(progress) for progress in (0.0, 0.5, 1.0)] == [weight] * 3


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_every_named_schedule_goes_from_teacher_to_gold_and_never_back(name):
    weights = [SCHEDULES[name](number / 20) for number in range(21)]
    assert weights[0] == 0.0
    assert weights[-1] == 1.0
    assert weights == sorted(weights)
