"""Tests of kd.agreement: kappa against scikit-learn and by hand, and which rows count."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import cohens_kappa

from data.errors import InputError
from kd.agreement import MOST_LABELS, _cells, _distances, _scores, agreement, read_annotations

LEVELS = ("none", "weak", "strong")


@pytest.fixture
def annotated(tmp_path):
    """A function that writes labels by id as one annotator's file, read again."""

    def read(name, labels):
        path = tmp_path / f"{name}.csv"
        path.write_text("id,label\n" + "".join(f"{i},{label}\n" for i, label in labels.items()))
        return read_annotations(path)

    return read


@pytest.fixture
def two(annotated):
    """A function that draws two annotators' labels of some rows, which are equal by 70 %."""

    def drawn(rows, labels=LEVELS):
        random = np.random.default_rng(0)
        first = random.choice(labels, rows, p=[0.5, 0.3, 0.2])
        second = np.where(random.random(rows) < 0.7, first, random.choice(labels, rows))
        return tuple(
            annotated(name, dict(enumerate(side))) for name, side in (("a", first), ("b", second))
        )

    return drawn


def test_kappa_by_hand(annotated):
    """20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.7 seen, 0.5 by chance."""
    pairs = ["yes yes"] * 20 + ["yes no"] * 5 + ["no yes"] * 10 + ["no no"] * 15
    one, other = (
        annotated(name, {number: pair.split()[side] for number, pair in enumerate(pairs)})
        for side, name in enumerate("ab")
    )
    found = agreement(one, other)
    assert found.labels == ("no", "yes")
    assert found.confusion.tolist() == [[15, 10], [5, 20]]
    assert found.share.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert found.rows == 50


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_kappa_in_every_resample_equals_scikit_learn(weights):
    random = np.random.default_rng(1)
    places = random.integers(0, 4, (30, 2))
    share, kappa = _scores(_cells(places, 4).sum(axis=0)[None], _distances(4, weights))
    expected = cohen_kappa_score(*places.T, labels=range(4), weights=weights)
    assert kappa == pytest.approx([expected])
    assert share == pytest.approx([(places[:, 0] == places[:, 1]).mean()])


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_the_interval_is_near_that_for_many_rows(two, weights):
    """Of 400 rows the large-sample interval (Fleiss et al. 1969) holds; it is another way."""
    found = agreement(*two(400), levels=LEVELS, weights=weights)
    expected = cohens_kappa(found.confusion, wt=weights)
    assert found.kappa.value == pytest.approx(expected.kappa)
    assert found.kappa.low == pytest.approx(expected.kappa_low, abs=0.02)
    assert found.kappa.high == pytest.approx(expected.kappa_upp, abs=0.02)


def test_a_level_that_nobody_gave_still_keeps_its_neighbours_apart(annotated):
    one = annotated("a", {1: "none", 2: "strong", 3: "none"})
    other = annotated("b", {1: "none", 2: "strong", 3: "strong"})
    found = agreement(one, other, levels=LEVELS, weights="linear")
    assert found.labels == LEVELS
    assert found.confusion.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 1]]
    assert found.kappa.value == pytest.approx(cohens_kappa(found.confusion, wt="linear").kappa)


def test_only_rows_with_both_labels_count_and_their_order_does_not(annotated):
    one = annotated("a", {"x": "0", "y": "1", "z": "", "only": "1", "w": "1"})
    other = annotated("b", {"w": "1", "y": "0", "x": "0", "z": "1", "too": ""})
    found = agreement(one, other)
    assert found.confusion.tolist() == [[1, 0], [1, 1]]
    assert one.unlabelled == ("z",)
    assert other.unlabelled == ("too",)
    assert one.ids - other.ids == {"only"}


def test_one_label_alone_has_no_kappa(annotated):
    one, other = (annotated(name, {1: "none", 2: "none"}) for name in "ab")
    found = agreement(one, other)
    assert found.kappa is None
    assert (found.share.value, found.share.low, found.share.high) == (1, 1, 1)


def test_a_single_row_has_no_interval(annotated):
    found = agreement(annotated("a", {1: "x"}), annotated("b", {1: "y"}))
    assert (found.kappa.value, found.kappa.low, found.kappa.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\na,x\na,\n", ":3, column 'id': 'a' stands twice: delete one"),
        ("id,label\n ,x\n", ":2, column 'id': is empty"),
        ("id,text\na,x\n", "column 'label' is missing"),
        ("id,label\na,x,y\n", ":2: has 3 cells: the header names 2"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, content, message):
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_annotations(path)


def test_tabs_divide_the_cells_of_a_tsv(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("id\tmood\na,b\tsad, glad\n")
    assert read_annotations(path, "mood").labels == {"a,b": "sad, glad"}


@pytest.mark.parametrize(
    ("second", "options", "message"),
    [
        ({"z": "x"}, {}, "no id has a label in both"),
        ({"a": "x"}, {"weights": "linear"}, "--weights linear: needs the order"),
        ({"a": "x"}, {"levels": ("x", "x")}, "'x,x' stands twice"),
        ({"a": "y"}, {"levels": ("x", "z")}, "'y' is no level: choose from x, z"),
    ],
)
def test_what_can_not_be_compared_is_refused(annotated, second, options, message):
    with pytest.raises(InputError, match=message):
        agreement(annotated("a", {"a": "x"}), annotated("b", second), **options)


def test_a_column_of_texts_is_refused_without_a_word_of_them(annotated):
    texts = {number: f"nobody knows {number}" for number in range(MOST_LABELS + 1)}
    with pytest.raises(InputError, match="51 different labels, where 50 are the most") as refusal:
        agreement(annotated("a", texts), annotated("b", texts))
    assert "nobody" not in str(refusal.value)
