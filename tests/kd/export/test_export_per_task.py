"""Tests of kd.export.per_task: folders that transformers.pipeline loads, or why none."""

import json

import pytest
import torch
from datasets import Dataset
from transformers import pipeline

from data.encoding import encode_table
from data.tasks import TaskSpec
from kd.cli import main
from kd.export import per_task
from kd.export.build import export_run
from kd.export.per_task import write_per_task
from student.encoders import load_encoder, load_tokenizer
from student.inference import compute_logits
from student.model import new_student
from student.predictor import Predictor

MOOD = TaskSpec("mood", classes=("sad", "glad"), has_rationale=True)
AGE = TaskSpec("age", kind="regression", low=10.0, high=90.0)
REPLY = TaskSpec("reply", classes=("cold", "warm"), has_context=True)
TEXTS = ["so sorry that this happened to you", "what a great day it was " * 9, "i do not know"]


@pytest.fixture
def model(tiny_encoder):
    """A student whose heads read the first token."""
    torch.manual_seed(2)
    student = new_student(
        load_encoder(str(tiny_encoder)), [MOOD, AGE, REPLY],
        pooling="cls", head="two_layer", attention_heads=2, dropout=0.1, max_tokens=24,
    )  # fmt: skip
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
        # Within the scale: the student's answers end with it, a pipeline's do not.
        student.heads["age"].label.bias.fill_(0.5)
    return student.eval()


@pytest.fixture
def write(model, tiny_encoder, tmp_path):
    """A function that writes the student's tasks, and gives the report."""
    tokenizer = load_tokenizer(str(tiny_encoder))
    rows = {"id": ["a", "b", "c"], "text": TEXTS, "context": ["", "my dog died", ""]}
    table = encode_table(Dataset.from_dict(rows), tokenizer, [], max_tokens=24)
    return lambda: write_per_task(tmp_path, model, tokenizer, table, compute_logits(model, table))


def test_pipelines_give_the_students_answers(write, model, tiny_encoder, tmp_path):
    """The second text is longer than the student reads."""
    report = write()
    assert [found.get("class") for found in report.values()] == [
        *("DistilBertForSequenceClassification", "BertForTokenClassification"),
        *("DistilBertForSequenceClassification", None),
    ]
    mood = pipeline("text-classification", str(tmp_path / "tasks" / "mood"), top_k=None)
    age = pipeline("text-classification", str(tmp_path / "tasks" / "age"))
    for text, wanted in zip(
        TEXTS, Predictor(model, load_tokenizer(str(tiny_encoder)))(TEXTS), strict=True
    ):
        found = {each["label"]: each["score"] for each in mood([text], truncation=True)[0]}
        assert found == pytest.approx(wanted["mood"].probabilities, abs=1e-5)
        assert age(text, truncation=True)[0]["score"] == pytest.approx(
            wanted["age"].label, abs=1e-3
        )


def test_only_what_answers_the_same_is_written(write, tmp_path):
    report = write()
    written = sorted(path.name for path in (tmp_path / "tasks").iterdir())
    assert written == ["age", "mood", "mood-rationale"]
    assert report["tasks/reply"] == {"left_out": "it reads a context beside the text"}
    assert all(found.get("largest_difference", 0.0) < 1e-5 for found in report.values())


@pytest.mark.parametrize("wrong", [1e-3, float("nan")], ids=str)
def test_a_class_that_answers_otherwise_is_left_out(write, tmp_path, monkeypatch, wrong):
    convert = per_task.as_classifier

    def convert_wrongly(model, spec):
        classifier = convert(model, spec)
        classifier.classifier.bias.data += wrong * (spec.high - spec.low)
        return classifier

    monkeypatch.setattr(per_task, "as_classifier", convert_wrongly)
    report = write()
    assert report["tasks/mood"]["left_out"].startswith(
        "DistilBertForSequenceClassification differs"
    )
    assert sorted(path.name for path in (tmp_path / "tasks").iterdir()) == ["mood-rationale"]


def test_an_export_says_which_tasks_have_no_class_and_why(run, same_graph, tmp_path, capsys):
    """This run's student pools by attention."""
    line = ["export", str(run.path), "--to", str(tmp_path / "mine"), "--precision", "fp32"]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*line, "--per-task"])
    shown = capsys.readouterr().out
    assert "tasks/mood: left out, its head pools by 'attention'" in shown
    found = json.loads((tmp_path / "mine" / "CERTIFICATE.json").read_text())["per_task"]
    assert list(found) == ["tasks/mood", "tasks/warmth", "tasks/warmth-rationale", "tasks/age"]
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "| tasks/warmth | left out: it reads a context beside the text |" in card


def test_the_files_of_the_tasks_stand_in_the_certificate(run, same_graph, tmp_path, monkeypatch):
    def write(folder, *_):
        (folder / "tasks" / "mood").mkdir(parents=True)
        (folder / "tasks" / "mood" / "config.json").write_text("{}")
        return {"tasks/mood": {"class": "Some", "largest_difference": 0.0}}

    monkeypatch.setattr("kd.export.build.write_per_task", write)
    certificate = export_run(run.path, tmp_path / "mine", ["fp32"], per_task=True)
    assert certificate["files"]["tasks/mood/config.json"]["bytes"] == 2
    assert "| `tasks/mood` | `Some` |" in (tmp_path / "mine" / "README.md").read_text()
