"""Tests of kd.interference: cosines of gradients known by hand, and a model left as it was."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate.utils import DistributedType

from data.batches import collate, target_counts
from data.tasks import TaskSpec
from kd.hardware import new_accelerator
from kd.interference import cosines, interference, sample_steps, task_gradients
from kd.losses import TaskLoss, batch_loss
from student.encoders import new_encoder
from student.model import new_student
from student.word_vectors import WordVectorConfig

LOW, HIGH = (TaskSpec(name, kind="regression") for name in ("low", "high"))
ROWS = np.arange(24)


@pytest.fixture
def compared(table):
    """A function that gives the row of a log for a model on rows of a table, in parts."""

    def row(model, specs, table=table, rows=ROWS, parts=1, **weights):
        return interference(
            model,
            table,
            np.array_split(rows, parts),
            {spec.name: TaskLoss(spec, weight=weights.get(spec.name, 1.0)) for spec in specs},
            new_accelerator("fp32"),
            gold_weight=1.0,
            counts=target_counts(table, rows),
        )

    return row


@pytest.fixture
def twins(new_model):
    """A model of two equal tasks whose heads have the same weights."""
    model = new_model(LOW, HIGH)
    model.heads["high"].load_state_dict(model.heads["low"].state_dict())
    return model


def with_values(table, **values):
    """The table with those (N,) targets alone."""
    gold = {name: np.float32(column)[:, None] for name, column in values.items()}
    return replace(table, gold=gold, gold_tokens={})


def test_the_cosine_of_a_task_with_its_copy_is_one(compared, twins, table):
    values = np.linspace(0, 1, 24)
    found = compared(twins, [LOW, HIGH], with_values(table, low=values, high=values))
    assert found["gradient_cosine/low/high"] == pytest.approx(1.0, abs=1e-6)
    assert found["gradient_norm/low"] == pytest.approx(found["gradient_norm/high"])
    assert found["gradient_norm/low"] > 0


def test_targets_on_either_side_of_the_answer_conflict_in_the_ratio_of_their_distance(
    compared, twins, table
):
    """The error is 2 (answer - target) times the same derivatives, row by row."""
    with torch.no_grad():
        answers = twins(*collate(table, ROWS).inputs()).logits["low"][:, 0].numpy()
    around = with_values(table, low=answers - 0.1, high=answers + 0.2)
    found = compared(twins, [LOW, HIGH], around)
    assert found["gradient_cosine/low/high"] == pytest.approx(-1.0, abs=1e-5)
    assert found["gradient_norm/high"] / found["gradient_norm/low"] == pytest.approx(2, rel=1e-4)


def test_cosines_and_norms_are_those_computed_by_hand():
    found = cosines(
        {"a": torch.tensor([3.0, 4.0]), "b": torch.tensor([4.0, 3.0]), "c": torch.tensor([-4.0, 3])}
    )
    assert found == pytest.approx(
        {
            **{f"gradient_norm/{name}": 5.0 for name in "abc"},
            "gradient_cosine/a/b": 24 / 25,
            "gradient_cosine/a/c": 0.0,
            "gradient_cosine/b/c": -7 / 25,
        },
        abs=1e-6,
    )


def test_a_gradient_of_zero_has_no_cosine_and_one_that_is_not_finite_is_left_out():
    vectors = {"zero": [0.0, 0.0], "one": [1.0, 0.0], "lost": [1.0, float("nan")]}
    found = cosines({name: torch.tensor(vector) for name, vector in vectors.items()})
    assert found == {"gradient_norm/zero": 0.0, "gradient_norm/one": 1.0}


def test_every_pair_of_tasks_is_compared_once(compared, new_model, mood, reply, rating):
    found = compared(new_model(mood, reply, rating), [mood, reply, rating])
    names = [f"gradient_norm/{name}" for name in ("mood", "reply", "rating")]
    pairs = combinations(("mood", "reply", "rating"), 2)
    assert found.keys() == {*names, *(f"gradient_cosine/{a}/{b}" for a, b in pairs)}


def test_the_tasks_gradients_add_up_to_that_of_the_whole_loss(table, new_model, mood, reply):
    """Labels, rationales and weights all count, on every parameter but the words' table."""
    model = new_model(mood, reply)
    losses = {
        mood.name: TaskLoss(mood, weight=0.3, class_weights=(0.5, 2.0)),
        reply.name: TaskLoss(reply, weight=2.0, level_weight=0.7, rationale_weight=0.9),
    }
    numbers = {"gold_weight": 1.0, "counts": target_counts(table, ROWS)}
    batch = collate(table, ROWS)
    gradients = task_gradients(model, [batch], losses, **numbers)
    loss, _ = batch_loss(model(*batch.inputs()), batch, losses, **numbers)
    loss.backward()
    words = model.encoder.embeddings.word_embeddings.weight
    others = [p for p in model.encoder.parameters() if p is not words]
    expected = torch.cat([parameter.grad.flatten() for parameter in others])
    assert len(expected) == sum(p.numel() for p in model.encoder.parameters()) - words.numel()
    torch.testing.assert_close(sum(gradients.values()), expected, atol=1e-6, rtol=1e-4)
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients.values())


