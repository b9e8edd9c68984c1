"""Tests of a whole run on word vectors: a teacher of each kind, and a student that is a CNN."""

import gzip
import json
import logging
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file

from kd.cli import main
from kd.config_file import load_config
from kd.run_folder import RunFolder
from kd.stages.teach import teach_key
from student.predictor import Predictor
from student.vector_files import read_vectors
from tests.running import kd

KINDS = ("lstm", "bilstm", "conv_lstm", "cnn", "mlp")
CONFIG = """
name: mine
data: {{root: {root}, max_tokens: 12}}
tasks:
  mood: {{sources: [{{files: mood.csv}}], classes: [sad, glad]}}
teachers:
  encoder: "lstm:words.txt.gz"
  pooling: last
  training: {{epochs: 6, batch_size: 8, learning_rate: 5.0e-3, precision: fp32, patience: 6}}
  tasks:
    mood:
      - {{}}
      - {{encoder: "bilstm:words.txt.gz"}}
      - {{encoder: "conv_lstm:words.txt.gz"}}
      - {{encoder: "cnn:words.txt.gz:20", pooling: max, head: linear}}
      - {{encoder: "mlp:words.txt.gz:frozen", pooling: flat, training: {{epochs: 16}}}}
student: {{encoder: "cnn:words.txt.gz", pooling: max, head: linear, dropout: 0.5}}
training: {{epochs: 8, learning_rate: 5.0e-3, precision: fp32}}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a config, a table of 80 texts, and random vectors of their words."""
    folder = tmp_path_factory.mktemp("word_vectors")
    middles = ["a", "so", "very", "much", "not", "then", "now", "here", "never", "again"]
    texts = [
        f"i {'am' if number % 2 else 'was'} {middle} {word} at {number},{word}"
        for number in range(4)
        for middle in middles
        for word in ("sad", "glad")
    ]
    (folder / "mood.csv").write_text("text,label\n" + "\n".join(texts) + "\n")
    random = np.random.default_rng(0)
    lines = [
        f"{word} " + " ".join(f"{value:.4f}" for value in random.normal(size=16))
        for word in ["sad", "glad", "i", "am", "was", "at", *middles, *map(str, range(9))]
    ]
    (folder / "words.txt.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    (folder / "mine.yaml").write_text(CONFIG.format(root=folder))
    return folder


@pytest.fixture(scope="module")
def run(place):
    """The folder of a finished run."""
    logging.getLogger("kd.stages.label").setLevel(logging.ERROR)
    kd("run", place / "mine.yaml", "--runs", place / "runs")
    return RunFolder(place / "runs" / "mine")


def teacher_names(run):
    return dict(zip(KINDS, ("mood", *(f"mood-{number}" for number in range(2, 6))), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_of_each_kind_learns(run, kind):
    folder = run.teacher(teacher_names(run)[kind])
    assert json.loads((folder / "config.json").read_text())["encoder"]["kind"] == kind
    # The constant answer has 1/3.
    assert json.loads((folder / "training.json").read_text())["best_score"] > 0.8


def test_the_student_learns_from_them(run):
    scores = json.loads(run.metrics.read_text())["tasks"]["mood"]["test"]
    assert scores["constant"]["macro_f1"] < 0.4
    assert scores["student"]["macro_f1"] > 0.8


def test_a_frozen_table_stays_as_the_file_says_and_another_does_not(run, place):
    values = read_vectors(place / "words.txt.gz").values
    for kind in KINDS:
        state = load_file(run.teacher(teacher_names(run)[kind]) / "model.safetensors")
        table = state["encoder.words.weight"][2:].numpy()
        assert np.array_equal(table, values[: len(table)]) is (kind == "mlp")
        assert len(table) == (20 if kind == "cnn" else len(values))


def test_the_predictor_answers_texts_of_known_and_of_unknown_words(run):
    predictor = Predictor.load(run.path)
    answers = predictor(["Now I AM sad!", "i was never glad", "\u2764 zzz", "n"])
    assert [answer["mood"].label for answer in answers[:2]] == ["sad", "glad"]
    for answer in answers:
        assert sum(answer["mood"].probabilities.values()) == pytest.approx(1.0)


def test_other_vectors_below_the_same_name_are_another_teacher(place, tmp_path):
    """A file that was exchanged must not leave an old teacher standing; one moved may."""
    path = tmp_path / "words.txt.gz"
    shutil.copyfile(place / "words.txt.gz", path)
    config, moved = (
        load_config(place / "mine.yaml", overrides) for overrides in ([], [f"data.root={tmp_path}"])
    )

    def keys(of):
        return [
            teach_key(of, spec, settings, "rows")
            for spec in of.specs
            for settings in of.teachers.trained(spec.name).values()
        ]

    assert len(set(keys(config))) == 5
    assert keys(moved) == keys(config)
    text = gzip.decompress(path.read_bytes()).decode()
    path.write_bytes(gzip.compress(text.replace("8 ", "80 ", 1).encode()))
    assert not set(keys(moved)) & set(keys(config))


def test_a_dry_run_says_what_such_a_run_would_do(place, capsys):
    kd("run", place / "mine.yaml", "--dry-run")
    out = capsys.readouterr().out
    assert "teacher mood-5" in out
    assert "student" in out


def test_a_name_that_says_nothing_ends_in_one_line(place, tmp_path, capsys):
    arguments = [str(place / "mine.yaml"), "--runs", str(tmp_path), "student.encoder=lstm:x:0"]
    with pytest.raises(SystemExit, match="2"):
        main(["run", *arguments])
    assert "encoder 'lstm:x:0': give lstm:FILE" in capsys.readouterr().err
