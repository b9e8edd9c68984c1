"""Tests of whole runs with a teacher that hears: from espeak-ng to the report."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

from kd.cli import main
from kd.run_folder import RunFolder
from student.audio import AudioModel
from student.model import StudentModel
from teachers.soft_targets import load_soft_targets

# Rows of the run by espeak-ng.
TEXTS = 216
FRAMES = 64


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Tiny matrices gain nothing from threads, and wait for each other on a busy machine."""
    torch.set_num_threads(1)


def kd(*arguments, status=0):
    """Run a kd command to its end, which the command line gives as an exit with a status."""
    with pytest.raises(SystemExit, match=rf"^{status}$"):
        main([str(argument) for argument in arguments])


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


def write_config(folder, ast, encoder, speech, *, rows, extra=""):
    """A task of two moods, which a teacher that hears and one that reads teach, and its config."""
    lines = [f"{('sad', 'glad')[n % 2]} on day {n},{('sad', 'glad')[n % 2]}" for n in range(rows)]
    (folder / "moods.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 24}}\n"
        f"tasks: {{mood: {{classes: [sad, glad], sources: [{{files: moods.csv}}]}}}}\n"
        f"teachers:\n"
        f"  encoder: {encoder}\n"
        f"  training: {{max_steps: 2, batch_size: 16, precision: fp32}}\n"
        f"  tasks:\n"
        f"    mood:\n"
        f"      - encoder: {ast}\n"
        f"        speech: {json.dumps(speech)}\n"
        f"        training: {{max_steps: 60, learning_rate: 3.0e-3, layer_decay: 1}}\n"
        f"{extra}"
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
    config = write_config(folder, tiny_ast, tiny_encoder, {"frames": FRAMES}, rows=TEXTS)
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
