"""Tests of kd.audit: what is suspicious in a teacher's answers, with the numbers by hand."""

import numpy as np
import pytest

from data.tasks import TaskSpec
from kd.audit import findings

SPEC = TaskSpec("mood", classes=("sad", "calm", "glad"))
DISTRESS = TaskSpec("distress", kind="regression", low=1.0, high=7.0)


def rows_of(classes):
    """One-hot rows of the given classes."""
    return np.eye(3, dtype=np.float32)[classes]


def test_a_good_teacher_gives_no_finding():
    gold = [0, 0, 0, 1, 1, 2, 2, 2]
    answers = [0, 0, 1, 1, 1, 2, 2, 0]
    assert findings(SPEC, rows_of(gold), rows_of(answers)) == []


def test_a_teacher_collapsed_to_one_class_is_found():
    """Of 6 rows 4 are sad: F1 is 8/10 for sad and 0 for two others, so the mean is 0.267."""
    found = findings(SPEC, rows_of([0, 0, 0, 0, 1, 2]), rows_of([0] * 6))
    assert len(found) == 2
    assert found[0].startswith("it says 'sad' for every row: raise epochs")
    assert "macro-F1 0.267 is that of a constant answer (0.267)" in found[1]


def test_a_teacher_collapsed_to_a_rare_class_is_found_too():
    """F1 of glad is 2 * 1/6 / (1/6 + 1) = 2/7, so the mean is 0.095."""
    found = findings(SPEC, rows_of([0, 0, 0, 0, 1, 2]), rows_of([2] * 6))
    assert found[0].startswith("it says 'glad' for every row")
    assert "macro-F1 0.095 is that of a constant answer (0.267)" in found[1]


def test_a_class_that_a_teacher_never_says_is_named():
    found = findings(SPEC, rows_of([0, 0, 1, 1, 2, 2]), rows_of([0, 0, 1, 1, 0, 1]))
    assert found == ["it never says glad: set class_weights: balanced, or add rows of it"]


def test_a_teacher_whose_labels_are_permuted_is_found():
    """It is never right; the constant answer's F1 is 1/2 for one class of three."""
    (found,) = findings(SPEC, rows_of([0, 0, 1, 1, 2, 2]), rows_of([1, 1, 2, 2, 0, 0]))
    assert "macro-F1 0.000 is that of a constant answer (0.167)" in found
    assert "labels are permuted" in found


def test_the_audit_reads_the_largest_logit_whatever_its_sign():
    gold = rows_of([0, 1, 2, 0, 1, 2])
    assert findings(SPEC, gold, gold - 50.0) == []


def test_a_regression_teacher_of_one_value_is_found():
    gold = np.array([[0.1], [0.5], [0.9]], dtype=np.float32)
    (found,) = findings(DISTRESS, gold, np.full((3, 1), 0.4, dtype=np.float32))
    assert "its values hardly differ (standard deviation" in found
    assert findings(DISTRESS, gold, gold * 0.5) == []


def test_a_regression_teacher_on_another_scale_or_turned_round_is_found():
    """1 to 7 are 0 to 1 here, so an answer of 7 given as 99 is 16.3."""
    gold = np.linspace(0, 1, 10, dtype=np.float32)[:, None]
    (found,) = findings(DISTRESS, gold, gold * 16)
    assert found.startswith("9 of its 10 values are not from 1 to 7: it answers on another scale")
    (found,) = findings(DISTRESS, gold, 1 - gold)
    assert found.startswith("its values correlate with gold by -1.00: it was not fine-tuned, or")
    slightly_over = gold + np.where(gold == 1, 0.01, 0).astype(np.float32)
    assert findings(DISTRESS, gold, slightly_over) == []


@pytest.mark.parametrize("spec", [SPEC, DISTRESS], ids=lambda spec: spec.kind)
def test_no_gold_rows_give_no_finding(spec):
    """A dev split without gold of the task says nothing of the teacher."""
    nothing = np.zeros((0, spec.width), dtype=np.float32)
    assert findings(spec, nothing, nothing) == []
