"""Tests of the comparisons: planted differences are found, and intervals hold what they promise."""

import math
from dataclasses import astuple
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from kd.statistics import (
    Estimate,
    compare_macro_f1,
    compare_means,
    compare_over_seeds,
    compare_pearson,
    holm,
    mcnemar,
    rows_to_decide,
    verdict,
)

CLASSES = 3
CELLS = np.stack(np.meshgrid(*[range(CLASSES)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
SHARES = (0.5, 0.4, 0.1)
RANKS = ("worse", "not decided at this size", "no worse within margin", "better")


def answers(skills):
    """P(answer | gold) (gold, answer): right with the class's skill, else either other class."""
    return np.stack(
        [
            np.where(np.arange(CLASSES) == gold, skill, (1 - skill) / (CLASSES - 1))
            for gold, skill in enumerate(skills)
        ]
    )


def chances_of_cells(first, second_of):
    """P(gold, first, second) of CELLS; second_of: P(second | gold, first)."""
    return np.array([SHARES[gold] * first[gold, a] * second_of(gold, a)[b] for gold, a, b in CELLS])


def correlated_models():
    """Two models of nearly the same skill; half of the second's answers are the first's."""
    first, second = answers((0.8, 0.75, 0.6)), answers((0.75, 0.7, 0.55))
    return chances_of_cells(first, lambda gold, a: 0.5 * np.eye(CLASSES)[a] + 0.5 * second[gold])


def teacher_and_student():
    """A good teacher, and a student that flips a fifth of its answers."""
    flipped = answers((0.8,) * CLASSES)
    return chances_of_cells(answers((0.97, 0.95, 0.9)), lambda _, a: flipped[a])


def true_scores(chances):
    gold, first, second = CELLS.T
    scores = [
        f1_score(gold, side, average="macro", sample_weight=chances) for side in (first, second)
    ]
    return (*scores, scores[1] - scores[0])


def rows_of(chances, rows, random):
    return CELLS[random.choice(len(CELLS), rows, p=chances)].T


def estimates(comparison):
    return comparison.first, comparison.second, comparison.difference


@pytest.mark.parametrize(
    "comparison",
    [
        compare_macro_f1(*np.array([[0, 1, 2, 1], [0, 1, 1, 1], [0, 1, 1, 1]]), 3),
        compare_means(np.array([0.1, 0.7, 0.7]), np.array([0.1, 0.7, 0.7])),
        compare_pearson(np.arange(9.0), np.sqrt(np.arange(9.0)), np.sqrt(np.arange(9.0))),
    ],
)
def test_equal_predictions_differ_by_nothing(comparison):
    assert comparison.difference == Estimate(0.0, 0.0, 0.0)
    assert comparison.p_value == 1.0
    assert comparison.first == comparison.second
    assert verdict(comparison.difference, 0.01) == "no worse within margin"


def test_a_student_that_flips_a_fifth_of_a_good_teachers_answers_is_found_to_be_worse():
    chances = teacher_and_student()
    gold, teacher, student = rows_of(chances, 1000, np.random.default_rng(0))
    comparison = compare_macro_f1(gold, teacher, student, CLASSES)
    for estimate, truth in zip(estimates(comparison), true_scores(chances), strict=True):
        assert estimate.low < truth < estimate.high
    assert verdict(comparison.difference, 0.02) == "worse"
    assert comparison.p_value == pytest.approx(2 / 10_001)
    assert comparison.rows == 1000
    hits = compare_means((gold == teacher).astype(float), (gold == student).astype(float))
    skill = 0.5 * 0.97 + 0.4 * 0.95 + 0.1 * 0.9
    true_loss = 0.8 * skill + 0.1 * (1 - skill) - skill
    assert hits.difference.low < true_loss < hits.difference.high
    assert verdict(hits.difference, 0.02) == "worse"
    assert mcnemar(gold == teacher, gold == student) < 1e-9


@pytest.mark.parametrize("rows", [100, 250, 1000])
def test_intervals_hold_the_truth_nineteen_times_in_twenty(rows):
    """Plain percentile or basic intervals hold some of the three too seldom at 100 rows."""
    chances, random = correlated_models(), np.random.default_rng(rows)
    truth, simulations = true_scores(chances), 600
    held = np.zeros(3)
    for simulation in range(simulations):
        comparison = compare_macro_f1(
            *rows_of(chances, rows, random), CLASSES, resamples=800, seed=simulation
        )
        held += [
            estimate.low <= value <= estimate.high
            for estimate, value in zip(estimates(comparison), truth, strict=True)
        ]
    assert ((held / simulations >= 0.93) & (held / simulations <= 0.97)).all(), held / simulations


def test_the_values_are_those_of_scikit_learn_and_scipy():
    random = np.random.default_rng(5)
    gold, first, second = random.integers(0, 4, (3, 50))
    comparison = compare_macro_f1(gold, first, second, 6, resamples=99)
    expected = [
        f1_score(gold, side, labels=range(6), average="macro", zero_division=0)
        for side in (first, second)
    ]
    assert [comparison.first.value, comparison.second.value] == pytest.approx(expected)
    assert comparison.difference.value == pytest.approx(expected[1] - expected[0])
    for values in (1e6 + random.random((3, 50)), 1e-7 * random.random((3, 50))):
        comparison = compare_pearson(*values, resamples=99)
        expected = [pearsonr(values[0], side).statistic for side in values[1:]]
        assert [comparison.first.value, comparison.second.value] == pytest.approx(expected)


def test_pearsons_interval_of_normal_values_is_that_of_fishers_transformation():
    random = np.random.default_rng(1)
    gold, noise, other = random.standard_normal((3, 2000))
    comparison = compare_pearson(gold, gold + noise, gold + other)
    expected = pearsonr(gold, gold + noise).confidence_interval(0.95)
    found = comparison.first
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.004)


def test_swapping_the_models_turns_the_difference_round():
    gold, first, second = rows_of(correlated_models(), 200, np.random.default_rng(2))
    forth = compare_macro_f1(gold, first, second, CLASSES, resamples=20_000)
    back = compare_macro_f1(gold, second, first, CLASSES, resamples=20_000, seed=1)
    assert forth.difference.value == pytest.approx(-back.difference.value)
    assert forth.difference.low == pytest.approx(-back.difference.high, abs=0.01)
    assert forth.p_value == pytest.approx(back.p_value, abs=0.02)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_give_no_comparison(rows):
    none = np.zeros(rows, dtype=int)
    assert compare_macro_f1(none, none, none, 2) is None
    assert compare_means(none, none) is None
    assert compare_pearson(none, none, none) is None


def test_a_side_without_a_correlation_gives_no_comparison():
    rising, constant = np.arange(5.0), np.full(5, 0.1)
    for sides in (
        (constant, rising, rising),
        (rising, constant, rising),
        (rising, rising, constant),
        (rising, rising, np.full(5, math.nan)),
    ):
        assert compare_pearson(*sides, resamples=99) is None


def test_resamples_in_which_gold_is_constant_do_not_count():
    """Rounding leaves them a variance near 0, and a correlation of any size."""
    gold = np.array([0.1] * 9 + [0.7])
    first, second = np.random.default_rng(0).random((2, 10))
    for estimate in estimates(compare_pearson(gold, first, second, resamples=999))[:2]:
        assert -1 <= estimate.low < estimate.high <= 1


def test_few_rows_give_finite_numbers():
    """Half of the resamples of two rows are constant and have no correlation."""
    for rows in (2, 3, 4):
        rising = np.arange(float(rows))
        comparison = compare_pearson(rising, rising**2, -rising, resamples=99)
        numbers = [vars(estimate).values() for estimate in estimates(comparison)]
        assert np.isfinite([list(found) for found in numbers]).all()
        assert comparison.second.value == pytest.approx(-1)


def test_sides_that_do_not_fit_are_errors():
    two, three = np.zeros(2, dtype=int), np.zeros(3, dtype=int)
    with pytest.raises(ValueError, match=r"compare_macro_f1: the sides have shapes .*\(3,\)"):
        compare_macro_f1(two, two, three, 2)
    with pytest.raises(ValueError, match=r"compare_macro_f1: .*2.* is not a class: .* 0 to 1"):
        compare_macro_f1(two, two, two + 2, 2)
    with pytest.raises(ValueError, match=r"compare_macro_f1: .*-1.* is not a class"):
        compare_macro_f1(two, two - 1, two, 2)
    with pytest.raises(ValueError, match="compare_means: a row's score is not finite"):
        compare_means(np.array([0.0, math.nan]), np.zeros(2))
    for wrong in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"verdict: margin is .*: use a number above 0"):
            verdict(Estimate(0, 0, 0), wrong)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (9, 2), (5, 5), (3, 40)])
