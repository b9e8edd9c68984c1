"""Fixtures of the export's tests: a finished run whose student answers differ, and its export."""

import json
import shutil
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from data.encoding import encode_table
from kd.config import Config
from kd.export.build import export_run
from kd.export.certificate import asked_rows
from kd.prediction_files import write_predictions
from kd.run_folder import RunFolder
from kd.stages.data import read_tables
from kd.stages.evaluate import inputs_key
from student.encoders import load_encoder, load_tokenizer
from student.inference import compute_logits
from student.model import new_student

SENTENCE = "i am so sorry that this happened to you what a great and happy day it was for us"
WORDS = SENTENCE.split()


def write_tables(folder):
    """Tables of a task with contexts and rationales, one of classes, one of numbers."""
    mood = [
        f'"on day {n} i was {WORDS[n % 17]} and {w}",{w}'
        for n in range(40)
        for w in ("sad", "glad")
    ]
    (folder / "mood.csv").write_text("text,label\n" + "\n".join(mood) + "\n")
    warmth = [
        f"so {WORDS[n % 17]} to hear of your day {n},{('cold', 'mild', 'warm')[n % 3]},"
        f"my dog of {n} years {WORDS[n * 5 % 17]},{'so ' + WORDS[n % 17] if n % 3 else ''}"
        for n in range(90)
    ]
    (folder / "warmth.csv").write_text("text,label,post,quotes\n" + "\n".join(warmth) + "\n")
    age = [f"at {n} i do like the {WORDS[n % 17]} very much,{n}" for n in range(10, 90)]
    (folder / "age.csv").write_text("text,label\n" + "\n".join(age) + "\n")


@torch.no_grad()
def spread(model, table):
    """Let a fresh model, which answers all rows alike, give every class and quote some tokens."""
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.mul_(9)
    answers = compute_logits(model, table)
    for spec in model.specs:
        head, values = model.heads[spec.name], answers.labels[spec.name][asked_rows(spec, table)]
        # Class logits around 0, or values around the middle of a scale from 0 to 1.
        scale, middle = (1.0, 0.0) if spec.classes else (0.2 / values.std(), 0.5)
        head.label.weight *= scale
        head.label.bias += middle - torch.from_numpy(values.mean(axis=0)) * scale
        if head.rationale is not None:
            head.rationale.bias -= float(np.nanmean(answers.tokens[spec.name]))


@pytest.fixture(scope="session")
def run(tmp_path_factory, tiny_encoder):
    """The folder of a run of three tasks, finished as far as an export asks.

    Its student is a random one with large weights: one trained for a second answers all alike.
    """
    folder = tmp_path_factory.mktemp("export")
    write_tables(folder)
    columns = {"context": "post", "rationale": "quotes"}
    tasks = {
        "mood": {"classes": ["sad", "glad"], "sources": [{"files": "mood.csv"}]},
        "warmth": {
            "classes": ["cold", "mild", "warm"],
            "sources": [{"files": "warmth.csv", "columns": columns}],
        },
        "age": {"kind": "regression", "low": 10, "high": 90, "sources": [{"files": "age.csv"}]},
    }
    config = Config.model_validate(
        {
            "name": "mine",
            "data": {
                "root": str(folder),
                "max_tokens": 24,
                "splits": {"train": 0.4, "dev": 0.3, "test": 0.3},
            },
            "tasks": tasks,
            "teachers": {"encoder": str(tiny_encoder)},
            "student": {"encoder": str(tiny_encoder)},
        }
    )
    run = RunFolder(folder / "runs" / "mine")
    run.open(config)
    run.save_splits(*read_tables(config))
    table, profile = run.load_splits()
    torch.manual_seed(5)
    model = new_student(
        load_encoder(str(tiny_encoder)), config.specs,
        pooling="attention", head="two_layer", attention_heads=2, dropout=0.1, max_tokens=24,
    )  # fmt: skip
    tokenizer = load_tokenizer(str(tiny_encoder))
    test = encode_table(table["test"], tokenizer, config.specs, max_tokens=24)
    spread(model, test)
    model.save_pretrained(run.student)
    tokenizer.save_pretrained(run.student)
    answers = compute_logits(model, test)
    run.predictions.mkdir()
    for spec in config.specs:
        write_predictions(run.predictions / f"student-{spec.name}-test.csv", spec, test, answers)
    metrics = {
        "splits_hash": profile["hash"],
        "inputs": inputs_key(config, run, profile["hash"]),
    }
    weights = run.student / "model.safetensors"
    run.once("distill", "by this fixture", lambda: None, result=weights)
    write = partial(run.metrics.write_text, json.dumps(metrics))
    run.once("evaluate", "by this fixture", write, result=run.metrics)
    return run


@pytest.fixture(scope="session")
def exported(run, tmp_path_factory):
    """(the folder of that run's export, its certificate)."""
    folder = tmp_path_factory.mktemp("exported") / "mine"
    return folder, export_run(run.path, folder, ["fp32", "fp16"])


@pytest.fixture
def same_graph(exported, monkeypatch):
    """Take the graph that was written already: tracing the student takes seconds."""

    def copy(model, path):
        shutil.copyfile(exported[0] / "model.onnx", path)

    monkeypatch.setattr("kd.export.build.write_graph", copy)


@pytest.fixture
def changed(run):
    """A function that changes a setting of the run's export for one test."""
    before = run.config.read_text()

    def change(**settings):
        values = yaml.safe_load(before)
        values["export"] |= settings
        run.config.write_text(yaml.safe_dump(values))

    yield change
    run.config.write_text(before)
