"""Tests of kd.report.slices: which rows a slice holds."""

import numpy as np
import pytest

from kd.report.slices import slices_of


def rows_in(name, texts, contexts=None):
    found = slices_of(texts, contexts or [""] * len(texts))
    return np.flatnonzero(found[name]).tolist()


@pytest.mark.parametrize(
    "text", ["I do not know", "I don't know", "I can’t", "Never again", "nobody came", "I cannot"]
)
def test_negations_are_found(text):
    assert rows_in("with a negation", [text, "a note on knots and another"]) == [0]


@pytest.mark.parametrize("text", ["so glad \U0001f600", "love it ❤", "great :)", "oh ;-)"])
def test_emojis_are_found(text):
    assert rows_in("with an emoji", [text, "room 7 # 3, at 10:30 (late)"]) == [0]


def test_lengths_are_thirds_that_hold_every_row_once():
    texts = ["word " * count for count in range(1, 31)]
    found = slices_of(texts, [""] * 30)
    by_length = [mask for name, mask in found.items() if name.endswith(" words")]
    assert len(by_length) == 3
    assert np.sum(by_length, axis=0).tolist() == [1] * 30
    assert [int(mask.sum()) for mask in by_length] == [10, 10, 10]


def test_a_slice_and_its_opposite_hold_every_row_once():
    texts = ["is it?", "it is", "no", "yes \U0001f600"]
    found = slices_of(texts, ["a post", "", "", "another"])
    assert np.flatnonzero(found["with a seeker's post"]).tolist() == [0, 3]
    for one, other in (
        ("with a seeker's post", "without one"),
        ("with a question mark", "without a question mark"),
        ("with a negation", "without a negation"),
        ("with an emoji", "without an emoji"),
    ):
        assert (found[one] ^ found[other]).all()
