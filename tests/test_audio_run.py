"""Tests of whole runs with a teacher that hears: from espeak-ng to the report."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from kd.run_folder import RunFolder
from student.audio import AudioModel
from student.model import StudentModel
from teachers.soft_targets import load_soft_targets
from tests.running import kd

# Rows of the run by espeak-ng.
TEXTS = 216
FRAMES = 64


@pytest.fixture(scope="module")
def tiny_ast(tmp_path_factory):
    """A folder with an AST of 2 layers and 32 hidden units, on 64 frames of 32 mel bins."""
    folder = tmp_path_factory.mktemp("ast")
    torch.manual_seed(0)
    ASTModel(
        ASTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_length=FRAMES, num_mel_bins=32, patch_size=8, time_stride=8, frequency_stride=8,
        )
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_config(folder, ast, encoder):
    """A task of two moods, taught by what espeak-ng makes of its texts, and its config."""
    lines = [f"{('sad', 'glad')[n % 2]} on day {n},{('sad', 'glad')[n % 2]}" for n in range(TEXTS)]
    (folder / "moods.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 24}}\n"
        f"tasks:\n"
        f"  mood: {{classes: [sad, glad], temperature: 0.1, sources: [{{files: moods.csv}}]}}\n"
        f"teachers:\n"
        f"  encoder: {encoder}\n"
        f"  training: {{max_steps: 2, batch_size: 16, precision: fp32}}\n"
        f"  tasks:\n"
        f"    mood:\n"
        f"      - encoder: {ast}\n"
        f"        speech: {{frames: {FRAMES}}}\n"
        f"        training: {{max_steps: 60, learning_rate: 3.0e-3, layer_decay: 1}}\n"
        f"student: {{encoder: {encoder}, layers: [0]}}\n"
        f"training: {{objective: soft, max_steps: 60, batch_size: 16, learning_rate: 2.0e-3,\n"
        f"  layer_decay: 1, precision: fp32}}\n"
    )
    return folder / "mine.yaml"


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_ast, tiny_encoder):
    """A finished run whose one teacher hears 216 texts by espeak-ng."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("no espeak-ng: install Debian's package espeak-ng to test what it speaks")
    folder = tmp_path_factory.mktemp("espeak")
    config = write_config(folder, tiny_ast, tiny_encoder)
    kd("run", config, "--runs", folder / "runs")
    return RunFolder(folder / "runs" / "mine"), config


def test_espeak_speaks_every_row_and_the_teacher_tells_them_apart(run):
    run, _ = run
    (made,) = (run.path / "speech").iterdir()
    assert sorted(path.name for path in made.iterdir()) == ["done.npy", "features.npy"]
    assert np.load(made / "done.npy").tolist() == [True] * TEXTS
    clips = np.load(made / "features.npy", mmap_mode="r")
    assert clips.shape == (TEXTS, FRAMES, 32)
    table, _ = run.load_splits()
    texts = [text for split in ("train", "dev", "test") for text in table[split]["text"]]
    heard = {word: {clips[n].tobytes() for n, text in enumerate(texts) if text.startswith(word)}
             for word in ("sad", "glad")}  # fmt: skip
    assert not heard["sad"] & heard["glad"]
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]
    assert scores["test"]["teacher"]["macro_f1"] > 0.9
    assert len(load_soft_targets(run.soft_targets("mood")).ids) == TEXTS


def test_a_student_of_that_teacher_alone_learns_its_task(run):
    """Under the objective soft no gold reaches it: what it knows, the teacher said."""
    run, _ = run
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]
    assert scores["test"]["student"]["macro_f1"] > 0.9


def test_its_folder_holds_the_model_and_how_clips_are_normalised(run):
    run, _ = run
    model = StudentModel.from_pretrained(run.teacher("mood"))
    assert isinstance(model.encoder, AudioModel)
    about = json.loads((run.teacher("mood") / "preprocessor_config.json").read_text())
    assert about["feature_extractor_type"] == ASTFeatureExtractor.__name__
    assert (about["mean"], about["std"]) == (model.config.encoder.mean, model.config.encoder.std)
    assert about["do_normalize"]
    assert about["max_length"] == FRAMES
    assert not (run.teacher("mood") / "tokenizer.json").exists()


