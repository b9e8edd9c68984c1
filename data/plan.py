"""The batch plan: which rows each step trains on, a pure function of (seed, step)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

Sampling = Literal["proportional", "size_power", "temperature", "uniform"]


@dataclass(frozen=True)
class BatchPlan:
    """Mixed global batches over pools of rows; a pool is the rows that know the same tasks.

    quotas: (steps + 1, pools), rows drawn from each pool before each step. Every pool walks its
    own seeded permutations, one a pass, so after k passes each of its rows was seen k times.
    """

    pools: tuple[npt.NDArray[np.int64], ...]
    quotas: npt.NDArray[np.int64]
    seed: int

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return len(self.quotas) - 1

    def batch(self, step: int) -> npt.NDArray[np.int64]:
        """Row numbers of the global batch of a step, the same in every process."""
        chosen = [
            rows[self._positions(pool, int(start), int(end))]
            for pool, (rows, start, end) in enumerate(
                zip(self.pools, self.quotas[step], self.quotas[step + 1], strict=True)
            )
        ]
        return np.concatenate(chosen)

    def _positions(self, pool: int, start: int, end: int) -> npt.NDArray[np.int64]:
        size = len(self.pools[pool])
        drawn = np.arange(start, end)
        positions = np.empty(len(drawn), dtype=np.int64)
        for one_pass in range(start // size, -(-end // size)):
            inside = drawn // size == one_pass
            order = _permutation(self.seed, pool, one_pass, size)
            positions[inside] = order[drawn[inside] % size]
        return positions


# A pool is walked over many steps, and drawing the order of a million rows takes tens of ms.
@lru_cache(maxsize=8)
def _permutation(seed: int, pool: int, one_pass: int, size: int) -> npt.NDArray[np.int64]:
    """The order of a pool's rows in one pass: no state, it follows from (seed, pool, pass)."""
    order = np.random.default_rng((seed, pool, one_pass)).permutation(size)
    order.setflags(write=False)
    return order


def make_plan(
    known: npt.NDArray[np.bool_],
    *,
    batch_size: int,
    epochs: float,
    seed: int,
    sampling: Sampling = "proportional",
    alpha: float = 0.75,
    max_steps: int | None = None,
) -> BatchPlan:
    """Plan the whole run.

    known: (rows, tasks), which tasks each row has a target of; rows without any are left out.
    A task of n rows gets a share of every batch in proportion to n (proportional), n^alpha
    (size_power), n^(1/alpha) (temperature) or 1 (uniform); a row of several tasks is drawn as often
    as its rarest task asks. The run has ceil(epochs * rows / batch_size) steps, or `max_steps`.

    Raises ValueError when no row has a target.
    """
    signatures = known.astype(np.int64) @ (1 << np.arange(known.shape[1], dtype=np.int64))
    pools = tuple(
        np.flatnonzero(signatures == signature)
        for signature in np.unique(signatures)
        if signature != 0
    )
    if not pools:
        raise ValueError("no row has a target")
    sizes = np.array([len(pool) for pool in pools], dtype=np.float64)
    task_sizes = known.sum(axis=0).astype(np.float64)
    rarest = np.array([task_sizes[known[pool[0]]].min() for pool in pools])
    shares = pool_shares(sizes, rarest, sampling, alpha)
    steps = max_steps or max(1, int(np.ceil(epochs * sizes.sum() / batch_size - 1e-9)))
    quotas = np.zeros((steps + 1, len(pools)), dtype=np.int64)
    for step in range(steps):
        quotas[step + 1] = quotas[step] + _quota(
            (step + 1) * batch_size * shares - quotas[step], batch_size
        )
    return BatchPlan(pools, quotas, seed)


def pool_shares(
    sizes: npt.NDArray[np.float64],
    rarest: npt.NDArray[np.float64],
    sampling: Sampling,
    alpha: float,
) -> npt.NDArray[np.float64]:
    """The share of each pool in every batch.

    sizes: rows of each pool; rarest: rows of the rarest task that the pool's rows know, over all
    pools. Both (pools,).
    """
    powers = {
        "proportional": 1.0,
        "size_power": alpha,
        "temperature": 1.0 / alpha,
        "uniform": 0.0,
    }
    weights = sizes * rarest ** (powers[sampling] - 1.0)
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares


def _quota(owed: npt.NDArray[np.float64], batch_size: int) -> npt.NDArray[np.int64]:
    """Whole rows a pool for one step: what each is owed, the largest remainders rounded up."""
    quota = np.maximum(np.floor(owed), 0).astype(np.int64)
    while quota.sum() > batch_size:
        quota[np.argmax(np.where(quota > 0, quota - owed, -np.inf))] -= 1
    while quota.sum() < batch_size:
        quota[np.argmax(owed - quota)] += 1
    return quota


def shard(
    rows: npt.NDArray[np.int64], lengths: Sequence[int] | npt.NDArray[np.int64], parts: int
) -> list[npt.NDArray[np.int64]]:
    """Divide a global batch among `parts` processes or micro-steps, evenly by length.

    lengths: tokens of each row of `rows`. Every row lands in exactly one part; with fewer rows
    than parts some are empty.
    """
    order = rows[np.argsort(np.asarray(lengths), kind="stable")]
    return [order[part::parts] for part in range(parts)]
