"""Tests of kd.study: which students it trains, from what, and which it leaves as they are."""

import csv
import json
import logging
import shutil

import pytest
from safetensors.torch import load_file

from data.errors import InputError
from kd import training
from kd.cli import main
from kd.config_file import differences, load_config
from kd.run_folder import RunFolder
from kd.stages import distill
from kd.stages.distill import distill_stage, student_key
from kd.study import study_scores, trainings
from kd.study_arms import ARMS, named_arms
from kd.study_table import study_tables
from student.model import StudentModel
from tests.running import kd

TASKS = ("mood", "urgency")
GOLD = ("training.objective=gold",)


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a config of two tasks on tables of 40 rows, the second with rationales."""
    folder = tmp_path_factory.mktemp("study")
    moods = [f"day {number} was {word},{word}" for number in range(20) for word in ("sad", "glad")]
    (folder / "mood.csv").write_text("\n".join(["text,label", *moods]) + "\n")
    calls = [f"help me in {n} hours,now,help me\nno hurry in {n} hours,later," for n in range(20)]
    (folder / "urgency.csv").write_text("\n".join(["text,label,quote", *calls]) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 32}}\n"
        f"tasks:\n"
        f"  mood: {{classes: [sad, glad], sources: [{{files: mood.csv}}]}}\n"
        f"  urgency:\n"
        f"    classes: [later, now]\n"
        f"    sources: [{{files: urgency.csv, columns: {{rationale: quote}}}}]\n"
        f"teachers: {{encoder: {tiny_encoder}, training: {{max_steps: 1, precision: fp32}}}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{max_steps: 4, batch_size: 8, learning_rate: 1.0e-3, precision: fp32}}\n"
    )
    # Tiny teachers answer one class, of which the audit warns.
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """A run, then a study of four arms and two seeds in it, and what was where in between."""
    kd("run", place / "mine.yaml", "--runs", place / "runs")
    run = RunFolder(place / "runs" / "mine")
    before = times(run, ("splits", "tokens", "teachers", "soft_targets", "student", ".stages"))
    arms = "annealed,single,multi,soft"
    kd("study", place / "mine.yaml", "--arms", arms, "--seeds", "2", "--runs", place / "runs")
    return run, before


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the finished study that a test may change."""
    shutil.copytree(whole[0].path, tmp_path / "runs" / "mine")
    return RunFolder(tmp_path / "runs" / "mine")


def times(run, names):
    """path → when it was written, of every file below some parts of a run's folder.

    Without config.yaml, which every command writes again.
    """
    files = [path for name in names for path in (run.path / name).rglob("*") if path.is_file()]
    found = {path.relative_to(run.path): path.stat().st_mtime_ns for path in files}
    return {path: when for path, when in found.items() if path.name != "config.yaml"}


def weights(run, *names):
    return load_file(run.path.joinpath("study", *names, "student", "model.safetensors"))


def are_equal(first, second):
    return first.keys() == second.keys() and all(
        bool((tensor == second[name]).all()) for name, tensor in first.items()
    )


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_differs_from_the_run_in_what_its_name_says(place, arm):
    config = load_config(place / "mine.yaml", ["training.gold_weight=0.25"])
    base = config.model_dump(mode="json")
    students = trainings(config, RunFolder(place), arm, 14)
    assert len(students) == (2 if arm == "single" else 1)
    objective = {"single": "gold", "multi": "gold"}.get(arm, arm)
    for number, (changed, folder) in enumerate(students):
        found = [line.split()[0] for line in differences(base, changed.model_dump(mode="json"))]
        left_out = [f"tasks.{TASKS[1 - number]}"] if arm == "single" else []
        moved = [] if arm == "annealed" else ["training.objective"]
        assert found == [*left_out, *moved, "training.seed"]
        assert (changed.training.objective, changed.training.seed) == (objective, 14)
        own = (TASKS[number],) if arm == "single" else ()
        assert folder == RunFolder(place.joinpath("study", arm, "seed-14", *own), shared=place)


def test_a_student_of_one_task_learns_it_whatever_it_weighs_among_others(place):
    config = load_config(place / "mine.yaml", [f"tasks.{TASKS[0]}.weight=0"])
    (changed, _), *_ = trainings(config, RunFolder(place), "single", 14)
    assert changed.tasks[TASKS[0]].weight == 1.0


def test_an_unknown_arm_is_refused_with_the_choices(place, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["study", str(place / "mine.yaml"), "--arms", "multi,anneal", "--runs", str(tmp_path)])
    expected = "'anneal' is no arm: choose from annealed, ce+kl, mixed, multi, single, soft"
    assert expected in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_arms_are_named_once_each_in_the_order_given(place):
    config = load_config(place / "mine.yaml")
    assert named_arms("soft, multi,soft", config) == ["soft", "multi"]
    with pytest.raises(InputError, match="'' is no arm"):
        named_arms("", config)


