"""Tests of kd.export.certificate on answers written by hand."""

from dataclasses import replace

import numpy as np
import pytest

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import Ragged
from data.tasks import TaskSpec
from kd.export.certificate import asked_rows, check, compare, is_enough, precision_report
from student.inference import Logits

MOOD = TaskSpec("mood", classes=("sad", "glad"))
REPLY = TaskSpec("reply", classes=("cold", "warm"), has_context=True, has_rationale=True)
AGE = TaskSpec("age", kind="regression", low=10.0, high=90.0)
NAN = np.nan

# Four rows of 2, 3, 1 and 2 tokens between two special ones; row 2 has no context.
LENGTHS = [4, 5, 3, 4]
OFFSETS = [
    *([0, 0], [0, 1], [2, 3], [0, 0]),
    *([0, 0], [0, 1], [2, 3], [4, 5], [0, 0]),
    *([0, 0], [0, 1], [0, 0]),
    *([0, 0], [0, 1], [2, 3], [0, 0]),
]
LABELS = {
    "mood": [[2.0, 0.0], [0.0, 1.0], [0.5, 0.4], [0.0, 3.0]],
    "reply": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]],
    "age": [[0.10], [0.50], [0.90], [0.30]],
}
TOKENS = [
    *(NAN, 1.0, -1.0, NAN),
    *(NAN, 2.0, -0.5, 0.5, NAN),
    *(NAN, -1.0, NAN),
    *(NAN, -2.0, 3.0, NAN),
]


@pytest.fixture
def table():
    contexts = [[5], [6, 7], [], [8]]
    return EncodedTable(
        ids=tuple("abcd"),
        texts=Ragged.of([[1] * length for length in LENGTHS]),
        offsets=np.array(OFFSETS, dtype=np.int32),
        contexts=Ragged.of(contexts),
        pad_id=0,
        gold={
            "mood": np.eye(2, dtype=np.float32)[[0, 1, 0, 1]],
            "reply": np.eye(2, dtype=np.float32)[[0, 1, 0, 0]],
            "age": np.array([[0.1], [0.5], [0.9], [0.3]], dtype=np.float32),
        },
        gold_tokens={"reply": np.where(np.isnan(TOKENS), NAN, 0.0).astype(np.float32)},
    )


def logits(**changes):
    """The answers above, with values at (task, row, class) or (token,) changed."""
    labels = {task: np.array(values, dtype=np.float32) for task, values in LABELS.items()}
    tokens = np.array(TOKENS, dtype=np.float32)
    for task, (place, value) in changes.items():
        (tokens if task == "tokens" else labels[task])[place] = value
    return Logits(labels, {"reply": tokens})


def test_equal_answers_differ_in_nothing(table):
    for spec in (MOOD, REPLY, AGE):
        found = compare(spec, table, logits(), logits())
        assert (found["largest_difference"], found["label_agreement"]) == (0.0, 1.0)


def test_a_task_is_asked_about_the_rows_that_have_what_it_reads(table):
    assert asked_rows(MOOD, table).tolist() == [0, 1, 2, 3]
    assert asked_rows(REPLY, table).tolist() == [0, 1, 3]
    assert compare(REPLY, table, logits(), logits())["rows"] == 3


def test_one_class_of_four_that_flips_is_an_agreement_of_three_quarters(table):
    """Row 2's logits 0.5 and 0.4 become 0.5 and 0.75: a difference of 0.35."""
    found = compare(MOOD, table, logits(), logits(mood=((2, 1), 0.75)))
    assert found["label_agreement"] == 0.75
    assert found["largest_difference"] == pytest.approx(0.35)


def test_a_difference_without_a_flip_leaves_the_agreement_whole(table):
    found = compare(MOOD, table, logits(), logits(mood=((0, 0), 1.0)))
    assert (found["largest_difference"], found["label_agreement"]) == (1.0, 1.0)


def test_a_row_that_a_task_is_not_asked_about_counts_in_the_difference_alone(table):
    found = compare(REPLY, table, logits(), logits(reply=((2, 1), 4.0)))
    assert (found["largest_difference"], found["label_agreement"]) == (4.0, 1.0)


@pytest.mark.parametrize(("value", "agreement"), [(0.519, 1.0), (0.481, 1.0), (0.53, 0.75)])
def test_a_value_is_the_same_within_two_hundredths_of_the_scale(table, value, agreement):
    found = compare(AGE, table, logits(), logits(age=((1, 0), value)))
    assert found["label_agreement"] == agreement


