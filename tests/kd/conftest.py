"""Fixtures of kd's tests: three tasks, an encoded table of random tokens, a model from a config,
a finished run whose student's answers differ."""

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from data.encoding import EncodedTable, encode_table
from data.ragged import Ragged
from data.tasks import TaskSpec
from kd.config import Config
from kd.export.certificate import asked_rows
from kd.prediction_files import write_predictions
from kd.run_folder import RunFolder
from kd.stages.data import read_tables
from kd.stages.evaluate import inputs_key
from student.encoders import load_encoder, load_tokenizer
from student.inference import compute_logits
from student.model import StudentModel, new_student

VOCABULARY = 40


@pytest.fixture
def mood() -> TaskSpec:
    """A task of two classes."""
    return TaskSpec("mood", classes=("sad", "glad"))


@pytest.fixture
def reply() -> TaskSpec:
    """A task of three levels with a context and rationales."""
    classes = ("none", "weak", "strong")
    return TaskSpec("reply", classes=classes, has_context=True, has_rationale=True)


@pytest.fixture
def rating() -> TaskSpec:
    """A regression task on a scale from 1 to 7."""
    return TaskSpec("rating", kind="regression", low=1.0, high=7.0)


@pytest.fixture
def table(mood: TaskSpec, reply: TaskSpec, rating: TaskSpec) -> EncodedTable:
    """24 rows of 3 to 9 random tokens, every task known on every row, specials at both ends."""
    random = np.random.default_rng(0)
    lengths = random.integers(3, 10, 24)
    texts = [random.integers(5, VOCABULARY, length).tolist() for length in lengths]
    contexts = [random.integers(5, VOCABULARY, length).tolist() for length in lengths[::-1]]
    offsets, tokens = [], []
    for length in lengths:
        offsets += [[0, 0], *([2 * i, 2 * i + 1] for i in range(length - 2)), [0, 0]]
        tokens += [np.nan, *random.integers(0, 2, length - 2), np.nan]
    return EncodedTable(
        ids=tuple(f"row{number}" for number in range(24)),
        texts=Ragged.of(texts),
        offsets=np.array(offsets, dtype=np.int32),
        contexts=Ragged.of(contexts),
        pad_id=0,
        gold={
            mood.name: np.eye(2, dtype=np.float32)[np.arange(24) % 2],
            reply.name: np.eye(3, dtype=np.float32)[np.arange(24) % 3],
            rating.name: (np.arange(24, dtype=np.float32) / 23)[:, None],
        },
        gold_tokens={reply.name: np.array(tokens, dtype=np.float32)},
    )


@pytest.fixture
def new_model() -> Callable[..., StudentModel]:
    """A function that makes a 2-layer model of 16 hidden units, equal for equal arguments."""

    def made(*specs: TaskSpec, dropout: float = 0.0) -> StudentModel:
        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        torch.manual_seed(0)
        return new_student(
            BertModel(config, add_pooling_layer=False),
            specs,
            pooling="mean",
            head="two_layer",
            attention_heads=1,
            dropout=dropout,
            max_tokens=16,
        )

    return made


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
    """The folder of a run of three tasks, finished as far as an export or a cut asks.

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