def test_mcnemar_equals_statsmodels_and_the_binomial_by_hand(only_first, only_second):
    both, neither = 7, 4
    counts = [both, only_first, only_second, neither]
    first = np.repeat([True, True, False, False], counts)
    second = np.repeat([True, False, True, False], counts)
    differing, fewer = only_first + only_second, min(only_first, only_second)
    by_hand = 2 * sum(math.comb(differing, k) for k in range(fewer + 1)) / 2**differing
    assert mcnemar(first, second) == pytest.approx(min(1, by_hand))
    table = [[both, only_first], [only_second, neither]]
    assert mcnemar(first, second) == statsmodels_mcnemar(table, exact=True).pvalue


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.001, 0.1, "better"),
        (0.0, 0.1, "no worse within margin"),
        (-0.049, 0.1, "no worse within margin"),
        (-0.049, -0.01, "no worse within margin"),
        (-0.05, -0.001, "worse"),
        (-0.05, 0.0, "not decided at this size"),
        (-0.2, 0.2, "not decided at this size"),
    ],
)
def test_the_verdict_changes_at_its_borders(low, high, expected):
    assert verdict(Estimate((low + high) / 2, low, high), 0.05) == expected


@given(
    low=st.floats(-1, 1),
    width=st.floats(0, 1),
    rise=st.floats(0, 1),
    margin=st.floats(0.001, 0.5),
)
def test_a_higher_interval_never_has_a_lower_verdict(low, width, rise, margin):
    found, risen = (
        RANKS.index(verdict(Estimate(start, start, start + width), margin))
        for start in (low, low + rise)
    )
    assert found <= risen


