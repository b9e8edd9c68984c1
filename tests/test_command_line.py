"""Tests of the command line: a mistake ends in one line and exit status 2, never a traceback."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from kd.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
HEADER = "sp_id,rp_id,seeker_post,response_post,level,rationales"


@pytest.fixture
def config(tmp_path, tiny_encoder):
    """The path of a good config of one task on the user's own table of 30 rows."""
    rows = [f"day {number} was {word},{word}" for number in range(15) for word in ("sad", "glad")]
    (tmp_path / "mine.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\n"
        f"data: {{root: {tmp_path}}}\n"
        f"tasks:\n"
        f"  mood:\n"
        f"    sources: [{{files: mine.csv}}]\n"
        f"    classes: [sad, glad]\n"
        f"teachers: {{encoder: {tiny_encoder}, training: {{epochs: 1}}}}\n"
        f"student: {{encoder: {tiny_encoder}}}\n"
        f"training: {{epochs: 1}}\n"
    )
    return path


@pytest.fixture
def refused(tmp_path, capsys):
    """A function that runs kd, checks the manner of the refusal, and gives its one line."""

    def refusal(command, *arguments):
        runs = () if command == "predict" else ("--runs", str(tmp_path / "runs"))
        with pytest.raises(SystemExit, match=r"^2$"):
            main([command, *map(str, arguments), *runs])
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("kd: ")
        return lines[0]

    return refusal


def test_a_config_that_is_not_there_is_refused(refused, tmp_path):
    assert "absent.yaml: no such file" in refused("run", tmp_path / "absent.yaml")


def test_masked_texts_without_a_table_to_write_are_refused(refused, config):
    assert "--masked: adds columns to a table: give --table" in refused("data", config, "--masked")


def test_a_data_file_that_is_not_there_is_refused(refused, config, tmp_path):
    (tmp_path / "mine.csv").unlink()
    assert f"{tmp_path}/mine.csv: no such file" in refused("run", config)


@pytest.mark.parametrize("command", ["data", "teach", "distill", "run"])
def test_a_class_that_is_not_in_the_list_is_refused_with_its_place(
    refused, config, tmp_path, command
):
    with (tmp_path / "mine.csv").open("a") as file:
        file.write("a fine day,gald\n")
    line = refused(command, config)
    assert "mine.csv:32, column 'label': 'gald' is not a class of task 'mood'" in line
    assert line.endswith("choose from sad, glad")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"sentence,label\nso sad,sad\n", "column 'text' is missing: the header is"),
        (b"text,label\nso sad,sad\n  ,glad\n", "mine.csv:3, column 'text': the text is empty"),
        (b"text,label\nso sad,sad\ncaf\xe9,glad\n", "mine.csv:3, byte 4: 0xe9 is not utf-8"),
        (b"text,label\nso sad\n", "mine.csv:2: has 1 cells: the header names 2"),
        (b"", "mine.csv: is empty: it needs the header"),
        (b"text,label\n", "task 'mood': its files hold no rows"),
        (b"text,label\nso sad,sad\n", "tasks.mood: no row lands in"),
    ],
)
def test_a_table_with_a_fault_is_refused_with_its_place(
    refused, config, tmp_path, content, expected
):
    (tmp_path / "mine.csv").write_bytes(content)
    assert expected in refused("data", config)


def test_an_empathy_level_of_seven_is_refused_with_its_place(refused, config, tmp_path):
    rows = f"{HEADER}\ns1,r1,i am sad,oh no,1,oh no|\ns2,r2,i am glad,oh yes,7,\n"
    (tmp_path / "mine.csv").write_text(rows)
    source = "tasks.mood.sources=[{reader: empathy_reddit, files: mine.csv}]"
    line = refused("data", config, source, "tasks.mood.classes=[none, weak, strong]")
    assert "mine.csv:3, column 'level': '7' is not a label: choose from 0, 1, 2" in line


def test_a_misspelt_config_key_is_refused_with_the_nearest(refused, config):
    line = refused("run", config, "training.epoch=3")
    assert "training.epoch: unknown key 'epoch': did you mean 'epochs'?" in line


@pytest.mark.parametrize("command", ["data", "run"])
def test_an_encoder_that_is_not_there_is_refused(refused, config, tmp_path, command):
    absent = tmp_path / "absent"
    line = refused(command, config, f"student.encoder={absent}")
    assert f"encoder '{absent}': is not there" in line


def test_a_teachers_encoder_that_is_not_there_is_refused(refused, config, tmp_path):
    absent = tmp_path / "absent"
    assert f"encoder '{absent}'" in refused("teach", config, f"teachers.encoder={absent}")


def test_a_run_folder_of_another_config_is_refused_with_the_key(refused, config, tmp_path):
    main_ok("data", config, "--runs", tmp_path / "runs")
    line = refused("data", config, "seed=4")
    assert "was made with another config: seed is 13 there and 4 here" in line
    main_ok("data", config, "seed=4", "--overwrite", "--runs", tmp_path / "runs")


@pytest.mark.parametrize(
    ("command", "expected"),
    [("label", "run kd teach"), ("distill", "run kd label"), ("evaluate", "run kd ")],
)
def test_a_stage_before_its_turn_is_refused_with_the_one_to_run(
    refused, config, tmp_path, command, expected
):
    main_ok("data", config, "--runs", tmp_path / "runs")
    assert expected in refused(command, config)


