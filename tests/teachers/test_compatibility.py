"""Tests of teachers.compatibility: from which teachers no student learns."""

import numpy as np
import pyarrow as pa
import pytest

from data.errors import InputError
from data.tasks import TaskSpec, save_tasks
from teachers.compatibility import check_classes, check_fresh
from teachers.soft_targets import SoftTargets

SPEC = TaskSpec("mood", classes=("sad", "calm", "glad"))


@pytest.fixture
def teacher(tmp_path):
    """A teacher's folder that answers SPEC."""
    (tmp_path / "model.safetensors").write_bytes(b"")
    save_tasks([SPEC], tmp_path)
    return tmp_path


def test_a_teacher_of_the_same_classes_passes(teacher):
    check_classes(teacher, SPEC)


@pytest.mark.parametrize(
    "classes", [("calm", "sad", "glad"), ("sad", "calm"), ("Sad", "calm", "glad")], ids=str
)
def test_a_teacher_of_other_classes_or_another_order_stops(teacher, classes):
    """A permuted order teaches the wrong classes without any error."""
    with pytest.raises(InputError, match=r"its classes are \['sad', 'calm', 'glad'\], the config"):
        check_classes(teacher, TaskSpec("mood", classes=classes))


def test_a_teacher_of_another_task_stops(teacher):
    with pytest.raises(InputError, match="answers mood, not 'empathy': run kd teach again"):
        check_classes(teacher, TaskSpec("empathy", classes=SPEC.classes))


def test_a_folder_without_a_teacher_stops(tmp_path):
    with pytest.raises(InputError, match=r"holds no tasks\.json"):
        check_classes(tmp_path, SPEC)


def test_only_stale_soft_targets_stop(tmp_path):
    targets = SoftTargets("mood", SPEC.classes, "mark", pa.array(["a"]), np.zeros((1, 3)))
    check_fresh(targets, tmp_path / "mood.arrow", "mark")
    with pytest.raises(InputError, match=r"mood\.arrow: is stale: .*run kd label again"):
        check_fresh(targets, tmp_path / "mood.arrow", "another")
