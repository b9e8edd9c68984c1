"""Tests of data.splits: nothing shared between splits, shares kept, the same for a seed."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits import assign_splits, connected, shared_links

FRACTIONS = {"train": 0.7, "dev": 0.1, "test": 0.2}
NOTHING_SHARED = {("train", "dev"): 0, ("train", "test"): 0, ("dev", "test"): 0}
few_links = st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=20)
given_splits = st.sampled_from([None, None, None, "train", "dev", "test"])


def singles(rows):
    """Groups of one row each."""
    return list(range(rows))


def test_rows_are_connected_through_others():
    links = [["a"], ["b"], ["a", "c"], ["d"], ["c", "b"], []]
    groups = connected(links)
    assert groups[0] == groups[1] == groups[2] == groups[4]
    assert len({groups[0], groups[3], groups[5]}) == 3


@given(few_links)
def test_two_rows_are_in_one_group_exactly_when_a_path_of_links_joins_them(links):
    groups = connected(links)
    reached = [
        {row} | {o for o in range(len(links)) if set(links[o]) & set(links[row])}
        for row in range(len(links))
    ]
    for _ in links:
        reached = [set().union(*(reached[other] for other in mine)) for mine in reached]
    for row, mine in enumerate(reached):
        assert mine == {other for other, group in enumerate(groups) if group == groups[row]}


@given(few_links, st.data())
def test_no_link_stands_in_two_splits(links, data):
    given = data.draw(st.lists(given_splits, min_size=len(links), max_size=len(links)))
    splits = assign_splits(
        groups=connected(links),
        labels=[[("task", len(things))] for things in links],
        given=given,
        fractions=FRACTIONS,
        seed=0,
    )
    assert shared_links(links, splits) == NOTHING_SHARED


@given(few_links, st.data())
def test_a_group_goes_whole_to_the_split_of_its_file_test_before_dev_before_train(links, data):
    """A training text that also stands in the test file would be learnt by heart."""
    given = data.draw(st.lists(given_splits, min_size=len(links), max_size=len(links)))
    groups = connected(links)
    splits = assign_splits(
        groups=groups, labels=[[] for _ in links], given=given, fractions=FRACTIONS, seed=0
    )
    order = ("test", "dev", "train")
    for row, group in enumerate(groups):
        named = {given[other] for other, its in enumerate(groups) if its == group} - {None}
        if named:
            assert splits[row] == next(split for split in order if split in named)


def test_shared_links_are_counted_once_for_each_two_splits():
    links = [["a", "b"], ["a"], ["a", "b"], ["c"], ["b"]]
    assert shared_links(links, ["train", "dev", "test", "train", "test"]) == {
        ("train", "dev"): 1,
        ("train", "test"): 2,
        ("dev", "test"): 1,
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_class_of_every_task_is_divided_in_its_share(seed):
    """Also the rare ones: at random, 20 rows leave 0.1 of them to dev with a spread of 1.3."""
    rows = 1000
    sizes = {"common": 780, "second": 200, "rare": 20}
    level = [name for name, number in sizes.items() for _ in range(number)]
    mood = ["glad" if row % 3 else "sad" for row in range(rows)]
    splits = assign_splits(
        groups=singles(rows),
        labels=[[("level", a), ("mood", b)] for a, b in zip(level, mood, strict=True)],
        given=[None] * rows,
        fractions=FRACTIONS,
        seed=seed,
    )
    found = Counter(splits)
    assert {split: abs(found[split] - share * rows) <= 2 for split, share in FRACTIONS.items()} == {
        "train": True,
        "dev": True,
        "test": True,
    }
    for values in (level, mood):
        cells = Counter(zip(values, splits, strict=True))
        for value, number in Counter(values).items():
            for split, share in FRACTIONS.items():
                assert abs(cells[value, split] - share * number) <= 2, (value, split)


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.75, "dev": 0.05, "test": 0.2},
        {"train": 0.8, "dev": 0.1, "test": 0.1},
        {"train": 0.6, "dev": 0.2, "test": 0.2},
    ],
    ids=["75/5/20", "80/10/10", "60/20/20"],
)
@pytest.mark.parametrize("levels", [(2037, 895, 152), (1626, 114, 1344), (2604, 104, 376)])
def test_single_rows_are_divided_to_rounding_and_every_level_within_one_row(fractions, levels):
    """The levels of the published empathy files, emotional reactions first."""
    level = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], levels)).tolist()
    splits = assign_splits(
        groups=singles(3084),
        labels=[[("level", one)] for one in level],
        given=[None] * 3084,
        fractions=fractions,
        seed=12,
    )
    found, cells = Counter(splits), Counter(zip(level, splits, strict=True))
    for split, share in fractions.items():
        assert abs(found[split] - share * 3084) <= 1
        for one, number in enumerate(levels):
            assert abs(cells[one, split] - share * number) <= 1, (one, split)


def stratified_by_hand(groups, labels, seed):
    """Iterative stratification as its paper writes it, with a mapping for everything."""
    members, counts = {}, {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
        counts.setdefault(group, Counter()).update(labels[row])
    free = list(members)
    np.random.default_rng(seed).shuffle(free)
    total = sum(counts.values(), Counter())
    room = {split: share * len(groups) for split, share in FRACTIONS.items()}
    wanted = {s: {label: share * n for label, n in total.items()} for s, share in FRACTIONS.items()}
    chosen = {}
    for label in [*sorted(total, key=lambda one: (total[one], str(one))), None]:
        for group in sorted(free, key=lambda g: -len(members[g])):
            if group in chosen or (label is not None and label not in counts[group]):
                continue
            split = max(FRACTIONS, key=lambda s: (wanted[s].get(label, 0.0), room[s]))
            chosen[group] = split
            room[split] -= len(members[group])
            for other, number in counts[group].items():
                wanted[split][other] -= number
    return [chosen[group] for group in groups]


@pytest.mark.parametrize("seed", range(5))
def test_the_splits_are_those_of_the_plain_algorithm(seed):
    """Groups of one to a dozen rows, with none to three labels each, in no order."""
    random = np.random.default_rng(seed)
    groups = random.integers(0, 150, 500).tolist()
    labels = [
        [(name, int(random.integers(0, size))) for name, size in (("a", 2), ("b", 9), ("c", 40))]
        for _ in groups
    ]
    labels = [found[: random.integers(0, 4)] for found in labels]
    splits = assign_splits(
        groups=groups, labels=labels, given=[None] * 500, fractions=FRACTIONS, seed=seed
    )
    assert splits == stratified_by_hand(groups, labels, seed)


def test_rows_without_any_label_are_divided_in_their_shares():
    splits = assign_splits(
        groups=singles(100), labels=[[]] * 100, given=[None] * 100, fractions=FRACTIONS, seed=0
    )
    assert Counter(splits) == {"train": 70, "dev": 10, "test": 20}


def test_a_split_with_share_0_stays_empty():
    groups = np.random.default_rng(0).integers(0, 30, 200).tolist()
    splits = assign_splits(
        groups=groups,
        labels=[[("task", row % 2)] for row in range(200)],
        given=[None] * 200,
        fractions={"train": 0.8, "dev": 0.2, "test": 0.0},
        seed=0,
    )
    assert set(splits) == {"train", "dev"}


def test_given_splits_take_no_part_in_the_shares():
    given = ["test"] * 50 + [None] * 50
    splits = assign_splits(
        groups=singles(100), labels=[[]] * 100, given=given, fractions=FRACTIONS, seed=0
    )
    assert set(splits[:50]) == {"test"}
    assert Counter(splits[50:]) == {"train": 35, "dev": 5, "test": 10}


def test_a_seed_fixes_the_splits_and_another_seed_changes_them():
    def splits(seed):
        return assign_splits(
            groups=singles(200),
            labels=[[("task", row % 4)] for row in range(200)],
            given=[None] * 200,
            fractions=FRACTIONS,
            seed=seed,
        )

    assert splits(3) == splits(3)
    assert splits(3) != splits(4)