# Writes a tone that is high for texts with glad in them, low for others.
SPEAKER = (
    "import sys, wave, math, array; pitch = 3000 if 'glad' in sys.stdin.read() else 300; "
    "f = wave.open(sys.argv[1], 'wb'); f.setparams((1, 2, 16000, 0, 'NONE', '')); "
    "f.writeframes(array.array('h', (int(9000 * math.sin(pitch * t / 2546)) "
    "for t in range(3000))).tobytes())"
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, tiny_ast, tiny_encoder):
    """A finished run of a task with contexts and rationales, taught by one teacher that reads and
    one that hears, and its config."""
    folder = tmp_path_factory.mktemp("mixed")
    rows = [
        f"i am {word} for you {n},{word},my day was number {n},am {word}"
        for n in range(24)
        for word in ("sad", "glad")
    ]
    (folder / "replies.csv").write_text("text,label,post,quote\n" + "\n".join(rows) + "\n")
    speech = {"command": [sys.executable, "-c", SPEAKER, "{wav}"], "frames": 32}
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 32, splits: {{train: 0.5, dev: 0.25, test: 0.25}}}}\n"
        f"tasks:\n"
        f"  mood:\n"
        f"    classes: [sad, glad]\n"
        f"    sources: [{{files: replies.csv, columns: {{context: post, rationale: quote}}}}]\n"
        f"teachers:\n"
        f"  encoder: {tiny_encoder}\n"
        f"  training: {{max_steps: 2, batch_size: 8, precision: fp32}}\n"
        f"  tasks:\n"
        f"    mood:\n"
        f"      - {{}}\n"
        f"      - encoder: {tiny_ast}\n"
        f"        weight: 3\n"
        f"        speech: {json.dumps(speech)}\n"
        f"        training: {{max_steps: 40, learning_rate: 3.0e-3, layer_decay: 1}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{max_steps: 4, batch_size: 8, precision: fp32}}\n"
    )
    kd("run", folder / "mine.yaml", "--runs", folder / "runs")
    return RunFolder(folder / "runs" / "mine"), folder / "mine.yaml"


def test_its_soft_targets_are_mixed_with_those_of_one_that_reads(mixed):
    """3/4 of its chances in each row; the rationale is the other's alone."""
    run, _ = mixed
    reads, hears = (load_soft_targets(run.soft_targets(name)) for name in ("mood", "mood-2"))
    assert hears.token_logits is None
    assert reads.token_logits is not None
    assert hears.ids == reads.ids
    metrics = json.loads(run.metrics.read_text())
    assert metrics["teacher_weights"]["mood"] == {"mood": 0.25, "mood-2": 0.75}
    scores = metrics["tasks"]["mood"]["test"]
    assert scores["mood-2"]["macro_f1"] > 0.9
    assert "rationale" not in scores["mood-2"]
    assert "faithfulness" in scores["mood"]["rationale"]
    with (run.predictions / "teacher-mood-test.csv").open(newline="") as file:
        lines = {row["id"]: row for row in csv.DictReader(file)}
    numbers = {name: number for number, name in enumerate(reads.ids.to_pylist())}
    assert lines
    for name, line in lines.items():
        row = numbers[name]
        expected = 0.25 * softmax(reads.logits[row]) + 0.75 * softmax(hears.logits[row])
        assert float(line["p(glad)"]) == pytest.approx(expected[1], abs=1e-4)


def test_the_report_says_that_it_hears_and_leaves_teachers_out_of_the_costs(mixed):
    run, _ = mixed
    page = (run.report / "README.md").read_text()
    assert "mood-2 heard the texts spoken, and what speaking costs is not measured" in page
    assert "here, on speech" in page
    report = json.loads((run.report / "report.json").read_text())
    assert [row["name"] for row in report["cost"]["systems"]] == ["student"]


def test_the_same_line_again_skips_everything(mixed, capsys):
    run, config = mixed
    before = {path: path.stat().st_mtime_ns for path in (run.path / "speech").rglob("*")}
    kd("run", config, "--runs", run.path.parent)
    lines = capsys.readouterr().out.splitlines()
    for stage in ("teach", "label", "distill", "evaluate"):
        assert any(line.startswith(stage) and "unchanged, skipped" in line for line in lines)
    assert {path: path.stat().st_mtime_ns for path in (run.path / "speech").rglob("*")} == before


def test_another_voice_has_that_teacher_alone_taught_again(mixed, tmp_path, capsys):
    run, config = mixed
    shutil.copytree(run.path, tmp_path / "runs" / "mine")
    (tmp_path / "mine.yaml").write_text(config.read_text().replace("9000", "5000"))
    kd("teach", tmp_path / "mine.yaml", "--runs", tmp_path / "runs", "--overwrite")
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("teach ")]
    assert line.split()[2:] == ["mood-2"]


def test_a_speaker_that_is_not_there_is_named_before_any_teacher_is_trained(
    mixed, tmp_path, capsys
):
    _, config = mixed
    (tmp_path / "mine.yaml").write_text(config.read_text().replace(sys.executable, "no-speaker"))
    kd("run", tmp_path / "mine.yaml", "--runs", tmp_path / "runs", status=2)
    assert "speech.command: 'no-speaker' is not there" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "mine" / "teachers").exists()


def test_the_dry_run_tells_how_many_texts_are_spoken(mixed, capsys):
    kd("run", mixed[1], "--dry-run")
    out = " ".join(capsys.readouterr().out.split())
    assert "teacher mood-2 hears speech: at most 48 texts are spoken first" in out
    assert "teacher mood " in out


def test_it_answers_no_texts(mixed, capsys):
    run, _ = mixed
    kd("predict", run.teacher("mood-2"), "--text", "so glad", status=2)
    assert "hears clips and reads no text" in capsys.readouterr().err