@pytest.mark.parametrize(("command", "first"), [("label", "teach"), ("evaluate", "distill")])
def test_a_stage_without_what_it_reads_is_refused(refused, config, command, first):
    assert f"run kd {first} with this config first" in refused(command, config)


def test_evaluating_gold_training_before_it_ran_is_refused(refused, config, tmp_path):
    main_ok("data", config, "training.objective=gold", "--runs", tmp_path / "runs")
    assert "kd distill" in refused("evaluate", config, "training.objective=gold")


def test_a_student_that_starts_from_no_teacher_yet_is_refused(refused, config):
    overrides = ("training.objective=gold", "student.start=mood")
    assert "kd teach" in refused("distill", config, *overrides)


def test_a_layer_that_the_encoder_lacks_is_refused(refused, config):
    line = refused("distill", config, "training.objective=gold", "student.layers=[0,5]")
    assert "layers: [0, 5]: choose from 0 to 1" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16")
@pytest.mark.parametrize("command", ["run", "distill"])
def test_fp16_on_a_cpu_is_refused(refused, config, command):
    overrides = ("training.objective=gold", "training.precision=fp16")
    assert "'fp16' needs a GPU" in refused(command, config, *overrides)


def test_a_batch_smaller_than_its_micro_steps_trains_or_is_refused(config, tmp_path, capsys):
    overrides = ("training.objective=gold", "training.batch_size=2", "training.accumulation=4")
    with pytest.raises(SystemExit, match=r"^[02]$") as ended:
        main(["distill", str(config), *overrides, "--runs", str(tmp_path / "runs")])
    assert ended.value.code == 0 or "accumulation" in capsys.readouterr().err


def test_a_runs_folder_that_is_a_file_is_refused(config, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["data", str(config), "--runs", str(tmp_path / "file")])
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("in.csv",),
        ("in.csv", "out.csv", "--text", "so sad"),
    ],
)
def test_predict_takes_either_a_text_or_two_files(refused, tmp_path, arguments):
    assert "give either --text, or IN and OUT" in refused("predict", tmp_path, *arguments)


def test_predict_without_a_model_is_refused(refused, tmp_path):
    line = refused("predict", tmp_path, "--text", "so sad")
    assert f"{tmp_path}: holds no model: give a run's folder or a model's folder" in line


def main_ok(*arguments):
    """Run kd to its end, which the command line gives as an exit with status 0."""
    with pytest.raises(SystemExit, match=r"^0$"):
        main([str(argument) for argument in arguments])


def test_a_dry_run_writes_nothing(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    main_ok("run", config, "--dry-run")
    shown = capsys.readouterr().out
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before
    assert not (tmp_path / "runs").exists()
    assert "teacher mood" in shown
    assert "student" in shown
    assert "30 texts: train 21, dev 3, test 6" in shown


def test_a_dry_run_says_how_often_the_student_sees_each_tasks_rows(config, capsys):
    main_ok("run", config, "training.batch_size=7", "training.epochs=2", "--dry-run")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["mood", "21", "2.00", "6"] in lines


def test_a_dry_run_of_gold_alone_names_no_teacher(config, capsys):
    main_ok("run", config, "training.objective=gold", "--dry-run")
    assert "teacher" not in capsys.readouterr().out


def test_a_dry_run_refuses_what_the_run_would(refused, config, tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\na,b\n")
    assert "mine.csv:2, column 'label': 'b' is not a class" in refused("run", config, "--dry-run")


def test_a_stop_from_the_keyboard_ends_in_one_line(config, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kd.pipeline.run_all", stop)
    with pytest.raises(SystemExit, match=r"^130$"):
        main(["run", str(config), "--runs", str(tmp_path / "runs")])
    assert capsys.readouterr().err == "kd: stopped; type the same line again to go on\n"


def test_the_program_itself_refuses_in_one_line_with_status_two(config, tmp_path):
    """A hub id without a network; and main() alone would not show what the interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-m", "kd", "run", str(config), "student.encoder=nobody/nothing"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("kd: encoder 'nobody/nothing': is not there: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_the_help_names_every_command(capsys):
    main_ok("--help")
    shown = capsys.readouterr().out
    for command in (command for panel in COMMANDS.values() for command in panel):
        assert f" {command.__name__} " in shown


def test_the_version_is_that_of_the_package(capsys):
    main_ok("--version")
    assert capsys.readouterr().out == f"kd-empathy {version('kd-empathy')}\n"


def test_help_and_the_refusal_of_a_config_wait_for_no_heavy_package(tmp_path):
    """They are imported where a command needs them; another process, for this one has them all."""
    (tmp_path / "wrong.yaml").write_text("name: wrong\ntasks: {mood: {}}\n")
    code = """
import sys
from kd.cli import COMMANDS, main
names = [command.__name__ for panel in COMMANDS.values() for command in panel]
helps = (["--help"], *([name, "--help"] for name in names))
for arguments in (*helps, ["run", "wrong.yaml"], ["run", "wrong.yaml", "--dry-run"]):
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == (0 if "--help" in arguments else 2), arguments
print(*{"torch", "transformers", "datasets", "sklearn", "scipy", "pandas"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == ""
    assert done.stderr.startswith("kd: wrong.yaml: tasks.mood.sources: is missing"), done.stderr
