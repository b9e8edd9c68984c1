"""Tests of kd.tune: trials that share a run's teachers, the best one's config, and no test row."""

import json
import logging

import pytest

pytest.importorskip("optuna", reason="the extra tune is not installed")

from data.errors import InputError
from kd import training, tune, tune_command
from kd.cli import main
from kd.config_file import load_config
from kd.run_folder import RunFolder
from kd.trials import Trials
from kd.tune import tune_run
from tests.running import kd

GOLD = ("training.objective=gold",)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a config of one task on given splits, and a search over three settings."""
    folder = tmp_path_factory.mktemp("tune")
    for split, count in (("train", 16), ("dev", 8), ("test", 8)):
        lines = [f"{split} {n} was {w},{w}" for n in range(count) for w in ("sad", "glad")]
        (folder / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 32}}\n"
        f"tasks:\n"
        f"  mood:\n"
        f"    classes: [sad, glad]\n"
        f"    sources: [{{files: {{train: train.csv, dev: dev.csv, test: test.csv}}}}]\n"
        f"teachers: {{encoder: {tiny_encoder}, training: {{max_steps: 1, precision: fp32}}}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{max_steps: 8, batch_size: 8, evaluations: 2, precision: fp32}}\n"
        f"tune:\n"
        f"  training.learning_rate: {{low: 1.0e-3, high: 2.0e-2, log: true}}\n"
        f"  training.max_steps: {{low: 8, high: 16}}\n"
        f"  tasks.mood.temperature: {{choices: [1.0, 2.0]}}\n"
    )
    # Tiny teachers answer one class, of which the audit warns.
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    return folder


def search(place, runs, total, *overrides, **options):
    """The trials and the best one's config of a search, and what it said."""
    config = load_config(place / "mine.yaml", overrides)
    run = RunFolder(runs / config.name)
    run.open(config, overwrite=options.get("overwrite", False))
    said = []
    ended, path = tune_run(
        config, run, total, say=lambda stage, ran: said.append((stage, bool(ran))), **options
    )
    return ended, path, said


@pytest.fixture(scope="module")
def searched(place):
    """A finished search of three trials."""
    return search(place, place / "runs", 3)


def test_all_trials_learn_from_the_teachers_of_the_run(searched, place):
    ended, _, said = searched
    assert said[:3] == [("data", True), ("teach", True), ("label", True)]
    assert said[3:] == [(f"trial {number}", True) for number in range(3)]
    assert len(ended) == 3
    assert len({trial.settings["training.learning_rate"] for trial in ended}) == 3
    place = place / "runs" / "mine" / "tune"
    folders = sorted(path for path in place.iterdir() if path.is_dir())
    assert [path.name for path in folders] == ["trial-0000", "trial-0001", "trial-0002"]
    for folder in folders:
        names = {path.name for path in folder.iterdir()}
        assert names == {"config.yaml", "logs", ".stages"}


def test_the_best_config_runs_and_comes_to_the_dev_score_of_its_trial(searched, place):
    ended, path, _ = searched
    best = max(ended, key=lambda trial: trial.score)
    assert len({trial.score for trial in ended}) > 1
    config = load_config(path)
    assert config.name == "mine-tuned"
    assert config.training.learning_rate == best.settings["training.learning_rate"]
    for command in ("teach", "label", "distill"):
        kd(command, path, "--runs", place / "runs")
    about = json.loads((place / "runs" / "mine-tuned" / "student" / "training.json").read_text())
    assert about["best_score"] == best.score


def test_with_the_runs_name_the_best_config_keeps_its_teachers(place, tmp_path, capsys):
    _, path, _ = search(place, tmp_path, 1)
    capsys.readouterr()
    kd("run", path, "--runs", tmp_path, "name=mine", "--overwrite")
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said[1:5] == [
        *([name, "unchanged,", "skipped"] for name in ("data", "teach", "label")),
        ["distill", "done"],
    ]


def test_nothing_of_the_test_rows_is_looked_at(place, tmp_path):
    """With every test label turned around the trials are the same to the last digit."""
    straight, path, _ = search(place, tmp_path / "runs", 2, *GOLD)
    turned = tmp_path / "turned"
    turned.mkdir()
    for name in ("train.csv", "dev.csv", "test.csv"):
        (turned / name).write_text((place / name).read_text())
    lines = (place / "test.csv").read_text().splitlines()
    other = {"sad": "glad", "glad": "sad"}
    (turned / "test.csv").write_text(
        "\n".join(
            [lines[0]] + [f"{t},{other[c]}" for t, c in (line.split(",") for line in lines[1:])]
        )
        + "\n"
    )
    found, _, _ = search(place, tmp_path / "others", 2, *GOLD, f"data.root={turned}")
    assert found == straight
    assert not {"metrics.json", "predictions", "report"} & {p.name for p in path.parent.rglob("*")}
    dev = turned / "dev.csv"
    dev.write_text(dev.read_text().replace(",glad", ",sad"))
    others, _, _ = search(place, tmp_path / "dev", 2, *GOLD, f"data.root={turned}")
    assert others != straight


