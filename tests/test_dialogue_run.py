"""Test of a whole run on dialogues: a dialogue teacher, and a student that it teaches."""

import json

import pytest

from kd.run_folder import RunFolder
from student.dialogue import DialogueModel
from student.model import StudentModel
from student.predictor import Predictor
from teachers.soft_targets import load_soft_targets
from tests.running import kd


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_encoder):
    """A finished run. What each dialogue's last turn is labelled stands in the turn before it."""
    folder = tmp_path_factory.mktemp("dialogue")
    lines = ["dialogue,turn,speaker,text,emotion"]
    for number in range(60):
        word = ("sad", "glad")[number % 2]
        lines += [
            f"{number},0,ann,i feel {word} on day {number},",
            f"{number},1,bob,so {number},{word}",
        ]
    (folder / "talk.csv").write_text("\n".join(lines) + "\n")
    (folder / "mine.yaml").write_text(
        f"name: mine\n"
        f"data: {{root: {folder}, max_tokens: 48, splits: {{train: 0.6, dev: 0.2, test: 0.2}}}}\n"
        f"tasks:\n"
        f"  emotion:\n"
        f"    classes: [sad, glad]\n"
        f"    sources: [{{reader: dialogues, window: 3, files: talk.csv,\n"
        f"               columns: {{label: emotion}}}}]\n"
        f"teachers:\n"
        f"  encoder: 'dialogue:{tiny_encoder}'\n"
        f"  training: {{max_steps: 60, batch_size: 18, learning_rate: 3.0e-3, layer_decay: 1,\n"
        f"             precision: fp32}}\n"
        f"student: {{encoder: {tiny_encoder}}}\n"
        f"training: {{max_steps: 6, batch_size: 18, precision: fp32}}\n"
    )
    kd("run", folder / "mine.yaml", "--runs", folder / "runs")
    return RunFolder(folder / "runs" / "mine")


def test_the_teacher_reads_the_turn_before_and_teaches_the_student(run):
    scores = json.loads(run.metrics.read_text())["tasks"]["emotion"]["test"]
    assert scores["teacher"]["macro_f1"] > 0.9
    assert "student" in scores
    targets = load_soft_targets(run.soft_targets("emotion"))
    assert len(targets.ids) == 120  # turns without a label are asked about, too


def test_the_teacher_is_loaded_and_asked_like_any_model(run):
    model = StudentModel.from_pretrained(run.teacher("emotion"))
    assert isinstance(model.encoder, DialogueModel)
    predictor = Predictor.load(run.teacher("emotion"))
    asked = ["[S2] so 7 [S1] i feel sad on day 7", "[S2] so 7 [S1] i feel glad on day 7"]
    assert [answer["emotion"].label for answer in predictor(asked)] == ["sad", "glad"]


def test_a_teacher_of_meld_takes_part_in_a_distillation(public_data, tiny_encoder, tmp_path):
    """GloVe, BiLSTM, GRU and attention among turns on the public dialogues, a part of train."""
    (tmp_path / "meld.yaml").write_text(
        f"name: meld\n"
        f"data: {{root: {public_data}, max_tokens: 64}}\n"
        f"tasks:\n"
        f"  emotion:\n"
        f"    sources:\n"
        f"      - reader: meld\n"
        f"        window: 3\n"
        f"        files: {{train: meld/train_sent_emo.csv, dev: meld/dev_sent_emo.csv,\n"
        f"                 test: meld/test_sent_emo.csv}}\n"
        f"    limit: 300\n"
        f"teachers:\n"
        f"  encoder: 'dialogue:bilstm:glove.6B.100d.20k.txt.gz'\n"
        f"  training: {{max_steps: 6, batch_size: 16, learning_rate: 1.0e-3, precision: fp32}}\n"
        f"student: {{encoder: {tiny_encoder}, layers: [0]}}\n"
        f"training: {{max_steps: 4, batch_size: 16, precision: fp32}}\n"
    )
    kd("run", tmp_path / "meld.yaml", "--runs", tmp_path)
    found = RunFolder(tmp_path / "meld")
    assert isinstance(StudentModel.from_pretrained(found.teacher("emotion")).encoder, DialogueModel)
    targets = load_soft_targets(found.soft_targets("emotion"))
    train = found.load_splits()[0]["train"]
    assert len(train) == 300
    assert set(train["id"]) <= set(map(str, targets.ids))
    scores = json.loads(found.metrics.read_text())["tasks"]["emotion"]["test"]
    assert scores["teacher"].keys() == scores["student"].keys()
    losses = [json.loads(line) for line in (found.logs / "distill.jsonl").read_text().splitlines()]
    assert any("gold_weight" in line for line in losses)
