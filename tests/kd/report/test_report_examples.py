"""Tests of kd.report.examples: which rows the browser shows, in which order, and what of each."""

import pytest

from kd.report.examples import disagreements, examples_of


def shown(run):
    return [(row["task"], row["id"]) for row in examples_of(run)]


def test_disagreements_stand_before_shared_mistakes_and_those_before_the_rest(planted, finished):
    """Row 0: both right, 1: both wrong, 2: they differ, 3: both right, 4: they differ."""
    task = planted([0, 0, 0, 1, 1], teacher=[0, 2, 0, 1, 2], student=[0, 2, 1, 1, 1])
    run = finished(task)
    assert [name for _, name in shown(run)] == ["row2", "row4", "row1", "row0", "row3"]
    assert disagreements(run) == {"reply": {"rows": 5, "differ": 2, "wrong_alike": 1}}


def test_the_tasks_take_turns(planted, finished):
    tasks = (planted([0] * 3, name=name, teacher=[0, 0, 1], student=[0, 0, 0]) for name in "ab")
    assert shown(finished(*tasks)) == [
        ("a", "row2"), ("b", "row2"), ("a", "row0"), ("b", "row0"), ("a", "row1"), ("b", "row1")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("largest", "kinds"), [(6, (2, 2, 2)), (9, (4, 2, 3)), (13, (6, 2, 5)), (40, (18, 2, 10))]
)
def test_room_is_shared_equally_and_what_one_kind_leaves_goes_to_the_others(
    planted, finished, monkeypatch, largest, kinds
):
    """Of 30 rows the models differ on 18, are wrong alike on 2 and right on 10."""
    monkeypatch.setattr("kd.report.examples.LARGEST", largest)
    task = planted([0] * 30, teacher=[0] * 18 + [1] * 2 + [0] * 10, student=[1] * 20 + [0] * 10)
    names = [int(name.removeprefix("row")) for _, name in shown(finished(task))]
    differ, alike, right = kinds
    assert names == [*range(differ), *range(18, 18 + alike), *range(20, 20 + right)]


def test_the_tasks_take_turns_at_mistakes_too_whatever_they_differ_on(
    planted, finished, monkeypatch
):
    """Counted after the disagreements, the mistakes of a task with many would never be shown."""
    monkeypatch.setattr("kd.report.examples.LARGEST", 6)
    many = planted([0] * 8, name="many", teacher=[0] * 4 + [1] * 4, student=[1] * 8)
    few = planted([0] * 8, name="few", teacher=[1] * 8, student=[1] * 8)
    assert shown(finished(many, few)) == [
        ("many", "row0"), ("many", "row1"), ("many", "row2"),
        ("few", "row0"), ("many", "row4"), ("few", "row1"),
    ]  # fmt: skip


def test_values_differ_by_more_than_a_tenth_of_the_scale(planted, finished):
    """From 1 to 7 a tenth is 0.6."""
    answers = {"teacher": [3.0, 3.0, 3.0], "student": [3.5, 3.7, 3.5]}
    run = finished(planted([3.4, 3.0, 2.8], name="age", kind="regression", **answers))
    assert [name for _, name in shown(run)] == ["row1", "row2", "row0"]


def test_an_example_has_the_texts_and_what_gold_and_each_model_say(planted, finished):
    chances = {"student": [[0.25, 0.5, 0.25]] * 2}
    spans = {"teacher": [[], [(0, 2)]], "student": [[], [(3, 8), (9, 11)]]}
    task = planted([0, 2], teacher=[0, 2], student=[0, 1], chances=chances, spans=spans)
    run = finished(task, texts=["so", "so sorry it is"], contexts=["", "my dog died"])
    test = run.test.add_column("rationale/reply", [[], [[0, 8]]])
    first = examples_of(type(run)(**{**vars(run), "test": test}))[0]
    assert first == {
        "task": "reply", "kind": "classification", "id": "row1", "text": "so sorry it is",
        "context": "my dog died", "gold": "strong", "quoted": [[0, 8]],
        "models": {
            "teacher": {"answer": "strong", "chance": pytest.approx(0.8 + 0.2 / 3),
                        "spans": [(0, 2)]},
            "student": {"answer": "weak", "chance": 0.5, "spans": [(3, 8), (9, 11)]},
        },
    }  # fmt: skip


def test_a_value_has_no_chance(planted, finished):
    run = finished(planted([3.0, 2.0], name="age", kind="regression", student=[2.25, 2.0]))
    first = examples_of(run)[0]
    assert (first["gold"], first["quoted"]) == ("3.000", None)
    assert first["models"] == {"student": {"answer": "2.250", "chance": None, "spans": None}}
