"""Tests of student.inference: logits of a table whatever the batches."""

from functools import partial

import numpy as np
import pytest
import torch

from data.batches import collate
from student.inference import compute_logits, inference_batches


@pytest.fixture
def model(make_student):
    return make_student()


def test_logits_do_not_depend_on_the_size_of_the_batches(model, table):
    small = compute_logits(model, table, inference_batches(table, batch_rows=1))
    large = compute_logits(model, table, inference_batches(table, batch_tokens=8192))
    for name in ("empathy", "sentiment", "distress"):
        np.testing.assert_allclose(small.labels[name], large.labels[name], rtol=0, atol=1e-5)
    np.testing.assert_allclose(small.tokens["empathy"], large.tokens["empathy"], rtol=0, atol=1e-5)


def test_logits_stand_in_the_order_of_the_rows(model, table):
    """Batches are sorted by length; row i of the result is row i of the table."""
    logits = compute_logits(model, table, inference_batches(table, batch_tokens=64))
    for row in range(len(table)):
        batch = collate(table, np.array([row]))
        with torch.no_grad():
            alone = model(
                batch.input_ids, batch.attention_mask, batch.context_ids, batch.context_mask
            )
        for name, values in alone.logits.items():
            np.testing.assert_allclose(logits.labels[name][row], values[0], rtol=0, atol=1e-5)
        start, end = table.texts.starts[row], table.texts.starts[row + 1]
        np.testing.assert_allclose(
            logits.tokens["empathy"][start + 1 : end - 1],
            alone.rationale_logits["empathy"][0, 1:-1],
            rtol=0,
            atol=1e-5,
        )


def test_token_logits_are_unknown_exactly_at_special_tokens(model, table):
    logits = compute_logits(model, table)
    special = np.zeros(len(table.offsets), dtype=bool)
    special[table.texts.starts[:-1]] = True
    special[table.texts.starts[1:] - 1] = True
    np.testing.assert_array_equal(np.isnan(logits.tokens["empathy"]), special)
    assert all(np.isfinite(values).all() for values in logits.labels.values())


def test_only_tasks_with_rationales_have_token_logits(model, table):
    logits = compute_logits(model, table)
    assert set(logits.tokens) == {"empathy"}
    assert {name: values.shape for name, values in logits.labels.items()} == {
        "empathy": (7, 3),
        "sentiment": (7, 2),
        "distress": (7, 1),
    }


@pytest.mark.parametrize("limit", [{"batch_tokens": 16}, {"batch_rows": 2}, {"batch_tokens": 1}])
def test_every_row_is_in_one_batch_the_longest_first(table, limit):
    batches = inference_batches(table, **limit)
    lengths = table.texts.lengths + table.contexts.lengths
    order = np.concatenate(batches)
    assert sorted(order) == list(range(len(table)))
    assert (np.diff(lengths[order]) <= 0).all()


def test_batches_of_chosen_rows_hold_those_alone_the_longest_first(table):
    lengths = table.texts.lengths + table.contexts.lengths
    order = np.concatenate(inference_batches(table, np.array([1, 4, 6]), batch_rows=2))
    assert sorted(order) == [1, 4, 6]
    assert (np.diff(lengths[order]) <= 0).all()


def test_a_batch_has_the_rows_that_were_asked_for(table):
    assert [len(batch) for batch in inference_batches(table, batch_rows=3)] == [3, 3, 1]


def test_rows_that_were_not_chosen_are_unknown(model, table):
    some = compute_logits(model, table, [np.array([4]), np.array([1])])
    every = compute_logits(model, table)
    chosen = np.isin(np.arange(7), [1, 4])
    np.testing.assert_allclose(
        some.labels["empathy"][chosen], every.labels["empathy"][chosen], rtol=0, atol=1e-5
    )
    assert np.isnan(some.labels["empathy"][~chosen]).all()
    assert np.isnan(some.tokens["empathy"][: table.texts.starts[1]]).all()


def test_no_chosen_row_gives_all_unknown(model, table):
    none = compute_logits(model, table, [])
    assert np.isnan(none.labels["sentiment"]).all()


@pytest.mark.parametrize("mode", [True, False], ids=["training", "evaluation"])
def test_the_models_mode_is_restored(model, table, mode):
    model.train(mode)
    compute_logits(model, table)
    assert model.training is mode
    assert model.encoder.training is mode


def test_logits_of_a_model_in_training_mode_have_no_dropout(model, table):
    calm = compute_logits(model, table)
    model.train()
    first = compute_logits(model, table)
    np.testing.assert_array_equal(first.labels["sentiment"], calm.labels["sentiment"])


def test_no_gradient_is_kept(model, table):
    compute_logits(model, table)
    assert all(value.grad is None for value in model.parameters())


def test_logits_under_autocast_are_close_and_float32(model, table):
    autocast = partial(torch.autocast, "cpu", dtype=torch.bfloat16)
    exact, rough = compute_logits(model, table), compute_logits(model, table, autocast=autocast)
    assert rough.labels["empathy"].dtype == np.float32
    assert not np.array_equal(rough.labels["empathy"], exact.labels["empathy"])
    np.testing.assert_allclose(rough.labels["empathy"], exact.labels["empathy"], rtol=0, atol=0.05)
