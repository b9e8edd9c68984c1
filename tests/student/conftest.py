"""Fixtures of the student's tests: a student with every kind of task, and a table it can read."""

import pytest
import torch
from datasets import Dataset

from data.encoding import encode_table
from data.tasks import TaskSpec
from student.encoders import load_encoder, load_tokenizer
from student.model import new_student

EMPATHY = TaskSpec(
    "empathy", classes=("none", "weak", "strong"), has_context=True, has_rationale=True
)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))
DISTRESS = TaskSpec("distress", kind="regression", low=1.0, high=7.0)


@pytest.fixture
def make_student(tiny_encoder):
    """A function that builds a student in evaluation mode; `separate` gives the seeker its own."""

    def make(
        *,
        tasks=(EMPATHY, SENTIMENT, DISTRESS),
        separate=False,
        pooling="mean",
        talking=0.0,
        dense=0.0,
    ):
        encoder = load_encoder(str(tiny_encoder))
        torch.manual_seed(7)  # not the seed that drew the tiny encoder
        return new_student(
            encoder,
            tasks,
            context_encoder=load_encoder(str(tiny_encoder)) if separate else None,
            pooling=pooling,
            head="two_layer",
            attention_heads=2,
            attention_talking=talking,
            attention_dense=dense,
            dropout=0.1,
            max_tokens=24,
        ).eval()

    return make


@pytest.fixture(scope="session")
def tokenizer(tiny_encoder):
    """The tiny encoder's tokenizer."""
    return load_tokenizer(str(tiny_encoder))


@pytest.fixture(scope="session")
def table(tokenizer):
    """Seven rows of different lengths, two of them without context, encoded."""
    texts = [
        "i am so sorry that this happened to you",
        "good",
        "what a great and happy day it was, like the one we had",
        "no",
        "hope you feel better",
        "why?",
        "i know how you feel and i am here to help you with it",
    ]
    contexts = ["my dog died", "", "great day", "can i be sad", "", "i do not know what to do", "x"]
    rows = Dataset.from_dict(
        {"id": [f"row-{n}" for n in range(len(texts))], "text": texts, "context": contexts}
    )
    return encode_table(rows, tokenizer, [], max_tokens=24)