def test_holm_equals_numbers_computed_by_hand():
    """Smallest times 3, next times 2, and never below one before it."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.5]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([]) == []


def test_half_the_width_takes_four_times_the_rows():
    assert rows_to_decide(Estimate(0.0, -0.1, 0.1), 80, 0.05) == 320
    assert rows_to_decide(Estimate(0.0, -0.05, 0.05), 80, 0.05) == 80
    assert rows_to_decide(Estimate(0.1, 0.0, 0.3), 7, 0.1) == math.ceil(7 * 1.5**2)
    assert rows_to_decide(Estimate(0.0, 0.0, 0.0), 80, 0.05) == 0
    with pytest.raises(ValueError, match="rows_to_decide: margin is 0: use a number above 0"):
        rows_to_decide(Estimate(0.0, -0.1, 0.1), 80, 0)


def test_seeds_equal_students_t_computed_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1 / √3, t(2) at 0.975 is 4.302653."""
    found = compare_over_seeds([1.0, 1.0, 2.0], [2.0, 3.0, 5.0])
    half = 4.302653 / math.sqrt(3)
    assert found.seeds == 3
    assert vars(found.difference) == pytest.approx(
        {"value": 2.0, "low": 2 - half, "high": 2 + half}, rel=1e-6
    )
    # P(|t(2)| > x) = 1 − x / √(x² + 2), at x = 2 √3.
    assert found.p_value == pytest.approx(1 - math.sqrt(12 / 14))


def test_seeds_without_a_spread_have_no_interval():
    assert compare_over_seeds([0.5], [0.6]) is None
    assert compare_over_seeds([], []) is None
    assert compare_over_seeds([0.5, 0.6, 0.7], [0.6, 0.7, 0.8]) is None
    for compare in (partial(compare_macro_f1, classes=2), compare_pearson):
        with pytest.raises(ValueError, match="the sides are of 2 and 1 seeds"):
            compare(np.array([0, 1, 1]), np.eye(3, dtype=int)[:2], np.array([0, 1, 0]))
    with pytest.raises(ValueError, match=r"compare_over_seeds: the sides have shapes"):
        compare_over_seeds([0.5, 0.6], [0.6])


def test_scores_of_several_seeds_are_their_mean_in_every_resample():
    random = np.random.default_rng(5)
    gold = random.integers(0, 3, 90)
    first, second = random.integers(0, 3, (2, 2, 90))
    both = compare_macro_f1(gold, first, second, 3, resamples=200, seed=1)
    means = [
        np.mean([f1_score(gold, said, average="macro") for said in side])
        for side in (first, second)
    ]
    assert both.first.value == pytest.approx(means[0])
    assert both.second.value == pytest.approx(means[1])
    assert both.difference.value == pytest.approx(means[1] - means[0])
    twice = compare_macro_f1(gold, first[[0, 0]], second[[0, 0]], 3, resamples=200, seed=1)
    once = compare_macro_f1(gold, first[0], second[0], 3, resamples=200, seed=1)
    assert astuple(twice.difference) == pytest.approx(astuple(once.difference))
    values = compare_pearson(gold, first, second, resamples=200, seed=1)
    expected = [np.corrcoef(gold, said)[0, 1] for said in first]
    assert values.first.value == pytest.approx(np.mean(expected))
