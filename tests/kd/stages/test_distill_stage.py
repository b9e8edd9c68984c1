"""Tests of kd.stages.distill: the objective's schedule and targets, and what makes it run again."""

import numpy as np
import pyarrow as pa
import pytest

from data.errors import InputError
from kd.atomic import write_text
from kd.config import Config, StudentTraining
from kd.run_folder import RunFolder
from kd.stages.distill import (
    needs_teachers,
    schedule_of,
    student_key,
    student_loss,
    with_targets,
)
from kd.teacher_weights import teacher_weights
from teachers.soft_targets import SoftTargets, fingerprint


def config_of(*, training=None, task=None, **changes):
    mood = {"sources": [{"files": "mine.csv"}], "classes": ["sad", "glad"], **(task or {})}
    return Config.model_validate(
        {"name": "mine", "tasks": {"mood": mood}, "training": training or {}, **changes}
    )


def says(ids, logits, fingerprint="f"):
    return SoftTargets("mood", ("sad", "glad"), fingerprint, pa.array(ids), np.float32(logits))


def targets_of(config, table, targets):
    """The train rows with their targets, `table` being the dev rows too."""
    return with_targets(config, table, targets, teacher_weights(config, targets, table))


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, [0.0, 0.25, 0.9]),
        ({"objective": "annealed", "schedule": "step"}, [0.0, 0.0, 1.0]),
        ({"schedule": "constant", "gold_weight": 0.3}, [0.3, 0.3, 0.3]),
        ({"objective": "gold"}, [1.0, 1.0, 1.0]),
        ({"objective": "soft", "gold_weight": 0.7}, [0.0, 0.0, 0.0]),
        ({"objective": "mixed", "schedule": "cosine", "gold_weight": 0.2}, [0.2, 0.2, 0.2]),
        ({"objective": "ce+kl", "gold_weight": 0.2}, [1.0, 1.0, 1.0]),
    ],
)
def test_the_ladder_of_objectives_is_one_number_apart(settings, weights):
    schedule = schedule_of(StudentTraining.model_validate(settings))
    assert [schedule(progress) for progress in (0.0, 0.25, 0.9)] == weights


@pytest.mark.parametrize("objective", ["annealed", "mixed", "soft", "gold", "ce+kl"])
def test_only_the_gold_objective_needs_no_teacher(objective):
    config = config_of(training={"objective": objective})
    assert needs_teachers(config) == (objective != "gold")


def test_rows_get_the_teachers_chances_by_their_id_and_the_rest_stay_unknown(table):
    """By position they would be another row's."""
    targets = {"mood": [says(["row3", "row0"], np.log([[1, 3], [4, 1]]))]}
    soft = targets_of(config_of(), table, targets).soft["mood"]
    np.testing.assert_allclose(soft[[0, 3]], [[0.8, 0.2], [0.25, 0.75]], atol=1e-6)
    assert np.isnan(np.delete(soft, [0, 3], axis=0)).all()


def test_the_tasks_temperature_divides_the_logits(table):
    targets = {"mood": [says(["row0"], np.log([[9, 1]]))]}
    soft = targets_of(config_of(task={"temperature": 2}), table, targets).soft["mood"]
    np.testing.assert_allclose(soft[0], [0.75, 0.25], atol=1e-6)


def test_several_teachers_are_averaged_by_their_weights(table):
    targets = {"mood": [says(["row0"], np.log([[4, 1]])), says(["row0"], np.log([[1, 4]]))]}
    config = config_of(teachers={"tasks": {"mood": [{"weight": 3}, {}]}})
    soft = targets_of(config, table, targets).soft["mood"]
    np.testing.assert_allclose(soft[0], [0.75 * 0.8 + 0.25 * 0.2, 0.35], atol=1e-6)


