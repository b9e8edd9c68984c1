"""Tests of kd.run_folder: which config owns a folder, and which stage runs again."""

import shutil
from functools import partial

import pytest
import yaml
from datasets import Dataset, DatasetDict

from data.errors import InputError
from kd.config import Config, StudentTraining
from kd.run_folder import RunFolder, content_key, model_files, settings_key


def config_of(**changes):
    task = {"sources": [{"files": "mine.csv"}], "classes": ["sad", "glad"]}
    return Config.model_validate({"name": "mine", "tasks": {"mood": task}, **changes})


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "runs" / "mine")


@pytest.fixture
def stage(run):
    """A function that runs a stage of a given key, which writes its key as the result."""
    result = run.path / "result"

    def staged(key):
        return run.once("distill", key, lambda: result.write_text(key), result=result)

    run.path.mkdir(parents=True)
    return staged


def test_opening_writes_the_resolved_config_and_opening_again_is_fine(run):
    for _ in range(2):
        run.open(config_of())
    written = yaml.safe_load(run.config.read_text())
    assert written == config_of().model_dump(mode="json")
    assert written["training"]["schedule"] == "linear"  # a default, resolved


def test_a_folder_of_another_config_is_refused_with_the_keys_that_differ(run):
    run.open(config_of())
    run.splits.mkdir()
    before = run.config.read_text()
    expected = r"was made with another config: seed is 13 there and 4 here: give name=… .*--overwr"
    with pytest.raises(InputError, match=expected):
        run.open(config_of(seed=4))
    assert run.config.read_text() == before


def test_settings_that_no_result_depends_on_may_change(run):
    run.open(config_of())
    run.open(config_of(export={"agreement": 0.9}, report={"margin": 0.1}, logs={"every": 5}))
    assert yaml.safe_load(run.config.read_text())["export"] == {"agreement": 0.9}


def test_many_differing_keys_are_cut_to_three(run):
    run.open(config_of())
    run.splits.mkdir()
    training = {"epochs": 9, "warmup": 0.3, "clip": 2, "patience": 7}
    with pytest.raises(InputError, match=r"epochs is .*warmup is .*clip is .* …: give name") as e:
        run.open(config_of(training=training))
    assert "patience" not in str(e.value)


def test_a_folder_in_which_nothing_is_made_takes_another_config(run):
    run.open(config_of())
    run.open(config_of(seed=4))
    assert yaml.safe_load(run.config.read_text())["seed"] == 4


def test_overwrite_lets_the_new_config_take_the_folder_over(run):
    run.open(config_of())
    run.splits.mkdir()
    run.open(config_of(seed=4), overwrite=True)
    assert yaml.safe_load(run.config.read_text())["seed"] == 4
    with pytest.raises(InputError, match="seed is 4 there and 13 here"):
        run.open(config_of())


def test_a_run_of_an_older_version_goes_on_with_the_defaults_of_newer_keys(run):
    run.open(config_of())
    run.splits.mkdir()
    there = yaml.safe_load(run.config.read_text())
    del there["training"]["kl_weight"]
    run.config.write_text(yaml.safe_dump(there))
    run.open(config_of())
    with pytest.raises(InputError, match=r"training\.kl_weight is 1\.0 there and 2\.0 here"):
        run.open(config_of(training={"kl_weight": 2.0}))


def test_a_stage_with_the_same_key_runs_once(stage):
    assert [stage("a"), stage("a")] == [True, False]


def test_a_stage_runs_again_when_its_key_changes_and_when_it_changes_back(run, stage):
    assert [stage("a"), stage("b"), stage("a"), stage("a")] == [True, True, True, False]
    assert (run.path / "result").read_text() == "a"


def test_a_stage_whose_result_is_gone_runs_again(run, stage):
    """The cure of a stale or broken result is to delete it."""
    stage("a")
    (run.path / "result").unlink()
    assert stage("a")
    assert (run.path / "result").read_text() == "a"


def test_another_stage_keeps_its_own_mark(run, stage):
    stage("a")
    assert run.once("label-mood", "a", lambda: None, result=run.path / "result")


