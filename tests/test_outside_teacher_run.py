"""Tests of a whole run with teachers that run elsewhere: from kd data --table to the report."""

import csv
import json
import logging
import shutil

import numpy as np
import pytest

from kd.cli import main
from kd.run_folder import RunFolder
from teachers.soft_targets import load_soft_targets
from tests.running import kd

SKIPPED = "unchanged, skipped"
CLASSES = {"mood": ("sad", "glad"), "urgency": ("later", "now")}


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_encoder):
    """A folder with a config of two tasks, the second with rationales, and their outside teachers.

    mood.csv answers every row of its task, and some of no task, with chances of 0.9 of what the
    text says; urgency.csv does so with logits of train rows alone, urgency-all.csv of all.
    """
    folder = tmp_path_factory.mktemp("outside")
    moods = [f"day {n} was {word},{word}" for n in range(20) for word in ("sad", "glad")]
    (folder / "moods.csv").write_text("\n".join(["text,label", *moods]) + "\n")
    calls = [f"help me in {n} hours,now,help me\nno hurry in {n} hours,later," for n in range(20)]
    (folder / "calls.csv").write_text("\n".join(["text,label,quote", *calls]) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 32}}\n"
        f"tasks:\n"
        f"  mood: {{classes: [sad, glad], temperature: 2, sources: [{{files: moods.csv}}]}}\n"
        f"  urgency:\n"
        f"    classes: [later, now]\n"
        f"    sources: [{{files: calls.csv, columns: {{rationale: quote}}}}]\n"
        f"teachers:\n"
        f"  encoder: {tiny_encoder}\n"
        f"  training: {{max_steps: 1, precision: fp32}}\n"
        f"  weights: trust\n"
        f"  tasks: {{mood: [{{file: mood.csv}}], urgency: [{{}}, {{file: urgency.csv}}]}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training:\n"
        f"  {{objective: ce+kl, max_steps: 8, batch_size: 8, learning_rate: 1.0e-3, "
        f"precision: fp32}}\n"
    )
    kd("data", folder / "mine.yaml", "--table", folder / "rows.csv", "--runs", folder / "runs")
    with (folder / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = {
        "mood": ["id,p_glad,p_sad", "stranger,0.5,0.5"],
        "urgency": ["id,logit_now,logit_later"],
    }
    every = list(lines["urgency"])
    for row in rows:
        if row["tasks"] == "mood":
            lines["mood"].append(f"{row['id']},{'0.9,0.1' if 'glad' in row['text'] else '0.1,0.9'}")
        else:
            line = f"{row['id']},{'2,0' if 'help' in row['text'] else '0,2'}"
            every.append(line)
            if row["split"] == "train":
                lines["urgency"].append(line)
    for task, listed in lines.items():
        (folder / f"{task}.csv").write_text("\n".join(listed) + "\n")
    (folder / "urgency-all.csv").write_text("\n".join(every) + "\n")
    return folder


@pytest.fixture(scope="module")
def whole(place):
    """A finished run, and what was warned of in its labelling."""
    said = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("kd.stages.label")
    level = logger.level  # other files silence it
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    kd("run", place / "mine.yaml", "--runs", place / "runs")
    logger.removeHandler(handler)
    logger.setLevel(level)
    return RunFolder(place / "runs" / "mine"), said


def metrics_of(run):
    return json.loads(run.metrics.read_text())


def test_the_table_for_outside_teachers_names_every_row_once(whole, place):
    table, _ = whole[0].load_splits()
    with (place / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(row["id"], split, row["text"]) for split in table for row in table[split]]
    assert [(row["id"], row["split"], row["text"]) for row in rows] == expected
    assert {row["tasks"] for row in rows} == {"mood", "urgency"}


def test_an_outside_teacher_has_soft_targets_and_no_model(whole):
    run, _ = whole
    assert [path.name for path in (run.path / "teachers").iterdir()] == ["urgency"]
    said = load_soft_targets(run.soft_targets("mood"))
    assert len(said.ids) == 40
    assert said.classes == ("sad", "glad")
    chances = np.exp(said.logits)
    np.testing.assert_allclose(np.sort(chances, axis=1), [[0.1, 0.9]] * 40, atol=1e-6)


def test_what_is_strange_about_a_file_is_said(whole):
    _, said = whole
    assert "teacher mood: 1 of its ids are no rows of this run: they are left out" in said
    table, _ = whole[0].load_splits()
    for split in ("dev", "test"):
        rows = sum(np.isfinite(row).all() for row in table[split]["gold/urgency"])
        assert (
            f"teacher urgency-2: its file has 0 of the {rows} {split} rows of its task: it has no "
            f"score there"
        ) in said
    assert not any("teacher mood on" in line for line in said)
    # One step is too little for a teacher that is trained here.
    assert any(line.startswith("teacher urgency on dev: it") for line in said)


def test_an_outside_teacher_is_scored_where_its_file_has_every_row(whole):
    tasks = metrics_of(whole[0])["tasks"]
    for split in ("dev", "test"):
        assert tasks["mood"][split]["teacher"]["macro_f1"] == 1.0
        assert tasks["urgency"][split].keys() == {"student", "urgency", "constant", "tfidf"}
    assert metrics_of(whole[0])["models"].keys() == {"student", "urgency"}


def test_the_student_learns_from_it(whole):
    """A trust of 0.9 in each row, whose target is 0.9 + 0.1 at temperature 1."""
    log = [json.loads(line) for line in (whole[0].logs / "distill.jsonl").read_text().splitlines()]
    assert log[0]["teacher_trust/mood"] == pytest.approx(0.9)
    assert log[0]["teacher_weight/urgency-2"] == 0.5
    assert all(row["gold_weight"] == 1.0 for row in log if "gold_weight" in row)
    assert metrics_of(whole[0])["teacher_weights"]["urgency"] == {"urgency": 0.5, "urgency-2": 0.5}


def test_the_report_says_which_teachers_ran_outside(whole):
    page = (whole[0].report / "README.md").read_text()
    assert "mood and urgency-2 ran outside, and what they cost is unknown" in page
    assert "outside: mood.csv" in page
    report = json.loads((whole[0].report / "report.json").read_text())
    assert [row["name"] for row in report["cost"]["systems"]] == ["student"]


@pytest.fixture
def again(whole, place, tmp_path, capsys):
    """A function that runs a command on a copy of the run, and gives stage → outcome."""
    shutil.copytree(whole[0].path, tmp_path / "runs" / "mine")

    def outcomes(*arguments, command="run"):
        capsys.readouterr()
        kd(command, place / "mine.yaml", *arguments, "--runs", tmp_path / "runs")
        lines = capsys.readouterr().out.splitlines()
        return dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)

    return outcomes