def test_a_training_seed_that_is_the_runs_seed_is_the_same_training(whole, place):
    """Else a study would train the run's own student again, and an old run its student."""
    run, _ = whole
    keys = [
        student_key(load_config(place / "mine.yaml", overrides), run, "hash")
        for overrides in (
            [*GOLD],
            [*GOLD, "training.seed=13"],
            [*GOLD, "seed=7", "training.seed=13"],
            [*GOLD, "training.seed=14"],
            [*GOLD, "seed=14"],
        )
    ]
    assert keys[0] == keys[1] == keys[2] != keys[3] == keys[4]


def test_the_seed_of_a_training_decides_its_first_heads_and_its_batches(copied, place, monkeypatch):
    """The dropped follow from the batches' seed."""
    begun = []

    def noted(model, table, plan, *_, **__):
        begun.append((model.state_dict(), plan.batch(0).tolist(), plan.seed))
        raise RuntimeError("noted")

    monkeypatch.setattr(distill, "train", noted)
    for seed in ("null", "14", "14"):
        overrides = (*GOLD, f"training.seed={seed}")
        with pytest.raises(RuntimeError, match="noted"):
            distill_stage(load_config(place / "mine.yaml", overrides), copied)
    (base, batch, seed), *others = begun
    for other, other_batch, other_seed in others:
        differing = {name for name, tensor in other.items() if not (tensor == base[name]).all()}
        assert {name.split(".")[0] for name in differing} == {"heads"}
        assert (seed, other_seed) == (13, 14)
        assert other_batch != batch
    assert are_equal(others[0][0], others[1][0])


def test_rows_teachers_and_the_runs_own_student_are_left_as_they_were(whole):
    run, before = whole
    assert times(run, {path.parts[0] for path in before}) == before
    for folder in (run.path / "study").rglob("config.yaml"):
        assert {path.name for path in folder.parent.iterdir()} <= {
            *("config.yaml", "student", "metrics.json", "predictions", "logs", ".stages"),
            "checkpoints",
        }


def test_seeds_and_arms_give_students_that_differ(whole):
    run, _ = whole
    names = [(arm, f"seed-{seed}") for arm in ("annealed", "multi", "soft") for seed in (13, 14)]
    found = [weights(run, *name) for name in names]
    for number, first in enumerate(found):
        assert not any(are_equal(first, second) for second in found[number + 1 :])
    hashes = [
        json.loads(path.read_text())["splits_hash"]
        for path in [run.metrics, *(run.path / "study").rglob("metrics.json")]
    ]
    assert len(hashes) == 11
    assert len(set(hashes)) == 1


def test_a_single_student_has_one_task(whole):
    run, _ = whole
    for task in TASKS:
        folder = run.path / "study" / "single" / "seed-14" / task
        assert [s.name for s in StudentModel.from_pretrained(folder / "student").specs] == [task]
        report = json.loads((folder / "metrics.json").read_text())
        assert list(report["tasks"]) == [task]


def test_only_the_student_of_an_arm_is_scored(whole):
    run, _ = whole
    report = json.loads((run.path / "study" / "annealed" / "seed-14" / "metrics.json").read_text())
    assert report["student_seed"] == 14
    assert report["models"].keys() == {"student"}
    for task in TASKS:
        for split in ("dev", "test"):
            assert report["tasks"][task][split].keys() == {"student"}


def test_the_students_scores_are_those_of_the_run_for_the_same_training(whole):
    run, _ = whole
    of_run = json.loads(run.metrics.read_text())["tasks"]
    found = [s for s in study_scores(run) if (s.arm, s.seed) == ("annealed", 13)]
    assert [(s.task, s.split) for s in found] == [(t, p) for t in TASKS for p in ("dev", "test")]
    for score in found:
        expected = of_run[score.task][score.split]["student"]
        # Faithfulness costs passes of its own: it is measured for the run's student alone.
        expected.get("rationale", {}).pop("faithfulness", None)
        assert score.scores == expected


def test_the_scores_name_each_finished_students_answers(whole):
    run, _ = whole
    scores = study_scores(run)
    places = [(s.arm, s.seed, s.task) for s in scores if s.split == "test"]
    arms = ("single", "multi", "soft", "annealed")
    assert places == [(arm, seed, task) for arm in arms for seed in (13, 14) for task in TASKS]
    for score in scores:
        with score.predictions.open(newline="") as file:
            rows = list(csv.DictReader(file))
        right = sum(row["gold"] == row["predicted"] for row in rows)
        assert right / len(rows) == pytest.approx(score.scores["accuracy"])
        assert (score.rationale_score is None) == (score.task == "mood")


