"""Tests of kd.report.measures: scores and comparisons of planted answers by hand."""

import numpy as np
import pytest

from kd.report.measures import RATIONALE, compare_on, mcnemar_of, measures_of, score_on

NONE = float("nan")


def values(planted, student, **models):
    return planted([1.0, 2.0, 3.0, 4.0], kind="regression", student=student, **models)


def test_a_task_is_measured_by_its_main_metric_and_by_what_its_student_quotes(planted):
    assert measures_of(planted([0, 1], student=[0, 1])) == ["macro_f1"]
    quoting = planted([0, 1], student=[0, 1], token_f1={"student": [1, 1]})
    assert measures_of(quoting) == ["macro_f1", RATIONALE]
    assert measures_of(values(planted, [1, 2, 3, 4])) == ["pearson"]


def test_macro_f1_by_hand(planted):
    """F1 of the classes: 2/3, 2/3 and 0."""
    task = planted([0, 0, 1, 2], student=[0, 1, 1, 0], teacher=[0, 0, 1, 2])
    assert score_on("macro_f1", task) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert score_on("macro_f1", task, "teacher") == 1.0


def test_rationales_count_where_gold_has_a_level_and_a_known_quotation(planted):
    token_f1 = {"student": [1.0, 0.5, 0.1, NONE]}
    task = planted([0, 1, 2, 2], student=[0, 0, 0, 0], token_f1=token_f1)
    assert score_on(RATIONALE, task) == pytest.approx(0.3)
    alone = planted([0, 1], student=[0, 0], token_f1={"student": [1.0, NONE]})
    assert score_on(RATIONALE, alone) is None


def test_a_comparison_is_second_minus_first_each_the_mean_of_its_seeds(planted):
    gold = [1, 1, 2, 2]
    token_f1 = {"a": [0.2] * 4, "b": [0.4] * 4, "c": [0.5, 0.9, 0.5, 0.9]}
    task = planted(gold, a=gold, b=gold, c=gold, token_f1=token_f1)
    a, b, c = task.models.values()
    found = compare_on(RATIONALE, task, [a, b], [c], seed=0)
    means = (found.first.value, found.second.value, found.difference.value)
    np.testing.assert_allclose(means, (0.3, 0.7, 0.4))
    assert found.difference.low < 0.4 < found.difference.high


def test_a_regression_is_compared_by_pearsons_r_and_undefined_where_a_side_is_constant(planted):
    task = values(planted, [1, 2, 3, 4], teacher=[4, 3, 2, 1], constant=[2, 2, 2, 2])
    student, teacher, constant = task.models.values()
    found = compare_on("pearson", task, [teacher], [student], seed=0)
    np.testing.assert_allclose([found.first.value, found.second.value], [-1, 1])
    assert compare_on("pearson", task, [teacher], [constant], seed=0) is None
    assert score_on("pearson", task, "constant") is None
    assert mcnemar_of(task, teacher, student) is None


def test_mcnemars_p_is_that_of_a_coin_on_the_rows_where_one_alone_is_right(planted):
    """Four rows, all of them won: 2 / 2⁴."""
    task = planted([0] * 6, first=[1, 1, 1, 1, 0, 2], second=[0, 0, 0, 0, 0, 1])
    assert mcnemar_of(task, *task.models.values()) == pytest.approx(0.125)
