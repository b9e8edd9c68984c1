"""Trust: how much of what a teacher says of a row is believed, by how near it is to gold there.

With several teachers t of weights w_t, whose target of a row is soft_t, the row's target is

    soft' = gold + kept * (sum_t among_t * soft_t - gold)
    among_t = w_t * trust_t / kept        kept = sum_t w_t * trust_t        (sum_t w_t = 1)

so a teacher keeps the share of its say that it is trusted with, and gold takes the rest. trust_t is
the chance that the teacher gives to the gold class, which is 1 less the total variation distance
between its chances and gold; of a regression it is 1 less the distance on the scale from 0 to 1.

among_t are the responsibilities of a mixture of experts (Jacobs et al. 1991). That teachers count
row by row, by how near gold they are, is in Zhang et al. (2022, CA-MKD); that a teacher's target is
mended where it is wrong is in Wen et al. (2021, "Preparing lessons"). This formula is our own.

Letters: N = rows, M = teachers, C = classes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.encoding import Floats
from data.tasks import TaskSpec

Numbers = npt.NDArray[np.float64]


def trust_in(soft: Numbers | Floats, gold: Floats, spec: TaskSpec) -> Numbers:
    """(N,) trust in a teacher's (N, C) chances or values; NaN where it or gold is unknown."""
    if spec.kind == "regression":
        return np.maximum(0.0, 1.0 - np.abs(soft[:, 0].astype(np.float64) - gold[:, 0]))
    return np.sum(soft.astype(np.float64) * gold, axis=1)


def shares(
    weights: Sequence[float], knows: npt.NDArray[np.bool_], trust: Numbers | None
) -> tuple[Numbers, Numbers]:
    """(N, M) `among`, which add up to 1 in each row that a teacher knows, and (N,) `kept`.

    weights: (M,). knows: (N, M) whether a teacher labelled the row; those that did not have no
    share. trust: (N, M), NaN where gold is unknown: such rows keep the weights, and all of them.
    Where no teacher is trusted at all, `kept` is 0 and `among` the weights.
    """
    among = np.where(knows, np.asarray(weights, dtype=np.float64), 0.0)
    among /= np.maximum(among.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    kept = np.ones(len(among))
    if trust is not None:
        weighed = among * np.where(knows & np.isfinite(trust), trust, 1.0)
        kept = np.where(knows.any(axis=1), weighed.sum(axis=1), 1.0)
        is_trusted = (kept > 0)[:, None]
        among = np.where(is_trusted, weighed / np.where(is_trusted, kept[:, None], 1.0), among)
    return among, kept