def test_one_token_of_seven_that_flips_is_an_agreement_of_six_sevenths(table):
    """Rows 0, 1 and 3 have 2 + 3 + 2 tokens; token 6 goes from -0.5 to 0.25."""
    found = compare(REPLY, table, logits(), logits(tokens=((6,), 0.25)))["rationale"]
    assert found["tokens"] == 7
    assert found["token_agreement"] == pytest.approx(6 / 7)
    assert found["largest_difference"] == 0.75


def test_a_log_odds_of_nought_is_no_rationale_on_either_side(table):
    found = compare(REPLY, table, logits(), logits(tokens=((6,), 0.0)))["rationale"]
    assert found["token_agreement"] == 1.0


def test_a_task_that_no_row_can_be_asked_about_has_no_agreement(table):
    table = replace(table, contexts=Ragged.of([[], [], [], []]))
    found = compare(REPLY, table, logits(), logits())
    assert (found["rows"], found["label_agreement"]) == (0, None)
    assert found["rationale"]["token_agreement"] is None
    check("fp32", precision_report([REPLY], table, logits(), logits()), 0.985)


def test_a_report_holds_the_largest_of_all_tasks_and_their_scores(table):
    exported = logits(mood=((2, 1), 0.75), tokens=((1,), 1.5))
    report = precision_report([MOOD, REPLY, AGE], table, logits(), exported)
    assert report["largest_difference"] == 0.5
    assert report["tasks"]["mood"]["scores"]["accuracy"] == 0.75
    assert report["tasks"]["reply"]["scores"]["accuracy"] == 1.0
    assert report["tasks"]["age"]["scores"]["mse"] == pytest.approx(0.0, abs=1e-9)


def test_a_report_says_how_the_macro_f1_changes_where_there_are_classes(table):
    """Row 2 of classes 0, 1, 0, 1 goes wrong: F1 of 2/3 and 4/5, in place of 1."""
    report = precision_report([MOOD, AGE], table, logits(), logits(mood=((2, 1), 0.75)))
    change = report["tasks"]["mood"]["macro_f1_change"]
    assert change == pytest.approx((2 / 3 + 4 / 5) / 2 - 1)
    assert "macro_f1_change" not in report["tasks"]["age"]


def test_float32_may_differ_by_rounding_alone(table):
    def report(distance):
        return precision_report([MOOD], table, logits(), logits(mood=((0, 0), 2.0 + distance)))

    check("fp32", report(9e-5), 0.985)
    check("fp16", report(9e-3), 0.985)
    with pytest.raises(InputError, match=r"the fp32 graph is 1\.2e-04 from the trained student"):
        check("fp32", report(1.2e-4), 0.985)


def test_a_task_under_the_limit_is_refused_by_name(table):
    exported = logits()
    exported.labels["mood"][:2] *= -1
    report = precision_report([REPLY, MOOD], table, logits(), exported)
    check("fp16", report, 0.5)
    expected = (
        r"fp16 gives 50\.0% of 4 dev rows .* 'mood', export\.agreement asks for 51\.0%: leave"
    )
    with pytest.raises(InputError, match=expected):
        check("fp16", report, 0.51)


def test_rationales_under_the_limit_are_refused_by_the_tasks_name(table):
    exported = logits()
    exported.tokens["reply"][:] *= -1
    report = precision_report([MOOD, REPLY], table, logits(), exported)
    expected = r"fp16 gives .*% of \d+ dev tokens .* in or out of the rationale of task 'reply'"
    with pytest.raises(InputError, match=expected):
        check("fp16", report, 0.9)


@pytest.mark.parametrize(
    ("share", "count", "enough"),
    [
        (59 / 60, 60, True),  # one of few rows is more than 1.5 % of them
        (58 / 60, 60, False),
        (985 / 1000, 1000, True),
        (984 / 1000, 1000, False),
        (1.0, 1, True),
        (None, 0, True),
    ],
)
def test_one_answer_may_always_differ(share, count, enough):
    assert is_enough(share, count, 0.985) is enough


def test_no_agreement_at_all_is_under_any_limit(table):
    """0 is a share like any other, not a missing one."""
    exported = Logits({**logits().labels, "mood": -logits().labels["mood"]}, {})
    report = precision_report([MOOD], table, logits(), exported)
    with pytest.raises(InputError, match=r"gives 0\.0% of 4 dev rows"):
        check("fp16", report, 0.01)


@pytest.mark.parametrize("value", [NAN, np.inf], ids=str)
@pytest.mark.parametrize("where", ["mood", "tokens"])
def test_answers_that_are_no_numbers_are_refused(table, where, value):
    """An argmax of NaN is class 0, which may agree by chance."""
    place = (0, 0) if where == "mood" else (1,)
    report = precision_report([MOOD, REPLY], table, logits(), logits(**{where: (place, value)}))
    with pytest.raises(InputError, match="the fp16 graph gives logits that are no numbers"):
        check("fp16", report, 0.01)
