"""Tests of kd.report.exported: an export among the report's systems."""

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
from student.model import StudentModel
from student.onnx_inference import compute_onnx_logits


@pytest.fixture
def finished(run, exported):
    """The run with its export in its folder."""
    shutil.copytree(exported[0], run.export)
    yield read_run(run.path)
    shutil.rmtree(run.export)


def test_the_smallest_graph_is_a_system_with_its_own_score_on_the_test_rows(finished):
    model = StudentModel.from_pretrained(finished.run.student).eval()
    tokenizer = load_tokenizer(str(finished.run.student))
    test = encode_table(finished.test, tokenizer, model.specs, max_tokens=24)
    logits = compute_onnx_logits(finished.run.export / "model.fp16.onnx", model.specs, test)
    scores = [score(spec, test, logits)[spec.selection_metric] for spec in model.specs]
    (half,) = exported_systems(finished)
    assert half.name == "student fp16"
    assert half.score == pytest.approx(np.mean(scores), abs=1e-9)


def test_a_graph_weighs_what_its_file_does_and_is_timed_itself(finished, monkeypatch):
    (half,) = exported_systems(finished)
    asked = []

    def opened(path):
        return lambda batch: asked.append((path, len(batch.input_ids)))

    monkeypatch.setattr("kd.report.cost.open_graph", opened)
    (row,) = measure([half], finished.test, seed=0)["systems"]
    assert row["megabytes"] == half.graph.stat().st_size / 1e6
    assert set(asked) == {(half.graph, 1), (half.graph, 32)}


def test_without_an_export_there_is_none(run):
    assert exported_systems(read_run(run.path)) == []


def test_an_export_of_another_student_is_left_out(finished):
    path = finished.run.export / "CERTIFICATE.json"
    certificate = json.loads(path.read_text()) | {"student_hash": "another"}
    path.write_text(json.dumps(certificate))
    assert exported_systems(finished) == []
