"""Tests of kd.answer_columns: names and values by hand, and the format of the 2020 test script."""

import csv
import io
from ast import literal_eval

import pytest

from data.errors import InputError
from data.readers.texts import TextRow
from data.tasks import TaskSpec
from kd.answer_columns import MECHANISMS, legacy_columns, own_columns
from kd.answer_forms import answer_bytes, header_bytes
from student.predictions import Prediction, Rationale, Rejection

LEVELS = ("none", "weak", "strong")
SPECS = [
    TaskSpec("explorations", classes=LEVELS, has_context=True, has_rationale=True),
    TaskSpec("mood", classes=("sad", "glad")),
    TaskSpec("rating", kind="regression"),
    TaskSpec("interpretations", classes=LEVELS, has_context=True, has_rationale=True),
    TaskSpec("emotional_reactions", classes=LEVELS, has_context=True, has_rationale=True),
]
ROW = TextRow(4, 9, "p_r", 'so sorry, "friend"', "i am\nsad")


def reply(level, labels=b"\0\1\1\0", parts=()):
    chances = dict.fromkeys(LEVELS, 0.1) | {level: 0.8}
    return Prediction(level, chances, tuple(Rationale(*part) for part in parts), labels)


ANSWER = {
    "explorations": reply("none", b"\0\0\0\0"),
    "mood": Prediction("glad", {"sad": 0.25, "glad": 0.75}),
    "rating": Prediction(4.25, {}),
    "interpretations": reply("weak"),
    "emotional_reactions": reply("strong", parts=[(0, 2, "so"), (3, 8, "sorry")]),
}


def test_each_task_has_its_class_and_chance_or_its_value_and_its_rationale():
    columns = own_columns(SPECS)
    row = dict(zip(columns.names, columns.values(ROW, ANSWER), strict=True))
    assert columns.names[0] == "id"
    assert row == {
        "id": "p_r",
        "explorations": "none",
        "explorations_probability": 0.8,
        "explorations_rationale": "",
        "explorations_offsets": "",
        "mood": "glad",
        "mood_probability": 0.75,
        "rating": 4.25,
        "interpretations": "weak",
        "interpretations_probability": 0.8,
        "interpretations_rationale": "",
        "interpretations_offsets": "",
        "emotional_reactions": "strong",
        "emotional_reactions_probability": 0.8,
        "emotional_reactions_rationale": "so|sorry",
        "emotional_reactions_offsets": "0-2 3-8",
    }
    for kind, value in zip(columns.kinds, columns.values(ROW, ANSWER), strict=True):
        assert type(value) is kind


def test_a_task_without_an_answer_has_no_values_in_as_many_columns():
    columns = own_columns(SPECS)
    alone = {name: ANSWER[name] for name in ("mood", "rating")}
    values = dict(zip(columns.names, columns.values(ROW, alone), strict=True))
    assert {name for name, value in values.items() if value is not None} == {
        *("id", "mood", "mood_probability", "rating"),
    }


def test_the_old_columns_are_written_as_the_script_of_2020_writes_them():
    """src/test.py: csv.writer into a file that codecs opened, a row of str, int and list cells."""
    theirs = io.StringIO(newline="")
    writer = csv.writer(theirs, delimiter=",", quotechar='"')
    labels, rationales = "ER_label,IP_label,EX_label", "ER_rationale,IP_rationale,EX_rationale"
    writer.writerow(f"id,seeker_post,response_post,{labels},{rationales}".split(","))
    chosen = [0, 1, 1, 0] + [0] * 60
    writer.writerow(["p_r", "i am\nsad", 'so sorry, "friend"', 2, 1, 0, chosen, chosen, [0] * 64])
    columns = legacy_columns(SPECS)
    ours = header_bytes("csv", columns)
    ours += answer_bytes("csv", columns, [columns.values(ROW, ANSWER)])
    assert ours.decode() == theirs.getvalue()


@pytest.mark.parametrize("tokens", [0, 3, 64, 90])
def test_an_old_rationale_has_64_tokens_whatever_the_model_reads(tokens):
    columns = legacy_columns(SPECS)
    answer = ANSWER | {name: reply("weak", b"\1" * tokens) for name in MECHANISMS.values()}
    values = dict(zip(columns.names, columns.values(ROW, answer), strict=True))
    for mechanism in MECHANISMS:
        labels = literal_eval(values[f"{mechanism}_rationale"])
        assert labels == [1] * min(tokens, 64) + [0] * max(0, 64 - tokens)


def test_a_row_without_a_post_has_no_place_in_the_old_columns():
    alone = {name: ANSWER[name] for name in ("mood", "rating")}
    assert legacy_columns(SPECS).values(ROW, alone) == Rejection("the context is empty")


def test_a_model_without_the_three_tasks_can_not_write_the_old_columns():
    with pytest.raises(InputError, match="no task 'interpretations': it answers emotional_rea"):
        legacy_columns([spec for spec in SPECS if spec.name != "interpretations"])
    two = TaskSpec("explorations", classes=("no", "yes"), has_rationale=True)
    with pytest.raises(InputError, match=r"has 2 classes and a rationale: it needs 3"):
        legacy_columns([*SPECS[1:], two])
    bare = TaskSpec("explorations", classes=LEVELS)
    with pytest.raises(InputError, match=r"'explorations' has 3 classes and no rationale: "):
        legacy_columns([*SPECS[1:], bare])


@pytest.mark.parametrize(
    ("names", "column"),
    [
        (("id",), "id"),
        (("mood", "mood_probability"), "mood_probability"),
        (("mood_offsets", "mood"), "mood_offsets"),
    ],
)
def test_tasks_whose_columns_would_have_one_name_are_refused(names, column):
    """The cells of a row would stand under others' names."""
    specs = [TaskSpec(name, classes=LEVELS, has_rationale=True) for name in names]
    with pytest.raises(
        InputError, match=rf"task '{names[-1]}': two columns of answers would be named '{column}': "
    ):
        own_columns(specs)
