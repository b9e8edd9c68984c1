"""Tests of the bootstrap: what a resample is, what it is reproduced by, where an interval ends."""

import numpy as np
import pytest
from scipy.stats import bootstrap, norm, t
from sklearn.metrics import f1_score

import kd.resampling
from kd.resampling import paired_bootstrap, resampled_scores, widened_tail, with_difference
from kd.statistics import f1_features, macro_f1_of_sums


def cells_and_code(rows, classes=4, seed=0):
    """Gold, first and second class of the distinct rows, and each row's place among them.

    The last class does not occur and the last but one is rare.
    """
    random = np.random.default_rng(seed)
    gold = random.choice(classes, rows, p=[0.6, 0.35, 0.05, 0.0])
    first, second = (
        np.where(random.random(rows) < 0.7, gold, random.integers(0, classes - 1, rows))
        for _ in range(2)
    )
    return np.unique(np.stack([gold, first, second], axis=1), axis=0, return_inverse=True)


def means_of_sums(sums):
    return sums[..., 1] / sums[..., 0], sums[..., 2] / sums[..., 0]


def with_ones(rows):
    return np.column_stack([np.ones(len(rows)), rows])


def test_macro_f1_in_every_resample_equals_scikit_learn():
    cells, code = cells_and_code(60)
    features, drawn = f1_features(cells, 4), []

    def recording(counts):
        drawn.append(counts)
        return macro_f1_of_sums(counts @ features)

    scores = resampled_scores(code, np.eye(len(cells)), recording, resamples=150, seed=0)
    counts = np.concatenate(drawn)
    assert scores.shape == (150, 3)
    assert counts.shape == (150, len(cells))
    assert (counts.sum(axis=1) == 60).all()
    for of_resample, expected in zip(scores, counts, strict=True):
        gold, first, second = np.repeat(cells, expected.astype(int), axis=0).T
        first_f1, second_f1 = (
            f1_score(gold, side, labels=range(4), average="macro", zero_division=0)
            for side in (first, second)
        )
        assert of_resample == pytest.approx([first_f1, second_f1, second_f1 - first_f1])


def test_a_resample_draws_each_row_once_on_average_with_the_spread_of_the_multinomial():
    _, code = cells_and_code(40)
    kinds, counts = np.unique(code, return_counts=True)
    drawn = []

    def recording(sums):
        drawn.append(sums)
        return sums[:, 0], sums[:, 1]

    resampled_scores(code, np.eye(len(kinds)), recording, resamples=20_000, seed=0)
    drawn = np.concatenate(drawn)
    assert drawn.mean(axis=0) == pytest.approx(counts, abs=0.15)
    assert drawn.var(axis=0) == pytest.approx(counts * (1 - counts / 40), rel=0.1)


def test_the_resamples_follow_from_the_seed_and_not_from_how_many_are_held_at_a_time(monkeypatch):
    cells, code = cells_and_code(50)

    def drawn(seed):
        features = f1_features(cells, 4)
        return resampled_scores(code, features, macro_f1_of_sums, resamples=101, seed=seed)

    expected = drawn(seed=3)
    assert not np.array_equal(drawn(seed=4), expected)
    monkeypatch.setattr(kd.resampling, "DRAWS_AT_A_TIME", 7 * 50)
    assert np.array_equal(drawn(seed=3), expected)


def test_the_interval_holds_scipys_percentile_interval_and_is_that_interval_on_many_rows():
    """Rows of scipy.stats.bootstrap itself, resampled with another seed."""
    for rows, rounding in ((30, 0.01), (3000, 0.001)):
        scores = np.random.default_rng(0).random((rows, 2)) ** [1, 3]
        (_, _, (value, low, high)), _ = paired_bootstrap(
            scores, with_ones, means_of_sums, resamples=10_000, seed=0
        )
        oracle = bootstrap(
            (scores[:, 1] - scores[:, 0],), np.mean, method="percentile", rng=1
        ).confidence_interval
        assert value == pytest.approx(np.mean(scores[:, 1] - scores[:, 0]))
        assert low < oracle.low + rounding
        assert high > oracle.high - rounding
        if rows == 3000:
            assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=rounding)


def test_normal_rows_widen_the_interval_to_students_t():
    """Of −1, 0, 0, 0, 0, 1 the kurtosis is that of normal values: 3."""
    left_out = np.repeat([[-1.0], [0.0], [1.0]], 3, axis=1)
    for times in (1, 20):
        rows = 6 * times
        expected = norm.sf(t.ppf(0.975, rows - 1) * np.sqrt(rows / (rows - 1)))
        tails = widened_tail(left_out, np.array([1, 4, 1]) * times)
        assert tails == pytest.approx([expected] * 3)
        assert (tails < 0.025).all()


def test_the_fewer_rows_carry_a_score_the_wider_its_interval():
    left_out = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    tails = [widened_tail(left_out, np.array([100 - few, few]))[0] for few in (1, 3, 10, 50)]
    assert tails == sorted(tails)
    assert tails[0] < 0.001 < 0.02 < tails[-1] < 0.025


def test_a_score_without_spread_or_that_one_row_defines_has_a_tail():
    """0/0 and NaN in the kurtosis: no warning, and no NaN as a share of resamples."""
    left_out = np.array([[0.5, 0.1, np.nan], [0.5, 0.3, 0.1]])
    tails = widened_tail(left_out, np.array([1, 9]))
    assert ((tails >= 0) & (tails < 0.025)).all()
    assert tails[2] == pytest.approx(0, abs=1e-12)


def test_scores_that_are_equal_up_to_rounding_tie():
    """0.1 + 0.2 is above 0.3: a tie would count as a resample in which the first is better."""
    scores = with_difference(lambda sums: (sums[..., 0], sums[..., 1]), np.array([0.1 + 0.2, 0.3]))
    assert scores[2] == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_have_no_interval(rows):
    found = paired_bootstrap(np.ones((rows, 2)), with_ones, means_of_sums, resamples=10, seed=0)
    assert found is None


def test_resamples_without_a_score_are_left_out():
    """A score that only the rows of one kind define: 0/0 where a resample holds none."""

    def of_marked(sums):
        return sums[..., 1] / sums[..., 2], sums[..., 2] / sums[..., 2]

    rows = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    intervals, p_value = paired_bootstrap(rows, with_ones, of_marked, resamples=500, seed=0)
    assert np.isfinite(intervals).all()
    assert intervals[0] == pytest.approx([0.5, 0.0, 1.0])
    assert 0 < p_value <= 1
    nowhere = paired_bootstrap(rows * 0, with_ones, of_marked, resamples=500, seed=0)
    assert nowhere is None