def test_the_same_line_again_skips_every_stage(again):
    found = again()
    for stage in ("data", "teach", "label", "distill", "evaluate"):
        assert found[stage] == SKIPPED


def test_a_file_that_changed_is_read_again_and_the_student_trained_again(again, place):
    path = place / "mood.csv"
    before = path.read_text()
    path.write_text(before.replace("stranger,0.5,0.5\n", ""))
    try:
        found = again()
    finally:
        path.write_text(before)
    assert (found["data"], found["teach"]) == (SKIPPED, SKIPPED)
    assert found["label"] == "done mood"
    assert (found["distill"], found["evaluate"]) == ("done", "done")


def test_a_file_is_audited_as_a_teacher_of_ours_is(again, place, caplog):
    """Labels that are permuted teach the wrong classes without any error."""
    path = place / "mood.csv"
    before = path.read_text()
    path.write_text(before.replace("p_glad,p_sad", "p_sad,p_glad"))
    logging.getLogger("kd.stages.label").setLevel(logging.WARNING)
    try:
        again(command="label")
    finally:
        path.write_text(before)
    (line,) = [line for line in caplog.messages if line.startswith("teacher mood on dev: ")]
    assert "its macro-F1 0.000 is that of a constant answer" in line
    assert "its labels are permuted" in line


def test_an_outside_teacher_alone_answers_a_task_whose_rationales_it_does_not_quote(
    again, tmp_path, monkeypatch
):
    """The student's rationales learn from gold, and are compared with the baselines alone."""
    found = again(
        "teachers.tasks.urgency=[{file: urgency-all.csv}]", "teachers.weights=dev", "--overwrite"
    )
    assert found["teach"] == SKIPPED
    run = RunFolder(tmp_path / "runs" / "mine")
    scores = metrics_of(run)["tasks"]["urgency"]["test"]
    assert scores["teacher"]["macro_f1"] == 1.0
    assert "rationale" not in scores["teacher"]
    assert "rationale" in scores["student"]
    rows = json.loads((run.report / "report.json").read_text())["verdict"]["rows"]
    words = {(row["task"], row["measure"]): row["word"] for row in rows}
    assert words["urgency", "rationale_token_f1"] is None
    assert words["urgency", "macro_f1"] is not None
    log = (run.logs / "distill.jsonl").read_text().splitlines()
    assert any("loss/urgency/rationale" in line for line in log)


def test_a_wrong_file_is_refused_before_a_teacher_is_trained(place, tmp_path, capsys):
    shutil.copytree(place, tmp_path / "place", ignore=shutil.ignore_patterns("runs"))
    path = tmp_path / "place" / "urgency.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    for command in (["run"], ["run", "--dry-run"]):
        with pytest.raises(SystemExit, match=r"^2$"):
            main(
                [
                    *command,
                    str(place / "mine.yaml"),
                    f"data.root={path.parent}",
                    "--runs",
                    str(tmp_path / "runs"),
                ]
            )
        assert "2 of 28 train rows of task 'urgency' are missing" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "mine" / "teachers").exists()


def test_a_dry_run_names_the_outside_teachers_and_trains_none_of_them(place, tmp_path, capsys):
    kd("run", place / "mine.yaml", "--dry-run")
    lines = capsys.readouterr().out.splitlines()
    assert "teacher mood runs outside: mood.csv" in lines
    trained = [line.split()[1] for line in lines if line.startswith("teacher urgency  ")]
    assert not any(line.startswith("teacher mood  ") for line in lines)
    assert trained == ["urgency"]


def test_gold_alone_does_not_ask_for_the_files(place, tmp_path, capsys):
    gold = ("training.objective=gold", "teachers.tasks.mood=[{file: gone.csv}]", "name=gold")
    kd("run", place / "mine.yaml", *gold, "--dry-run")
    assert "runs outside" not in capsys.readouterr().out
    kd("run", place / "mine.yaml", *gold, "--runs", tmp_path / "runs")
    page = (tmp_path / "runs" / "gold" / "report" / "README.md").read_text()
    assert "ran outside" not in page
    assert "teacher mood" not in page


def test_the_arm_of_a_sum_of_losses_is_the_run_itself(again, tmp_path):
    found = again("--arms", "ce+kl", "--seeds", "1", command="study")
    assert found["study"] == "ce+kl seed 13  done"
    folder = tmp_path / "runs" / "mine"
    one, two = (
        (place / "student" / "model.safetensors").read_bytes()
        for place in (folder, folder / "study" / "ce+kl" / "seed-13")
    )
    assert one == two
