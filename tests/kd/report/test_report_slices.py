"""Tests of kd.report.slices: which rows a slice holds, and how both models do on them."""

from dataclasses import replace

import numpy as np
import pytest

from kd.report.slices import slices_of, slices_section


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


TEXTS = ["is it you?" if n < 30 else "it is" if n < 39 else "no" for n in range(40)]


@pytest.fixture
def section(planted, finished):
    """Of 40 rows, 30 of them questions: the teacher is wrong on 6 questions, the student on 15."""
    gold = np.zeros(40, dtype=int)
    teacher, student = (np.where(np.arange(40) < wrong, 1, gold) for wrong in (6, 15))
    return slices_section(finished(planted(gold, teacher=teacher, student=student), texts=TEXTS))


def test_a_slice_has_the_accuracies_of_both_models_by_hand(section, cells):
    found = {row["slice"]: row for row in section.data["reply"]}["with a question mark"]
    assert (found["rows"], found["teacher"], found["student"]) == (30, 24 / 30, 15 / 30)
    difference = found["difference"]
    assert difference["value"] == pytest.approx(-9 / 30)
    assert difference["low"] < -9 / 30 < difference["high"] < 0
    (table,), (figure,) = section.parts[1].tables, section.parts[1].figures
    (shown,) = (row for row in cells(table) if row["slice"] == "with a question mark")
    assert [shown[name] for name in ("rows", "teacher", "student")] == ["30", "0.800", "0.500"]
    assert shown["student − teacher"].startswith("−0.300 [−0.")
    assert figure.name == "reply-slices"


def test_slices_of_few_rows_and_of_all_rows_are_left_out(section):
    """Up to 3 words: all rows. Without a question mark: 10. With a context or an emoji: none."""
    names = [row["slice"] for row in section.data["reply"]]
    assert names == ["with a question mark", "without a negation"]


def test_a_slice_is_of_the_tasks_own_rows(planted, finished):
    """A task may lack gold on rows between others'."""
    gold = np.zeros(40, dtype=int)
    task = planted(gold, teacher=gold, student=gold)
    texts = ["why?" if n % 2 else "so" for n in range(80)]
    task = replace(task, rows=np.arange(1, 80, 2))
    whole = planted(np.zeros(80, dtype=int), name="whole", student=np.zeros(80, dtype=int))
    found = slices_section(finished(task, whole, texts=texts)).data
    assert found == {"reply": []}


def test_without_a_teacher_there_is_nothing_to_slice(planted, finished):
    section = slices_section(finished(planted([0, 1], student=[0, 1])))
    assert section.data == {}
    assert "no task" in section.parts[0].sentences[0].lower()
