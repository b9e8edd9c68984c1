"""Tests of data.rationales: quoted parts, spans and token labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cleaning import clean
from data.rationales import (
    MASK,
    find_spans,
    masked,
    merge,
    overlaps,
    project,
    spans_of_tokens,
    token_labels,
)

# "[CLS] so sorry [SEP]" with "sorry" in two pieces; specials have empty offsets.
OFFSETS = np.array([[0, 0], [0, 2], [3, 6], [6, 8], [0, 0]])
segmentations = st.lists(st.integers(1, 4), min_size=1, max_size=12)


def tokens_of(lengths):
    """Offsets of adjacent tokens of these lengths, between two special tokens."""
    ends = np.cumsum(lengths)
    inner = np.stack([ends - lengths, ends], axis=1)
    return np.concatenate([[[0, 0]], inner, [[0, 0]]])


@pytest.mark.parametrize(
    ("text", "parts", "spans"),
    [
        ("I am so sorry. Be well.", ["so sorry", "Be well"], [(5, 13), (15, 22)]),
        ("no no no", ["no", "no"], [(0, 2), (3, 5)]),
        ("a b c", ["c", "a"], [(0, 1), (4, 5)]),
        ("It will be ok", ["it WILL"], [(0, 7)]),
        ("I feel for you", ["I  feel foryou"], [(0, 14)]),
        ("line one. line two", ["one.line"], [(5, 14)]),
        ("Straße 5", ["STRASSE"], [(0, 6)]),
        ("one two three", ["one two", "two three"], [(0, 7), (4, 13)]),
        ("x", [], []),
    ],
    ids=[
        "two parts",
        "the second occurrence for the second part",
        "parts out of order",
        "another case",
        "other white space",
        "no white space",
        "a letter that folds to two",
        "parts that overlap",
        "no parts",
    ],
)
def test_the_spans_of_parts_by_hand(text, parts, spans):
    found, unmatched = find_spans(text, parts)
    assert found == merge(spans)
    assert unmatched == []


def test_overlapping_parts_are_one_span_and_touching_parts_two():
    assert merge([(4, 9), (0, 5), (9, 12)]) == [(0, 9), (9, 12)]
    assert merge([(0, 10), (2, 3)]) == [(0, 10)]


def test_a_part_is_looked_for_after_the_one_before_it():
    """Searching from the start each time gives the second 'sorry' the place of the first."""
    text = "sorry for that. I am sorry for you"
    assert find_spans(text, ["I am", "sorry"])[0] == [(16, 20), (21, 26)]
    assert find_spans(text, ["for you", "sorry"])[0] == [(0, 5), (27, 34)]


def test_a_part_that_is_not_there_is_reported_and_hides_no_other():
    assert find_spans("I hear you", ["I see", "you"]) == ([(7, 10)], ["I see"])
    assert find_spans("I hear you", ["You", "me", "us"]) == ([(7, 10)], ["me", "us"])


def test_entities_and_white_space_differ_between_text_and_part_but_meet_when_clean():
    text = clean("That&#39;s\n\n hard &amp; unfair,\u00a0I know").text
    parts = [clean(part).text for part in ("That's  hard &amp;amp; unfair", "I&nbsp;know")]
    spans, unmatched = find_spans(text, parts)
    assert [text[start:end] for start, end in spans] == ["That's hard & unfair", "I know"]
    assert unmatched == []


@given(st.text("ab ", min_size=1, max_size=30), st.data())
def test_a_part_cut_from_the_text_is_found_with_its_own_words(text, data):
    text = clean(text).text or "a"
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    part = clean(text[start:end]).text
    if part:
        ((first, last),), unmatched = find_spans(text, [part])
        assert (text[first:last], unmatched) == (part, [])


def test_a_masked_text_by_hand():
    text = "So sorry. I know, I am so sorry"
    assert masked(text, []) == text
    assert masked(text, [(0, 8)]) == f"{MASK}. I know, I am so sorry"
    assert masked(text, [(3, 8)]) == f"So {MASK}. I know, I am so {MASK}"
    assert masked(text, [(10, 16), (10 + 8, 31)]) == f"So sorry. {MASK}, {MASK}"
    assert masked(text, [(0, len(text))]) == MASK
    # A span keeps its own place where its words overlap themselves.
    assert masked("aaa b", [(1, 3)]) == f"a{MASK} b"


@given(st.text("ab .", max_size=12), st.lists(st.integers(0, 12), max_size=6))
def test_what_is_quoted_stands_nowhere_in_a_masked_text(text, places):
    ends = sorted({min(place, len(text)) for place in places})
    spans = [(start, end) for start, end in zip(ends[::2], ends[1::2], strict=False)]
    left = masked(text, spans).split(MASK)
    assert not any(text[start:end] in part for start, end in spans for part in left)
    if not spans:
        assert left == [text]


def test_overlaps_are_counted_in_characters():
    first, second = np.array([[0, 4], [4, 9], [2, 2]]), np.array([[3, 5], [9, 12]])
    np.testing.assert_array_equal(overlaps(first, second), [[1, 0], [1, 0], [0, 0]])


def test_a_token_that_shares_a_character_is_labelled_and_specials_are_unknown():
    nan = np.nan
    np.testing.assert_array_equal(token_labels([(3, 8)], OFFSETS), [nan, 0, 1, 1, nan])
    np.testing.assert_array_equal(token_labels([(1, 4)], OFFSETS), [nan, 1, 1, 0, nan])
    np.testing.assert_array_equal(token_labels([], OFFSETS), [nan, 0, 0, 0, nan])


def test_a_span_that_touches_a_token_without_sharing_leaves_it_0():
    np.testing.assert_array_equal(token_labels([(2, 3)], OFFSETS)[1:-1], [0, 0, 0])


def test_a_span_past_the_last_token_keeps_the_tokens_it_has():
    """Dropping it, as the 2020 code does, turns a long rationale into an empty one."""
    np.testing.assert_array_equal(token_labels([(6, 500)], OFFSETS)[1:-1], [0, 0, 1])
    np.testing.assert_array_equal(token_labels([(100, 500)], OFFSETS)[1:-1], [0, 0, 0])


def test_chosen_tokens_become_the_spans_of_their_runs():
    offsets = tokens_of([2, 3, 1, 4])
    chosen = np.array([True, True, True, False, True, True])
    assert spans_of_tokens(chosen, offsets) == [(0, 5), (6, 10)]
    assert spans_of_tokens(np.zeros(6, dtype=bool), offsets) == []


def test_a_special_token_inside_a_run_does_not_end_it():
    offsets = np.array([[0, 2], [0, 0], [2, 5]])
    assert spans_of_tokens(np.array([True, False, True]), offsets) == [(0, 5)]


@given(segmentations, st.data())
def test_labelling_the_spans_of_chosen_tokens_gives_the_tokens_back(lengths, data):
    offsets = tokens_of(lengths)
    size = len(offsets)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    labels = token_labels(spans_of_tokens(chosen, offsets), offsets)
    real = offsets[:, 1] > 0
    np.testing.assert_array_equal(labels[real] == 1, chosen[real])
    assert np.isnan(labels[~real]).all()


@given(segmentations, st.data())
def test_projecting_on_the_same_tokens_changes_nothing(lengths, data):
    offsets = tokens_of(lengths)
    chances = st.floats(0, 1, width=32)
    size = len(offsets)
    values = np.array(data.draw(st.lists(chances, min_size=size, max_size=size)), dtype=np.float32)
    projected = project(values, offsets, offsets)
    np.testing.assert_allclose(projected[1:-1], values[1:-1], rtol=1e-6)
    assert np.isnan(projected[[0, -1]]).all()


def test_a_token_takes_the_mean_weighted_by_shared_characters():
    """Teacher: abc|de|f; student: ab|cde|f. 'cde' has 1 character of the first, 2 of the second."""
    teacher, student = tokens_of([3, 2, 1]), tokens_of([2, 3, 1])
    values = np.array([9.0, 0.3, 0.9, 0.5, 9.0])
    np.testing.assert_allclose(
        project(values, teacher, student), [np.nan, 0.3, 0.7, 0.5, np.nan], rtol=1e-6
    )


def test_text_that_the_teacher_cut_off_is_unknown():
    """A 0 there would teach that nothing after the teacher's window is a rationale."""
    teacher, student = tokens_of([4]), tokens_of([2, 4, 3])
    projected = project(np.array([0.0, 0.8, 0.0]), teacher, student)
    np.testing.assert_allclose(projected, [np.nan, 0.8, 0.8, np.nan, np.nan], rtol=1e-6)


@given(segmentations, segmentations, st.data())
def test_a_projected_value_lies_between_those_it_comes_from(first, second, data):
    teacher, student = tokens_of(first), tokens_of(second)
    size = len(teacher)
    values = np.array(data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size)))
    projected = project(values, teacher, student)
    shared = overlaps(student, teacher) > 0
    for value, its in zip(projected, shared, strict=True):
        if its.any():
            assert values[its].min() - 1e-6 <= value <= values[its].max() + 1e-6
        else:
            assert np.isnan(value)