def test_tasks_that_share_word_vectors_alone_are_not_compared(table, mood, reply):
    model = new_student(
        new_encoder(WordVectorConfig("mlp", 40, 6)), [mood, reply],
        pooling="mean", head="linear", attention_heads=1, dropout=0.0, max_tokens=16,
    )  # fmt: skip
    losses = {spec.name: TaskLoss(spec) for spec in (mood, reply)}
    counts = target_counts(table, np.arange(8))
    batches = [collate(table, np.arange(8))]
    assert task_gradients(model, batches, losses, gold_weight=1.0, counts=counts) == {}
    assert cosines({}) == {}


def test_the_parts_of_a_batch_add_up(compared, new_model, mood, reply):
    model = new_model(mood, reply)
    assert compared(model, [mood, reply], parts=3) == pytest.approx(
        compared(model, [mood, reply]), abs=1e-5
    )


def test_a_task_without_targets_in_the_batch_is_left_out(compared, new_model, mood, rating, table):
    table.gold[rating.name][:4] = np.nan
    model = new_model(mood, rating)
    first = compared(model, [mood, rating], table, rows=np.arange(4))
    assert first.keys() == {"gradient_norm/mood"}
    assert "gradient_cosine/mood/rating" in compared(model, [mood, rating], table)


def test_a_task_that_counts_nothing_has_a_norm_of_zero_and_no_cosine(
    compared, new_model, mood, rating
):
    found = compared(new_model(mood, rating), [mood, rating], rating=0.0)
    assert found.keys() == {"gradient_norm/mood", "gradient_norm/rating"}
    assert found["gradient_norm/rating"] == 0.0


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_weights_gradients_and_mode_stay_as_they_were(compared, new_model, mood, reply, mode):
    model = new_model(mood, reply, dropout=0.2).train(mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compared(model, [mood, reply])
    assert model.training is model.encoder.training is mode
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.testing.assert_close(dict(model.state_dict()), before, atol=0, rtol=0)


def running(kind=DistributedType.NO, precision="no"):
    return SimpleNamespace(distributed_type=kind, mixed_precision=precision)


@pytest.mark.parametrize(
    ("steps", "samples", "expected"),
    [(101, 5, {0, 25, 50, 75, 100}), (3, 10, {0, 1, 2}), (9, 1, {0}), (9, 0, set()), (1, 2, {0})],
)
def test_samples_are_spread_evenly_from_the_first_step_to_the_last(steps, samples, expected):
    assert sample_steps(steps, samples, 2, running()) == expected


def test_one_task_sharded_weights_and_half_precision_give_no_samples():
    assert sample_steps(9, 3, 1, running()) == set()
    assert sample_steps(9, 3, 2, running(DistributedType.FSDP)) == set()
    assert sample_steps(9, 3, 2, running(DistributedType.DEEPSPEED)) == set()
    assert sample_steps(9, 3, 2, running(precision="fp16")) == set()
    assert len(sample_steps(9, 3, 2, running(DistributedType.MULTI_GPU, "bf16"))) == 3
