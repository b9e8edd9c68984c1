"""Compare the scores of two models on the same rows: intervals, paired tests and a verdict.

Letters: N rows, D distinct rows, K sums, C classes, S seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_table
from statsmodels.stats.multitest import multipletests

from kd.metrics import regression_scores
from kd.resampling import (
    LEVEL,
    ROUNDING,
    Features,
    Floats,
    Indices,
    Scores,
    paired_bootstrap,
)

Verdict = Literal["better", "no worse within margin", "worse", "not decided at this size"]

RESAMPLES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval from low to high."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; no deviation of one seed."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
        return cls(float(np.mean(values)), deviation)


@dataclass(frozen=True)
class Comparison:
    """Two models' scores on the same rows; the difference is second − first, p_value two-sided."""

    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float
    rows: int


@dataclass(frozen=True)
class SeedComparison:
    """The mean over seeds of second − first; the p-value is that of a paired t-test."""

    difference: Estimate
    p_value: float
    seeds: int


def compare_macro_f1(
    gold: Indices,
    first: Indices,
    second: Indices,
    classes: int,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison | None:
    """Macro-F1 of two classifiers by a paired bootstrap over rows (see kd.resampling).

    gold: (N,) class indices from 0 to classes − 1. first, second: (N,), or (S, N) of S seeds, whose
    scores are averaged. All classes count, present or not, and 0/0 is 0, as in
    kd.metrics.classification_scores. None with fewer than two rows. Raises ValueError on unequal
    lengths or numbers of seeds, or an index that is no class.
    """
    _check_seeds("compare_macro_f1", first, second)
    rows = _paired_rows("compare_macro_f1", gold, *np.atleast_2d(first), *np.atleast_2d(second))
    if rows.size and not (rows.min() >= 0 and rows.max() < classes):
        stray = rows.min() if rows.min() < 0 else rows.max()
        raise ValueError(
            f"compare_macro_f1: {stray!r} is not a class: use indices from 0 to {classes - 1}"
        )
    features = partial(f1_features, classes=classes)
    return _compare(rows, *_over_seeds(features, macro_f1_of_sums, rows), resamples, seed)


def compare_means(
    first: Floats, second: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison | None:
    """Mean of scores that each row has, such as hits or token F1, by a paired bootstrap over rows.

    first, second: (N,) finite scores of the same rows. None with fewer than two rows. Raises
    ValueError on unequal lengths or a score that is not finite.
    """
    rows = _paired_rows("compare_means", first, second)
    if not np.isfinite(rows).all():
        raise ValueError("compare_means: a row's score is not finite: leave out rows without one")
    return _compare(rows, _mean_features, _means_of_sums, resamples, seed)


def compare_pearson(
    gold: Floats, first: Floats, second: Floats, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison | None:
    """Pearson's r with gold of two regressions by a paired bootstrap over rows (see kd.resampling).

    gold: (N,) values. first, second: (N,), or (S, N) of S seeds, whose scores are averaged. None
    where a correlation is not defined: with fewer than two rows, a constant side or a value that is
    not finite. Resamples in which a side is constant are left out. Raises ValueError on unequal
    lengths or numbers of seeds.
    """
    _check_seeds("compare_pearson", first, second)
    rows = _paired_rows("compare_pearson", gold, *np.atleast_2d(first), *np.atleast_2d(second))
    if any(regression_scores(rows[:, 0], side)["pearson"] is None for side in rows.T[1:]):
        return None
    # Sums of squares of values far from 0 would cancel; r does not change with place and scale.
    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return _compare(
        standard, *_over_seeds(_pearson_features, _pearson_of_sums, rows), resamples, seed
    )


def mcnemar(first_is_right: npt.NDArray[np.bool_], second_is_right: npt.NDArray[np.bool_]) -> float:
    """Exact two-sided p-value of McNemar's test (1947) that both models are right equally often.

    first_is_right, second_is_right: (N,) of the same rows. 1 where they never differ. Raises
    ValueError on unequal lengths.
    """
    rows = _paired_rows("mcnemar", first_is_right, second_is_right).astype(bool)
    only_first = int(np.sum(rows[:, 0] & ~rows[:, 1]))
    only_second = int(np.sum(~rows[:, 0] & rows[:, 1]))
    return float(mcnemar_of_table([[0, only_first], [only_second, 0]], exact=True).pvalue)


def verdict(difference: Estimate, margin: float) -> Verdict:
    """What the interval of second − first says of the second model, the first claim that holds.

    better: all above 0. no worse within margin: all above −margin. worse: all below 0. Raises
    ValueError on a margin that is not above 0.
    """
    _check_margin("verdict", margin)
    if difference.low > 0:
        return "better"
    if difference.low > -margin:
        return "no worse within margin"
    return "worse" if difference.high < 0 else "not decided at this size"


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, each adjusted for all of them (Holm 1979), same order."""
    return [float(p_value) for p_value in multipletests(list(p_values), method="holm")[1]]


def rows_to_decide(difference: Estimate, rows: int, margin: float) -> int:
    """Rows at which half the interval of the difference is about the margin, rounded up.

    An interval's width falls with the square root of its rows. Raises ValueError on a margin that
    is not above 0.
    """
    _check_margin("rows_to_decide", margin)
    half = (difference.high - difference.low) / 2
    # Rounded first, or 100.00000000000001 rows would be 101.
    return math.ceil(round(rows * (half / margin) ** 2, 6))


def compare_over_seeds(first: Sequence[float], second: Sequence[float]) -> SeedComparison | None:
    """Mean of second − first over seeds by a paired t-test, with Student's interval.

    first, second: (S,) scores, one a seed, in the same order of seeds. None with fewer than two
    seeds, or where all differences are equal. Raises ValueError on unequal lengths.
    """
    rows = _paired_rows("compare_over_seeds", first, second)
    differences = rows[:, 1] - rows[:, 0]
    if len(rows) < 2 or np.ptp(differences) < ROUNDING:
        return None
    test = ttest_rel(rows[:, 1], rows[:, 0])
    interval = test.confidence_interval(LEVEL)
    return SeedComparison(
        Estimate(float(differences.mean()), float(interval.low), float(interval.high)),
        p_value=float(test.pvalue),
        seeds=len(rows),
    )


def f1_features(cells: Indices, classes: int) -> Floats:
    """Gold, first and second class (D, 3) → hits and marks of each class (D, 4C), a model a half.

    A row's hit is of the class that is both gold and predicted; its two marks are of the class
    that is gold and of the one that is predicted.
    """
    gold, first, second = np.eye(classes)[cells.T]
    return np.concatenate([gold * first, gold + first, gold * second, gold + second], axis=1)


def macro_f1_of_sums(sums: Floats) -> tuple[Floats, Floats]:
    """Summed f1_features (..., 4C) → both macro-F1 (...,); F1 is 2 hits / marks, 0/0 = 0."""
    hits, marks = np.moveaxis(sums.reshape(*sums.shape[:-1], 2, 2, -1), -2, 0)
    f1 = np.divide(2 * hits, marks, where=marks > 0, out=np.zeros_like(hits)).mean(axis=-1)
    return f1[..., 0], f1[..., 1]


def _over_seeds(features: Features, scores: Scores, rows: Floats) -> tuple[Features, Scores]:
    """The mean over S seeds, of rows (N, 1 + 2S): gold, S first and S second answers."""
    seeds = rows.shape[1] // 2

    def all_features(rows: Floats) -> Floats:
        sides = ([0, 1 + seed, 1 + seeds + seed] for seed in range(seeds))
        return np.concatenate([features(rows[:, side]) for side in sides], axis=1)

    def mean_scores(sums: Floats) -> tuple[Floats, Floats]:
        first, second = scores(sums.reshape(*sums.shape[:-1], seeds, -1))
        return first.mean(axis=-1), second.mean(axis=-1)

    return all_features, mean_scores


def _mean_features(scores: Floats) -> Floats:
    return np.column_stack([np.ones(len(scores)), scores])


def _means_of_sums(sums: Floats) -> tuple[Floats, Floats]:
    return sums[..., 1] / sums[..., 0], sums[..., 2] / sums[..., 0]


def _pearson_features(values: Floats) -> Floats:
    """Gold, first and second value (D, 3) → 1, the values, their squares, gold · model (D, 9)."""
    return np.column_stack([np.ones(len(values)), values, values**2, values[:, :1] * values[:, 1:]])


def _pearson_of_sums(sums: Floats) -> tuple[Floats, Floats]:
    """Summed features (..., 9) → both correlations (...,), NaN where a side is constant."""
    means = sums[..., 1:] / sums[..., :1]
    gold, first, second = np.moveaxis(means[..., :3], -1, 0)
    variances = means[..., 3:6] - means[..., :3] ** 2
    # What rounding leaves of a constant side's variance; over all rows each variance is 1.
    variances = np.where(variances > ROUNDING, variances, np.nan)
    of_gold, of_first, of_second = np.moveaxis(variances, -1, 0)
    return (
        (means[..., 6] - gold * first) / np.sqrt(of_gold * of_first),
        (means[..., 7] - gold * second) / np.sqrt(of_gold * of_second),
    )


def _compare(
    rows: Floats, features: Features, scores: Scores, resamples: int, seed: int
) -> Comparison | None:
    found = paired_bootstrap(rows, features, scores, resamples=resamples, seed=seed)
    if found is None:
        return None
    intervals, p_value = found
    first, second, difference = (Estimate(*numbers) for numbers in intervals.tolist())
    return Comparison(first, second, difference, p_value, len(rows))


def _paired_rows(where: str, *sides: npt.ArrayLike) -> npt.NDArray[Any]:
    """The sides (N,) as columns (N, sides)."""
    columns = [np.asarray(side) for side in sides]
    shapes = [column.shape for column in columns]
    if len(set(shapes)) > 1 or columns[0].ndim != 1:
        raise ValueError(
            f"{where}: the sides have shapes {shapes}: give one value a row, of the same rows"
        )
    return np.stack(columns, axis=1)


def _check_seeds(where: str, first: npt.NDArray[Any], second: npt.NDArray[Any]) -> None:
    seeds = [len(np.atleast_2d(side)) for side in (first, second)]
    if seeds[0] != seeds[1]:
        raise ValueError(f"{where}: the sides are of {seeds[0]} and {seeds[1]} seeds: give as many")


def _check_margin(where: str, margin: float) -> None:
    if not margin > 0:
        raise ValueError(f"{where}: margin is {margin!r}: use a number above 0")
