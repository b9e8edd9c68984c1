"""How far two annotators agree on the rows that both labelled: Cohen's kappa.

Letters: N = rows, C = labels, B = resamples held at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import cohen_kappa_score

from data.errors import InputError, shown
from data.readers.compressed import ending_of
from data.readers.record import csv_rows
from kd.resampling import Floats, paired_bootstrap
from kd.statistics import RESAMPLES, Estimate

Weights = Literal["linear", "quadratic"]
# A column with more kinds of cells holds no labels, and they may be anything.
MOST_LABELS = 50


@dataclass(frozen=True)
class Annotations:
    """One annotator's file: id → label, and the ids of the rows without one."""

    path: Path
    labels: dict[str, str]
    unlabelled: tuple[str, ...]

    @property
    def ids(self) -> set[str]:
        """All ids, with a label or without."""
        return {*self.labels, *self.unlabelled}


@dataclass(frozen=True)
class Agreement:
    """Two annotators' agreement; kappa is None where both gave one label to all rows.

    confusion: (C, C) rows with the first annotator's label i and the second's j.
    """

    labels: tuple[str, ...]
    confusion: npt.NDArray[np.int64]
    share: Estimate
    kappa: Estimate | None

    @property
    def rows(self) -> int:
        """Rows that both labelled."""
        return int(self.confusion.sum())


def read_annotations(path: Path, column: str = "label") -> Annotations:
    """A file with the columns id and label (.tsv: with tabs, else commas).

    Raises InputError for a missing file or column, an empty id, and an id that stands twice.
    """
    labels: dict[str, str] = {}
    unlabelled: dict[str, None] = {}
    delimiter = "\t" if ending_of(path) == ".tsv" else ","
    for row in csv_rows(path, ("id", column), delimiter=delimiter):
        name, label = row.cells["id"].strip(), row.cells[column].strip()
        if not name:
            raise InputError(f"{row.where}, column 'id': is empty: give each row its id")
        if name in labels or name in unlabelled:
            raise InputError(f"{row.where}, column 'id': {shown(name)} stands twice: delete one")
        if label:
            labels[name] = label
        else:
            unlabelled[name] = None
    return Annotations(path, labels, tuple(unlabelled))


def agreement(
    first: Annotations,
    second: Annotations,
    *,
    levels: Sequence[str] = (),
    weights: Weights | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Agreement:
    """Cohen's kappa (1960) and the share of equal labels, with 95 % bootstrap intervals.

    Of the rows that both labelled. levels: the labels in order; without them all that were given,
    sorted. weights: how far apart two levels are, by their places or the square of these (Cohen
    1968), for which the order must be given. An interval is from resampled rows (see
    kd.resampling); with a single row it has no width.

    Raises InputError where no row has both labels, for a label that is no level, more than
    MOST_LABELS labels, and weights without levels.
    """
    if weights is not None and not levels:
        raise InputError(f"--weights {weights}: needs the order: give --levels lowest,…,highest")
    if len(set(levels)) < len(levels):
        raise InputError(f"--levels: one of {','.join(levels)!r} stands twice: name each once")
    both = [name for name in first.labels if name in second.labels]
    if not both:
        raise InputError(
            f"{first.path}, {second.path}: no id has a label in both: "
            f"give two annotators' files of the same rows"
        )
    pairs = [(first.labels[name], second.labels[name]) for name in both]
    found = sorted({label for pair in pairs for label in pair})
    if len(found) > MOST_LABELS:
        raise InputError(
            f"{first.path}, {second.path}: {len(found):,} different labels, where {MOST_LABELS} "
            f"are the most: name the labels' column with --column"
        )
    unknown = [label for label in found if levels and label not in levels]
    if unknown:
        raise InputError(
            f"{first.path}, {second.path}: {shown(unknown[0])} is no level: "
            f"choose from {', '.join(levels)}"
        )
    labels = tuple(levels or found)
    rows = np.array([[labels.index(a), labels.index(b)] for a, b in pairs], dtype=np.int64)
    places = np.arange(len(labels))
    share = float((rows[:, 0] == rows[:, 1]).mean())
    # With one label alone chance agrees as well as anybody: 0/0.
    is_defined = len(found) > 1
    kappa = cohen_kappa_score(*rows.T, labels=places, weights=weights) if is_defined else np.nan
    intervals = paired_bootstrap(
        rows.astype(np.float64),
        lambda distinct: _cells(distinct.astype(np.int64), len(labels)),
        partial(_scores, distances=_distances(len(labels), weights)),
        resamples=resamples,
        seed=seed,
    )
    bounds = intervals[0][:2, 1:] if intervals else np.array([[share] * 2, [kappa] * 2])
    return Agreement(
        labels=labels,
        confusion=_cells(rows, len(labels)).sum(axis=0).astype(np.int64).reshape(len(labels), -1),
        share=Estimate(share, *bounds[0].tolist()),
        kappa=Estimate(float(kappa), *bounds[1].tolist()) if is_defined else None,
    )


def _distances(count: int, weights: Weights | None) -> Floats:
    """(C, C) how far two labels are apart: 1 where they differ, or by their places."""
    places = np.arange(count)
    apart = np.abs(places[:, None] - places)
    if weights is None:
        return (apart > 0).astype(np.float64)
    return apart.astype(np.float64) ** (1 if weights == "linear" else 2)


def _cells(pairs: npt.NDArray[np.int64], count: int) -> Floats:
    """Pairs of labels' places (N, 2) → which cell of the confusion they are in (N, C · C)."""
    return np.eye(count * count)[pairs[:, 0] * count + pairs[:, 1]]


def _scores(sums: Floats, distances: Floats) -> tuple[Floats, Floats]:
    """Summed cells (B, C · C) → share of equal labels, and kappa (B,): 1 − seen / expected."""
    count = len(distances)
    confusion = sums.reshape(*sums.shape[:-1], count, count)
    rows = confusion.sum(axis=(-1, -2))
    by_chance = confusion.sum(axis=-1)[..., :, None] * confusion.sum(axis=-2)[..., None, :]
    seen = (confusion * distances).sum(axis=(-1, -2))
    expected = (by_chance * distances).sum(axis=(-1, -2)) / rows
    return np.trace(confusion, axis1=-2, axis2=-1) / rows, 1 - seen / expected