@pytest.mark.parametrize("finished_before", [False, True])
def test_an_action_that_raises_leaves_no_mark_of_what_is_finished(run, stage, finished_before):
    """Killed between its two files, a stage would otherwise look finished with the old key."""

    def fail():
        raise RuntimeError("killed")

    if finished_before:
        stage("a")
    with pytest.raises(RuntimeError, match="killed"):
        run.once("distill", "b", fail, result=run.path / "result")
    assert stage("a")


def test_a_run_that_shares_anothers_teachers_keeps_its_own_student(run, tmp_path):
    arm = RunFolder(tmp_path / "arm", shared=run.path)
    for own in (lambda one: one.student, lambda one: one.metrics, lambda one: one.logs):
        assert own(arm).is_relative_to(arm.path)
    assert arm.splits == run.splits
    assert arm.teacher("mood") == run.teacher("mood")
    assert arm.soft_targets("mood") == run.soft_targets("mood")
    assert arm.tokens("hash") == run.tokens("hash")
    for folder, stage in ((run, "label-mood"), (arm, "distill")):
        (folder.path / "result").parent.mkdir(parents=True, exist_ok=True)
        result = folder.path / "result"
        assert folder.once(stage, "a", partial(result.write_text, ""), result=result)
    arm.require("label-mood", "a", "kd label")
    with pytest.raises(InputError, match=r"runs/mine: label-mood is missing .* run kd label"):
        arm.require("label-mood", "b", "kd label")
    assert not run.has_finished("distill", "a")
    with pytest.raises(InputError, match=r"arm: evaluate is missing"):
        arm.require("evaluate", "a", "kd evaluate")


def test_splits_come_back_as_they_were_written(run):
    rows = Dataset.from_dict({"id": ["one"], "text": ["so sad"]})
    table = DatasetDict(dict.fromkeys(("train", "dev", "test"), rows))
    run.save_splits(table, {"hash": "h"})
    found, profile = run.load_splits()
    assert profile == {"hash": "h"}
    assert {split: list(rows["text"]) for split, rows in found.items()} == {
        split: ["so sad"] for split in ("train", "dev", "test")
    }


def test_new_splits_leave_no_tokens_of_the_old_rows(run):
    """They can be read back as texts that somebody may have deleted."""
    run.tokens("old").mkdir(parents=True)
    table = DatasetDict(dict.fromkeys(("train", "dev", "test"), Dataset.from_dict({"id": ["a"]})))
    run.save_splits(table, {"hash": "h"})
    assert not run.tokens("old").exists()


def test_splits_that_are_not_there_are_asked_for_in_words(run):
    with pytest.raises(InputError, match=r"splits: holds no splits: run kd data"):
        run.load_splits()


def test_a_content_key_follows_values_and_the_bytes_of_files(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n")
    key = content_key({"b": 1, "a": 2}, files=[path])
    assert key == content_key({"a": 2, "b": 1}, files=[path])
    assert key != content_key({"a": 2, "b": 2}, files=[path])
    path.write_text("text,level\n")
    assert key != content_key({"a": 2, "b": 1}, files=[path])


def test_a_content_key_is_the_same_wherever_the_files_lie(tmp_path):
    """A moved project must not train its teachers again."""
    first = tmp_path / "a.csv"
    first.write_text("text,label\n")
    second = tmp_path / "elsewhere" / "a.csv"
    second.parent.mkdir()
    shutil.copy(first, second)
    assert content_key(1, files=[first]) == content_key(1, files=[second])


def test_model_files_are_those_that_make_a_model_what_it_is(tmp_path):
    for name in ("model.safetensors", "config.json", "training.json", "README.md"):
        (tmp_path / name).write_text("")
    assert {path.name for path in model_files(tmp_path)} == {"model.safetensors", "config.json"}


def test_a_result_depends_on_the_settings_that_are_not_at_their_default(monkeypatch):
    """One that a newer version knows, and that says nothing, makes nothing stale."""
    assert settings_key(StudentTraining(), without={"seed"}) == {"meaning": 1}
    said = settings_key(StudentTraining(epochs=9, kl_weight=0.5, seed=3), without={"seed"})
    assert said == {"meaning": 1, "epochs": 9.0, "kl_weight": 0.5}
    monkeypatch.setattr("kd.run_folder.MEANING", 2)
    assert settings_key(StudentTraining()) == {"meaning": 2}
