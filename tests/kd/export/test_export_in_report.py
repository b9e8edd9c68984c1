"""Tests of kd.report.exported: the precisions of an export among the report's systems."""

import json
import shutil

import numpy as np
import pytest

from data.encoding import encode_table
from kd.evaluation import score
from kd.report.answers import read_run
from kd.report.cost import measure
from kd.report.exported import exported_systems
from student.encoders import load_tokenizer
from student.inference import compute_logits
from student.model import StudentModel


@pytest.fixture
def finished(run, exported):
    """The run with its export in its folder."""
    shutil.copytree(exported[0], run.export)
    yield read_run(run.path)
    shutil.rmtree(run.export)


def test_each_precision_is_a_system_with_the_students_score_on_the_test_rows(finished):
    model = StudentModel.from_pretrained(finished.run.student).eval()
    tokenizer = load_tokenizer(str(finished.run.student))
    test = encode_table(finished.test, tokenizer, model.specs, max_tokens=24)
    logits = compute_logits(model, test)
    scores = [score(spec, test, logits)[spec.selection_metric] for spec in model.specs]
    exact, half = exported_systems(finished)
    assert (exact.name, half.name) == ("student fp32", "student fp16")
    assert exact.score == pytest.approx(np.mean(scores), abs=1e-4)
    assert half.score == pytest.approx(np.mean(scores), abs=0.1)


def test_a_graph_weighs_what_its_file_does_and_is_timed_itself(finished, monkeypatch):
    exact, half = exported_systems(finished)
    asked = []

    def opened(path):
        return lambda batch: asked.append((path, len(batch.input_ids)))

    monkeypatch.setattr("kd.report.cost.open_graph", opened)
    cost = measure([exact, half], finished.test, seed=0)
    for system, row in zip((exact, half), cost["systems"], strict=True):
        assert row["megabytes"] == system.graph.stat().st_size / 1e6
    assert {path for path, _ in asked} == {exact.graph, half.graph}
    assert {count for _, count in asked} == {1, 32}


def test_without_an_export_there_is_none(run):
    assert exported_systems(read_run(run.path)) == []


def test_an_export_of_another_student_is_left_out(finished):
    path = finished.run.export / "CERTIFICATE.json"
    certificate = json.loads(path.read_text()) | {"student_hash": "another"}
    path.write_text(json.dumps(certificate))
    assert exported_systems(finished) == []
