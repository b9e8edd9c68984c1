"""Splits: no text, post or writer in two of them, every class in its share, the same for a seed."""

from array import array
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from data.sources import SPLITS, Split


def connected(links: Sequence[Sequence[Hashable]]) -> list[int]:
    """The group number of each row, rows that share a link (directly or through others) together.

    links[i] are the things of row i that must not be divided: its text, its post, its writer.
    """
    parent = list(range(len(links)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_row: dict[Hashable, int] = {}
    for row, things in enumerate(links):
        for thing in things:
            other = root(first_row.setdefault(thing, row))
            mine = root(row)
            parent[max(mine, other)] = min(mine, other)
    return [root(row) for row in range(len(links))]


def assign_splits(
    *,
    groups: Sequence[int],
    labels: Sequence[Sequence[Hashable]],
    given: Sequence[Split | None],
    fractions: dict[Split, float],
    seed: int,
) -> list[Split]:
    """The split of each row.

    groups: (rows,) rows of one group stay together. labels: what each row counts towards (a task
    and class). given: the split its file names, or None. A group with a given split goes there
    whole, test before dev before train. The others are divided by iterative stratification
    (Sechidis et al. 2011): the rarest label first, each group to the split that still wants most
    of it.
    """
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    group = np.argsort(np.argsort(first))[group]  # numbered as they are first met
    chosen = np.full(len(first), -1, dtype=np.int8)
    numbers: dict[Split | None, int] = {split: number for number, split in enumerate(SPLITS)}
    np.maximum.at(chosen, group, np.array([numbers.get(s, -1) for s in given], dtype=np.int8))
    free = np.flatnonzero(chosen < 0)
    np.random.default_rng(seed).shuffle(free)
    _stratify(free, group, labels, chosen, fractions)
    return [SPLITS[number] for number in chosen[group]]


def _stratify(
    free: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    labels: Sequence[Sequence[Hashable]],
    chosen: npt.NDArray[np.int8],
    fractions: dict[Split, float],
) -> None:
    """Set the split's number, in `chosen` (groups,), of the free groups; group: (rows,)."""
    sizes = np.bincount(group, minlength=len(chosen))
    starts, held, counts, names = _held(group, labels, chosen < 0)
    total = np.bincount(held, weights=counts, minlength=len(names)).astype(np.int64).tolist()
    room = {split: share * int(sizes[free].sum()) for split, share in fractions.items()}
    wanted = {split: [share * n for n in total] for split, share in fractions.items()}
    owners = np.repeat(np.arange(len(chosen)), np.diff(starts))
    # Large groups first: what is left then fills the gaps. The sort keeps the shuffled order.
    free = free[np.argsort(-sizes[free], kind="stable")]
    order = sorted(range(len(names)), key=lambda label: (total[label], str(names[label])))
    for label in [*order, None]:
        is_waiting = chosen < 0
        if label is not None:
            is_waiting &= np.isin(np.arange(len(chosen)), owners[held == label])
        for one in free[is_waiting[free]]:
            split = max(
                fractions,
                key=lambda s: (wanted[s][label] if label is not None else 0.0, room[s]),
            )
            chosen[one] = SPLITS.index(split)
            room[split] -= int(sizes[one])
            for place in range(starts[one], starts[one + 1]):
                wanted[split][held[place]] -= int(counts[place])


def _held(
    group: npt.NDArray[np.int64],
    labels: Sequence[Sequence[Hashable]],
    is_free: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], list[Hashable]]:
    """The labels of the free groups: group g holds held[starts[g] : starts[g + 1]], numbers into
    the names, each counts[...] times."""
    numbers: dict[Hashable, int] = {}
    of_group, of_label = array("q"), array("q")
    for one, things in zip(group, labels, strict=True):
        if is_free[one]:
            for thing in things:
                of_group.append(one)
                of_label.append(numbers.setdefault(thing, len(numbers)))
    pairs = np.asarray(of_group) * max(1, len(numbers)) + np.asarray(of_label)
    pairs, counts = np.unique(pairs, return_counts=True)
    owners, held = np.divmod(pairs, max(1, len(numbers)))
    starts = np.searchsorted(owners, np.arange(len(is_free) + 1))
    return starts, held, counts, list(numbers)


def shared_links(
    links: Sequence[Sequence[Hashable]], splits: Sequence[Split]
) -> dict[tuple[Split, Split], int]:
    """How many texts, posts and writers stand in each two splits: all 0 in a leak-free split."""
    bits = {split: 1 << number for number, split in enumerate(SPLITS)}
    places: dict[Hashable, int] = {}
    for things, split in zip(links, splits, strict=True):
        for thing in things:
            places[thing] = places.get(thing, 0) | bits[split]
    found = Counter(places.values())
    pairs: list[tuple[Split, Split]] = [("train", "dev"), ("train", "test"), ("dev", "test")]
    wanted = {(a, b): bits[a] | bits[b] for a, b in pairs}
    return {
        pair: sum(number for places, number in found.items() if places & both == both)
        for pair, both in wanted.items()
    }