def test_the_runs_own_student_is_taken_over_and_not_trained_again(copied, place, monkeypatch):
    shutil.rmtree(copied.path / "study")

    def trained(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(distill, "train", trained)
    arguments = ("--arms", "annealed", "--seeds", "1", "--runs", copied.path.parent)
    kd("study", place / "mine.yaml", *arguments)
    own = load_file(copied.student / "model.safetensors")
    assert are_equal(weights(copied, "annealed", "seed-13"), own)
    assert (copied.path / "study" / "annealed" / "seed-13" / "logs" / "distill.jsonl").is_file()


def test_more_arms_and_seeds_are_added_to_those_that_are_there(copied, place, capsys):
    before = times(copied, ("study",))
    arguments = ("--arms", "multi,mixed", "--seeds", "3", "--runs", copied.path.parent)
    kd("study", place / "mine.yaml", *arguments)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    outcomes = {(words[1], words[3]): words[4] for words in lines if words[:1] == ["study"]}
    assert outcomes == {
        **dict.fromkeys([("multi", "13"), ("multi", "14")], "unchanged,"),
        **dict.fromkeys([("multi", "15"), *(("mixed", s) for s in ("13", "14", "15"))], "done"),
    }
    after = times(copied, ("study",))
    assert {path: after[path] for path in before} == before
    heading = next(words for words in lines if words[:1] == ["task"])
    assert " ".join(heading).startswith("task single (2) multi (3) soft (2) mixed (3)")


def test_a_study_of_other_settings_is_refused_before_anything_runs(copied, place, capsys):
    """The run's own folder may have been taken over already, with kd run --overwrite."""
    changed = (place / "mine.yaml", *GOLD, "training.max_steps=3", "--runs", copied.path.parent)
    kd("distill", *changed, "--overwrite")
    before = times(copied, ("",))
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["study", *map(str, changed), "--arms", "mixed,multi", "--seeds", "1"])
    line = capsys.readouterr().err
    assert "study/multi/seed-13: was made with another config: training.max_steps is 4" in line
    assert times(copied, ("",)) == before
    assert not (copied.path / "study" / "mixed").exists()
    assert study_scores(copied) == []
    kd("study", *changed, "--arms", "multi", "--seeds", "1", "--overwrite")
    assert {(s.arm, s.seed) for s in study_scores(copied)} == {("multi", 13)}


@pytest.mark.parametrize("steps", [0, 3])
def test_a_study_that_was_killed_goes_on_where_it_was(whole, place, tmp_path, monkeypatch, steps):
    """Killed when the first of two arms is finished, before or amidst the second's training."""
    arguments = (
        *("study", place / "mine.yaml", *GOLD, "checkpoints.every=1", "logs.every=1"),
        *("--arms", "single,multi", "--seeds", "1", "--runs", tmp_path),
    )
    take_step, taken = training.take_step, []
    allowed = 8 + steps  # two students of one task take four steps each

    def counted(*values, **settings):
        if len(taken) == allowed:
            raise RuntimeError("killed")
        taken.append(values)
        return take_step(*values, **settings)

    monkeypatch.setattr(training, "take_step", counted)
    with pytest.raises(RuntimeError, match="killed"):
        main([str(argument) for argument in arguments])
    run = RunFolder(tmp_path / "mine")
    assert {score.arm for score in study_scores(run)} == {"single"}
    before = times(run, ("study/single",))
    allowed = 12  # those that are left of the four
    kd(*arguments)
    assert times(run, ("study/single",)) == before
    log = (run.path / "study" / "multi" / "seed-13" / "logs" / "distill.jsonl").read_text()
    steps_logged = [row["step"] for row in map(json.loads, log.splitlines()) if "loss/mood" in row]
    assert steps_logged == [0, 1, 2, 3]
    for names in (("single", "seed-13", task) for task in TASKS):
        assert are_equal(weights(run, *names), weights(whole[0], *names))
    assert are_equal(weights(run, "multi", "seed-13"), weights(whole[0], "multi", "seed-13"))


def test_the_tables_show_the_teachers_as_long_as_they_are_scored(copied):
    config, scores = load_config(copied.config), study_scores(copied)
    rows = {row.arm: row for row in study_tables(config, copied, scores)["mood"]}
    assert list(rows)[:3] == ["constant", "TF-IDF", "teacher"]
    found = json.loads(copied.metrics.read_text())["tasks"]["mood"]["test"]["teacher"]
    assert (rows["teacher"].seeds, rows["teacher"].accuracy.mean) == (0, found["accuracy"])
    copied.metrics.unlink()
    assert "teacher" not in {row.arm for row in study_tables(config, copied, scores)["mood"]}
