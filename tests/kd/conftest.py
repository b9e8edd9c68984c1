"""Fixtures of kd's tests: three tasks, an encoded table of random tokens, a model from a config."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from data.encoding import EncodedTable
from data.ragged import Ragged
from data.tasks import TaskSpec
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