def test_teachers_count_by_their_dev_scores(table):
    """On 24 rows of 12 each the first is always right; the second says sad to all: 1/3."""
    rows = list(table.ids)
    right = np.log(np.where(table.gold["mood"] == 1, 0.8, 0.2))
    targets = {"mood": [says(rows, right), says(rows, np.log([[0.9, 0.1]] * 24))]}
    config = config_of(teachers={"weights": "dev", "tasks": {"mood": [{}, {}]}})
    soft = targets_of(config, table, targets).soft["mood"]
    np.testing.assert_allclose(soft[0], [0.75 * 0.8 + 0.25 * 0.9, 0.175], atol=1e-6)
    np.testing.assert_allclose(soft[1], [0.75 * 0.2 + 0.25 * 0.9, 0.625], atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "expected"),
    [("annealed", [0.84, 0.16]), ("ce+kl", [0.84, 0.16]), ("soft", [0.8, 0.2])],
)
def test_gold_takes_what_a_distrusted_teacher_loses_unless_it_is_to_be_forgotten(
    table, objective, expected
):
    """Row 0 is sad, of which the teacher is sure by 0.8: 1 + 0.8 * (0.8 - 1) = 0.84."""
    config = config_of(teachers={"weights": "trust"}, training={"objective": objective})
    rows = targets_of(config, table, {"mood": [says(["row0"], np.log([[8, 2]]))]})
    np.testing.assert_allclose(rows.soft["mood"][0], expected, atol=1e-6)
    assert np.isnan(rows.soft["mood"][1:]).all()


def test_the_soft_objective_forgets_the_gold_of_train_rows(table):
    """A row that no teacher labelled would be trained on gold."""
    targets = {"mood": [says(["row0"], [[1, 2]])]}
    rows = targets_of(config_of(training={"objective": "soft"}), table, targets)
    assert np.isnan(rows.gold["mood"]).all()
    assert rows.known("mood").tolist() == [True] + [False] * 23


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"epochs": 9}},
        {"task": {"temperature": 2}},
        {"task": {"weight": 2}},
        {"seed": 14},
        {"data": {"max_tokens": 32}},
        {"student": {"dropout": 0.2}},
        {"teachers": {"tasks": {"mood": [{"weight": 2}]}}},
        {"teachers": {"weights": "dev"}},
        {"teachers": {"weights": "trust"}},
        {"training": {"objective": "ce+kl"}},
        {"training": {"objective": "ce+kl", "kl_weight": 2}},
    ],
)
def test_the_student_is_trained_again_when_what_it_depends_on_changes(
    tiny_encoder, tmp_path, changes
):
    def key(teacher="f", table_hash="h", **changed):
        changed["student"] = {"encoder": str(tiny_encoder), **changed.get("student", {})}
        return labelled_key(config_of(**changed), tmp_path, teacher, table_hash)

    assert key() == key()
    assert key(**changes) != key()
    assert key(table_hash="i") != key()
    assert key(teacher="g") != key()


@pytest.mark.parametrize("objective", ["annealed", "ce+kl"])
def test_only_a_sum_of_losses_has_a_weight_of_its_divergence(table, mood, objective):
    config = config_of(
        training={"objective": objective, "kl_weight": 0.7}, task={"temperature": 2, "weight": 3}
    )
    loss = student_loss(config, mood, table)
    assert loss.kl_weight == (0.7 if objective == "ce+kl" else None)
    assert (loss.temperature, loss.weight, loss.class_weights) == (2.0, 3.0, (1.0, 1.0))


def labelled_key(config, folder, teacher="f", table_hash="h"):
    """The student's key when its teacher, of that content, has labelled those rows."""
    run = RunFolder(folder)
    run.teacher("mood").mkdir(parents=True, exist_ok=True)
    (run.teacher("mood") / "config.json").write_text(teacher)
    mark = fingerprint(run.teacher("mood"), table_hash, config.data.max_tokens)
    write_text(folder / ".stages" / "label-mood", mark)
    return student_key(config, run, table_hash)


def test_a_student_is_refused_while_a_teacher_has_not_labelled_these_rows(tiny_encoder, tmp_path):
    config = config_of(student={"encoder": str(tiny_encoder)})
    labelled_key(config, tmp_path)
    with pytest.raises(InputError, match=r"label-mood is missing .* run kd label"):
        student_key(config, RunFolder(tmp_path), "other rows")


def test_the_student_is_not_trained_again_when_only_a_teachers_settings_change(
    tiny_encoder, tmp_path
):
    """Its soft targets' fingerprint says whether the teacher itself came out otherwise."""
    student = {"encoder": str(tiny_encoder)}
    first, second = (
        labelled_key(config_of(student=student, teachers=settings), tmp_path)
        for settings in ({}, {"training": {"patience": 9}})
    )
    assert first == second
