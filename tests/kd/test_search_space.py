"""Tests of kd.search_space: what may be searched, and what is refused by name."""

import pytest
import yaml

from data.errors import InputError
from kd.config_file import load_config
from kd.search_space import check_space
from kd.stages.teach import teach_key
from kd.student_changes import with_settings


@pytest.fixture
def configured(tmp_path, tiny_encoder):
    """A function that loads a config of one task with a search space."""

    def loaded(space):
        settings = {
            "name": "mine",
            "tasks": {"mood": {"classes": ["sad", "glad"], "sources": [{"files": "mood.csv"}]}},
            "teachers": {"encoder": str(tiny_encoder)},
            "student": {"encoder": str(tiny_encoder)},
            "tune": space,
        }
        (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
        return load_config(tmp_path / "mine.yaml")

    return loaded


def test_settings_take_their_values_and_all_others_stay(configured):
    config = configured({"training.epochs": {"low": 2, "high": 5}})
    changed = with_settings(
        config, {"training.learning_rate": 3e-4, "student.dropout": 0.3, "tasks.mood.weight": 2.0}
    )
    assert changed.training.learning_rate == 3e-4
    assert changed.student.dropout == 0.3
    assert changed.tasks["mood"].weight == 2.0
    assert changed.tune == {}
    back = with_settings(
        changed, {"training.learning_rate": 1e-4, "student.dropout": 0.1, "tasks.mood.weight": 1.0}
    )
    assert back == with_settings(config, {})


def test_no_teacher_depends_on_what_may_be_searched(configured):
    """Else a trial would find the run's soft targets to be another teacher's."""
    config = configured({})
    values = {
        "training.objective": "soft",
        "training.epochs": 7,
        "student.head": "linear",
        "tasks.mood.weight": 3.0,
        "tasks.mood.temperature": 2.0,
        "teachers.weights": "trust",
    }
    changed = with_settings(config, values)
    spec = config.specs[0]
    keys = [
        teach_key(one, spec, one.teachers.trained("mood")["mood"], "rows")
        for one in (config, changed)
    ]
    assert keys[0] == keys[1]


def test_both_ends_every_choice_and_a_value_between_are_tried_before_a_trial(configured):
    config = configured(
        {
            "training.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
            "training.epochs": {"low": 2, "high": 6},
            "student.head": {"choices": ["linear", "two_layer"]},
        }
    )
    probes = check_space(config)
    rates = [probe.training.learning_rate for probe in probes[:3]]
    assert rates[:2] == [1e-5, 1e-3]
    assert 1e-5 < rates[2] < 1e-3
    assert [probe.training.epochs for probe in probes[3:5]] == [2, 6]
    assert [probe.student.head for probe in probes[5:]] == ["linear", "two_layer"]


RATE = {"low": 1e-5, "high": 1e-3}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, r"tune: names no setting: add such as"),
        (
            {"training.learning_rat": RATE},
            r"tune\.training\.learning_rat: there is no setting 'learning_rat' in training: "
            r"did you mean 'learning_rate'\?",
        ),
        ({"trainin.epochs": RATE}, r"no setting 'trainin': did you mean 'training'\?"),
        ({"tasks.joy.weight": RATE}, r"there is no setting 'joy' in tasks"),
        ({"training.epochs.low": RATE}, r"there is no setting 'low' in training\.epochs"),
        ({"training": RATE}, r"tune\.training: is no single value"),
        ({"student.layers.0": RATE}, r"there is no setting '0' in student\.layers"),
        ({"teachers.training.epochs": RATE}, r"rows and teachers are the same for all students"),
        ({"data.max_tokens": {"low": 8, "high": 64}}, r"tune\.data\.max_tokens: rows and teachers"),
        ({"tasks.mood.limit": {"low": 8, "high": 64}}, r"tune\.tasks\.mood\.limit: rows and"),
        ({"seed": {"low": 1, "high": 3}}, r"tune\.seed: rows and teachers"),
        (
            {"training.learning_rate": {"low": 0.1, "high": 2.0}},
            r"tune: with training\.learning_rate=2\.0: training\.learning_rate: input should be "
            r"less than 1, not 2\.0",
        ),
        (
            {"training.batch_size": {"low": 8.0, "high": 32.0}},
            r"training\.batch_size: input should be a valid integer",
        ),
        (
            {"training.objective": {"choices": ["gold", "golden"]}},
            r"with training\.objective='golden': training\.objective: input should be",
        ),
    ],
)
def test_a_wrong_space_is_refused_by_name(configured, space, message):
    with pytest.raises(InputError, match=message):
        check_space(configured(space))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"low": 1e-3, "high": 1e-5}, r"low 0\.001 must be less than high 1e-05"),
        ({"low": 0.0, "high": 1.0, "log": True}, r"low 0\.0 must be above 0 where log is true"),
        ({"low": 0.1}, r"give low and high, or choices"),
        ({"choices": [3]}, r"choices \[3\]: give at least two that differ"),
        ({"choices": [3, 3]}, r"at least two that differ"),
        ({"choices": [3, 5], "low": 1}, r"choices stand alone"),
        ({"choices": [[0], [1]]}, r"tune\.training\.epochs\.choices\.0"),
        ({"lows": 1, "high": 2}, r"unknown key 'lows': did you mean 'low'\?"),
    ],
)
def test_a_wrong_range_is_refused_when_the_config_is_read(configured, search, message):
    with pytest.raises(InputError, match=message):
        configured({"training.epochs": search})
