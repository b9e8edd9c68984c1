"""Tests of kd.stages.teach: class weights by hand, the recipe, and what makes a teacher stale."""

import shutil

import numpy as np
import pytest

from data.encoding import EncodedTable
from data.plan import make_plan
from data.ragged import Ragged
from kd.config import Config, Training
from kd.stages.teach import recipe, task_loss, teach_key, teacher_loss


def config_of(**task):
    mood = {"sources": [{"files": "mine.csv"}], "classes": ["sad", "glad"], **task}
    return Config.model_validate({"name": "mine", "tasks": {"mood": mood}})


def rows_of(sad, glad, unknown=0):
    """A table of so many sad, glad and unlabelled rows."""
    gold = np.float32([[1, 0]] * sad + [[0, 1]] * glad + [[np.nan, np.nan]] * unknown)
    texts = Ragged.of([[1]] * len(gold))
    return EncodedTable(
        ids=tuple(map(str, range(len(gold)))),
        texts=texts,
        offsets=np.zeros((len(gold), 2), dtype=np.int32),
        contexts=texts,
        pad_id=0,
        gold={"mood": gold},
        gold_tokens={},
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("none", None),
        ("balanced", (8 / (2 * 6), 8 / (2 * 2))),
        ("sqrt", ((8 / 12) ** 0.5, 2**0.5)),
    ],
)
def test_class_weights_are_rows_over_classes_times_rows_of_the_class(name, expected):
    config = config_of(class_weights=name)
    loss = task_loss(config, config.specs[0], Training(), rows_of(6, 2, unknown=3))
    assert loss.class_weights == (expected and pytest.approx(expected))


def test_balanced_class_weights_leave_the_mean_weight_of_a_row_one():
    config = config_of(class_weights="balanced")
    weights = task_loss(config, config.specs[0], Training(), rows_of(9, 3)).class_weights
    assert (9 * weights[0] + 3 * weights[1]) / 12 == pytest.approx(1.0)


def test_a_class_without_train_rows_has_a_finite_weight():
    config = config_of(class_weights="balanced")
    loss = task_loss(config, config.specs[0], Training(), rows_of(4, 0))
    assert np.isfinite(loss.class_weights).all()


def test_a_task_counts_with_its_own_weight_and_the_trainings_two_lambdas():
    config = config_of(weight=3.0)
    training = Training(level_weight=0.4, rationale_weight=0.2)
    loss = task_loss(config, config.specs[0], training, rows_of(1, 1))
    assert (loss.weight, loss.level_weight, loss.rationale_weight) == (3.0, 0.4, 0.2)


def test_a_teacher_learns_its_task_whatever_that_weighs_for_the_student():
    config = config_of(weight=0.0)
    assert teacher_loss(config, config.specs[0], Training(), rows_of(1, 1)).weight == 1.0


@pytest.mark.parametrize(
    ("epochs", "evaluations", "expected"), [(4, 1, 4), (2, 3, 6), (0.25, 1, 1), (2.5, 2, 5)]
)
def test_evaluations_are_counted_over_the_whole_run(epochs, evaluations, expected):
    training = Training(epochs=epochs, evaluations=evaluations, batch_size=8)
    plan = make_plan(np.ones((64, 1), dtype=bool), batch_size=8, epochs=epochs, seed=0)
    assert recipe(training, plan).evaluations == expected


def test_evaluations_follow_the_steps_where_they_stand_in_place_of_epochs():
    training = Training(max_steps=24, evaluations=2, batch_size=8)
    plan = make_plan(np.ones((64, 1), dtype=bool), batch_size=8, epochs=9, seed=0, max_steps=24)
    assert (plan.steps, recipe(training, plan).evaluations) == (24, 6)


def test_a_teacher_is_stale_when_its_settings_rows_or_encoder_change(tiny_encoder, tmp_path):
    encoder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder, encoder)
    config = config_of()

    def key(table_hash="h", **settings):
        teachers = config.teachers.model_copy(update={"encoder": str(encoder), **settings})
        return teach_key(config, config.specs[0], teachers.of("mood")["mood"], table_hash)

    first = key()
    assert key() == first
    assert key(weight=2.0) == first  # counts when targets are averaged, not in training
    assert key(table_hash="i") != first
    assert key(dropout=0.3) != first
    assert key(training=Training(plateau=0.5)) != first == key(training=Training(plateau=1.0))
    (encoder / "config.json").write_text((encoder / "config.json").read_text() + "\n")
    assert key() != first