def test_a_search_that_was_killed_goes_on_where_it_was(place, tmp_path, monkeypatch):
    overrides = (*GOLD, "checkpoints.every=1", "logs.every=1", "training.patience=100")
    straight, path, _ = search(place, tmp_path / "straight", 3, *overrides)
    take_step, taken = training.take_step, []
    steps = [trial.settings["training.max_steps"] for trial in straight]
    allowed = steps[0] + 2  # amidst the second trial

    def counted(*values, **settings):
        if len(taken) == allowed:
            raise RuntimeError("killed")
        taken.append(values)
        return take_step(*values, **settings)

    monkeypatch.setattr(training, "take_step", counted)
    with pytest.raises(RuntimeError, match="killed"):
        search(place, tmp_path / "killed", 3, *overrides)
    allowed = sum(steps)  # those that are left
    found, best, said = search(place, tmp_path / "killed", 3, *overrides)
    assert found == straight
    assert len(taken) == sum(steps)
    assert said == [("data", False), ("trial 1", True), ("trial 2", True)]
    assert best.read_text() == path.read_text()


def test_more_trials_are_added_and_another_search_needs_a_name(place, tmp_path):
    first, path, _ = search(place, tmp_path, 1, *GOLD)
    again, _, said = search(place, tmp_path, 1, *GOLD)
    assert again == first
    assert said == [("data", False)]
    both, _, _ = search(place, tmp_path, 2, *GOLD)
    assert both[:1] == first
    wider = (*GOLD, "tune={training.epochs: {choices: [1, 2]}}")
    with pytest.raises(InputError, match="is a search over other settings"):
        search(place, tmp_path, 1, *wider)
    named, other, _ = search(place, tmp_path, 1, *wider, study_name="epochs")
    assert other == path.parent.with_name("tune-epochs") / "best.yaml"
    assert path.is_file()
    anew, _, _ = search(place, tmp_path, 1, *wider, overwrite=True)
    assert anew == named


def test_a_trial_that_fails_is_told_and_the_others_go_on(place, tmp_path, monkeypatch):
    distill_stage, calls = tune.distill_stage, []

    def failing(*values):
        calls.append(values)
        if len(calls) == 1:
            raise InputError("the loss is not finite")
        return distill_stage(*values)

    monkeypatch.setattr(tune, "distill_stage", failing)
    with pytest.raises(InputError, match=r"no trial came to its end: the loss is not finite"):
        search(place, tmp_path, 1, *GOLD)
    ended, _, _ = search(place, tmp_path, 2, *GOLD)
    assert [trial.state for trial in ended] == ["failed", "done"]


def test_values_that_are_refused_together_fail_their_trial_alone(place, tmp_path):
    space = (
        "tune={training.batch_size: {choices: [2, 8]}, training.accumulation: {choices: [1, 4]}}"
    )
    ended, _, said = search(place, tmp_path, 6, *GOLD, "training.max_steps=1", space)
    wrong = [trial for trial in ended if trial.state == "failed"]
    assert 0 < len(wrong) < 6
    assert len(said) == 1 + 6
    for trial in ended:
        fits = trial.settings["training.batch_size"] >= trial.settings["training.accumulation"]
        assert (trial.state == "done") == fits
    assert "training.accumulation" in wrong[0].reason


def test_a_trial_that_is_pruned_ends_at_that_evaluation(place, tmp_path, monkeypatch):
    is_behind = Trials._is_behind

    def behind(trials, log, score):
        return is_behind(trials, log, score) or trials._trial.number > 0

    monkeypatch.setattr(Trials, "_is_behind", behind)
    ended, path, said = search(place, tmp_path, 2, *GOLD)
    assert [trial.state for trial in ended] == ["done", "pruned"]
    assert said[-1] == ("trial 1", True)
    lines = (path.parent / "trial-0001" / "logs" / "distill.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) < 7
    assert 0 < ended[1].score <= 1
    assert not (path.parent / "trial-0001" / "student").exists()


def test_the_command_prints_a_row_a_trial(searched, place, capsys):
    ended, path, _ = searched
    kd("tune", place / "mine.yaml", "--trials", "3", "--runs", place / "runs")
    lines = capsys.readouterr().out.splitlines()
    best = max(ended, key=lambda trial: trial.score)
    rows = {line.split()[0]: line.split() for line in lines[-4:-1]}
    assert rows[str(best.number)][1:3] == [f"{best.score:.4f}", "best"]
    assert lines[-1] == f"best settings: kd run {path}"


def refused(capsys, *arguments):
    with pytest.raises(SystemExit, match=r"^2$"):
        main([str(argument) for argument in arguments])
    return capsys.readouterr().err


def test_mistakes_are_told_before_anything_is_made(place, tmp_path, capsys, monkeypatch):
    arguments = ("tune", place / "mine.yaml", "--runs", tmp_path)
    said = refused(capsys, *arguments, "tune={training.epoch: {low: 1, high: 2}}")
    assert "did you mean 'epochs'?" in said
    assert "--study-name: '../x'" in refused(capsys, *arguments, "--study-name", "../x")
    monkeypatch.setattr(tune_command, "find_spec", lambda name: None)
    assert "optuna is not installed: install the extra" in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []
