"""Splits: no text, post or writer in two of them, every class in its share, the same for a seed."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

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
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        members[group].append(row)
    chosen: dict[int, Split] = {}
    for group, rows in members.items():
        named = {given[row] for row in rows} - {None}
        for split in reversed(SPLITS):
            if split in named:
                chosen[group] = split
                break
    free = [group for group in members if group not in chosen]
    np.random.default_rng(seed).shuffle(free)
    chosen.update(_stratify(free, members, labels, fractions))
    return [chosen[group] for group in groups]


def _stratify(
    free: list[int],
    members: dict[int, list[int]],
    labels: Sequence[Sequence[Hashable]],
    fractions: dict[Split, float],
) -> dict[int, Split]:
    counts = {
        group: Counter(label for row in members[group] for label in labels[row]) for group in free
    }
    total: Counter[Hashable] = Counter()
    holders: dict[Hashable, list[int]] = defaultdict(list)
    for group in free:
        total.update(counts[group])
        for label in counts[group]:
            holders[label].append(group)
    rows = sum(len(members[group]) for group in free)
    room = {split: share * rows for split, share in fractions.items()}
    wanted = {
        split: {label: share * number for label, number in total.items()}
        for split, share in fractions.items()
    }
    chosen: dict[int, Split] = {}
    # Large groups first: what is left then fills the gaps. The sort keeps the shuffled order.
    order = sorted(total, key=lambda label: (total[label], str(label)))
    for label in [*order, None]:
        waiting = free if label is None else holders[label]
        for group in sorted(waiting, key=lambda g: -len(members[g])):
            if group in chosen:
                continue
            split = max(
                fractions,
                key=lambda s: (wanted[s][label] if label is not None else 0.0, room[s]),
            )
            chosen[group] = split
            room[split] -= len(members[group])
            for other, number in counts[group].items():
                wanted[split][other] -= number
    return chosen


def shared_links(
    links: Sequence[Sequence[Hashable]], splits: Sequence[Split]
) -> dict[tuple[Split, Split], int]:
    """How many texts, posts and writers stand in each two splits: all 0 in a leak-free split."""
    places: dict[Hashable, set[Split]] = defaultdict(set)
    for things, split in zip(links, splits, strict=True):
        for thing in things:
            places[thing].add(split)
    pairs: list[tuple[Split, Split]] = [("train", "dev"), ("train", "test"), ("dev", "test")]
    return {pair: sum(1 for found in places.values() if set(pair) <= found) for pair in pairs}
