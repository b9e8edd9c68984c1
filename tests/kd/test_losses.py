"""Tests of kd.losses: mixed targets and masked sums against numbers computed by hand."""

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from data.batches import collate, target_counts
from data.ragged import Ragged
from kd.losses import TaskLoss, batch_loss, label_loss_sum, mix_targets, token_loss_sum
from student.model import StudentOutput
from teachers.soft_targets import SoftTargets, soft_columns

NAN = math.nan


def output_of(model, batch):
    return model(batch.input_ids, batch.attention_mask, batch.context_ids, batch.context_mask)


def gradients(model):
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def taught(table, reply, label_logits, token_logit):
    """The table with one teacher's targets: the same logits on every row and token."""
    spans = [table.offsets[table.part(row)] for row in range(len(table))]
    spans = [offsets[offsets[:, 1] > offsets[:, 0]] for offsets in spans]
    lengths = np.array([len(row) for row in spans])
    chances = np.full(lengths.sum(), token_logit, dtype=np.float32)
    targets = SoftTargets(
        task=reply.name,
        classes=reply.classes,
        fingerprint="",
        ids=pa.array(table.ids),
        logits=np.tile(np.float32(label_logits), (len(table), 1)),
        token_spans=Ragged.from_lengths(np.concatenate(spans), lengths),
        token_logits=Ragged.from_lengths(chances, lengths),
    )
    labels, tokens = soft_columns([targets], [1.0], table, reply, 1.0)
    return table.with_soft({reply.name: labels}, {reply.name: tokens})


@pytest.mark.parametrize(
    ("gold_weight", "expected"),
    [(0.0, [0.2, 0.3, 0.5]), (0.4, [0.12, 0.18, 0.7]), (1.0, [0.0, 0.0, 1.0])],
)
def test_the_label_target_is_gold_weight_times_gold_plus_the_rest_of_the_softmax(
    table, reply, gold_weight, expected
):
    table = taught(table, reply, np.log([2.0, 3.0, 5.0]), 0.0)
    batch = collate(table, np.array([2]))  # its gold is the third class
    target = mix_targets(batch.gold[reply.name], batch.soft[reply.name], gold_weight)
    torch.testing.assert_close(target, torch.tensor([expected]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("gold_weight", "inside", "outside"), [(0.0, 0.8, 0.8), (0.4, 0.88, 0.48), (1.0, 1.0, 0.0)]
)
def test_a_rationale_tokens_target_is_the_same_mix_with_the_sigmoid(
    table, reply, gold_weight, inside, outside
):
    table = taught(table, reply, [0.0, 0.0, 0.0], math.log(4.0))
    batch = collate(table, np.arange(len(table)))
    gold = batch.gold_tokens[reply.name]
    target = mix_targets(gold, batch.soft_tokens[reply.name], gold_weight)
    assert target[gold == 1].numpy() == pytest.approx(inside, abs=1e-6)
    assert target[gold == 0].numpy() == pytest.approx(outside, abs=1e-6)
    assert target[gold.isnan()].isnan().all()


@pytest.mark.parametrize("gold_weight", [0.0, 0.5, 1.0])
def test_where_one_target_is_unknown_the_other_carries_the_whole_weight(gold_weight):
    gold = torch.tensor([[NAN, NAN], [0.0, 1.0], [NAN, NAN]])
    soft = torch.tensor([[0.3, 0.7], [NAN, NAN], [NAN, NAN]])
    mixed = mix_targets(gold, soft, gold_weight)
    torch.testing.assert_close(
        mixed, torch.tensor([[0.3, 0.7], [0.0, 1.0], [NAN, NAN]]), equal_nan=True
    )


def test_without_soft_targets_the_mix_is_gold():
    gold = torch.tensor([[0.0, 1.0], [NAN, NAN]])
    torch.testing.assert_close(mix_targets(gold, None, 0.0), gold, equal_nan=True)


def test_the_label_loss_equals_cross_entropy_computed_by_hand(mood):
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]])  # chances 1/4, 3/4 and 1/2, 1/2
    targets = torch.tensor([[0.4, 0.6], [1.0, 0.0]])
    expected = 0.4 * math.log(4) + 0.6 * math.log(4 / 3) + math.log(2)
    assert label_loss_sum(logits, targets, mood).item() == pytest.approx(expected)


def test_class_weights_weigh_gold_alone(table, reply):
    """The teacher was trained with them: on its targets they would count twice."""
    table = taught(table, reply, np.log([2.0, 3.0, 5.0]), 0.0)
    batch = collate(table, np.array([2]))  # its gold is the third class
    total, _ = batch_loss(
        StudentOutput({reply.name: torch.zeros(1, 3)}, {}),
        batch,
        {reply.name: TaskLoss(reply, class_weights=(1.0, 1.0, 4.0))},
        gold_weight=0.25,
        counts={reply.name: (1, 0)},
    )
    # All three log-probabilities are -log 3, so the loss is the target's sum times log 3.
    assert total.item() == pytest.approx((0.25 * 4.0 + 0.75 * 1.0) * math.log(3))


def test_a_regression_is_pulled_to_the_mix_of_gold_and_the_teachers_value(rating):
    target = mix_targets(torch.tensor([[0.2]]), torch.tensor([[0.6]]), 0.25)
    loss = label_loss_sum(torch.tensor([[0.9]]), target, rating)
    assert target.item() == pytest.approx(0.25 * 0.2 + 0.75 * 0.6)
    assert loss.item() == pytest.approx((0.9 - 0.5) ** 2)


def test_the_token_loss_equals_binary_cross_entropy_computed_by_hand():
    target = torch.tensor([[1, 0.6, NAN]])
    loss = token_loss_sum(torch.tensor([[0.0, math.log(3.0), 9.0]]), target, 1 - target)
    assert loss.item() == pytest.approx(math.log(2) + 0.6 * math.log(4 / 3) + 0.4 * math.log(4))


def test_token_weights_weigh_gold_tokens_alone(table, reply):
    table = taught(table, reply, [0.0, 0.0, 0.0], math.log(4.0))  # every token is 0.8
    batch = collate(table, np.array([2]))
    gold = batch.gold_tokens[reply.name]
    inside, outside = int((gold == 1).sum()), int((gold == 0).sum())
    _, parts = batch_loss(
        StudentOutput({reply.name: torch.zeros(1, 3)}, {reply.name: torch.zeros(gold.shape)}),
        batch,
        {reply.name: TaskLoss(reply, token_weights=(0.5, 3.0))},
        gold_weight=0.25,
        counts={reply.name: (1, 1)},
    )
    assert min(inside, outside) > 0
    # Every log-likelihood is -log 2, so the loss is the sum of the targets times log 2.
    targets = 0.25 * (3.0 * inside + 0.5 * outside) + 0.75 * (inside + outside)
    expected = pytest.approx(targets * math.log(2), rel=1e-6)
    assert parts[f"{reply.name}/rationale"].item() == expected


@pytest.mark.parametrize("kind", ["mood", "rating"])
def test_a_row_without_targets_gives_no_loss_and_no_gradient(request, kind):
    spec = request.getfixturevalue(kind)
    logits = torch.full((2, spec.width), 3.0, requires_grad=True)
    targets = torch.full((2, spec.width), 0.5)
    targets[1] = NAN
    both = label_loss_sum(logits, targets, spec)
    assert both.item() == label_loss_sum(logits[:1], targets[:1], spec).item()
    both.backward()
    assert logits.grad[1].eq(0).all()


def test_a_row_without_targets_and_its_padding_change_no_loss_and_no_gradient(
    table, mood, reply, new_model
):
    lengths = table.texts.lengths
    longest, short = int(lengths.argmax()), np.flatnonzero(lengths < lengths.max())[:3]
    for values in (*table.gold.values(),):
        values[longest] = NAN
    start = table.texts.starts[longest]
    table.gold_tokens[reply.name][start : start + lengths[longest]] = NAN
    rows = np.append(short, longest)
    counts = target_counts(table, rows)
    assert counts[reply.name] == target_counts(table, short)[reply.name]
    losses = {spec.name: TaskLoss(spec) for spec in (mood, reply)}
    found = []
    for chosen in (short, rows):
        model = new_model(mood, reply)
        batch = collate(table, chosen)
        loss, _ = batch_loss(output_of(model, batch), batch, losses, gold_weight=1.0, counts=counts)
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    torch.testing.assert_close(found[0], found[1], atol=1e-6, rtol=1e-5)


def test_the_losses_of_a_batchs_parts_add_up_to_that_of_the_whole(table, mood, reply, rating):
    """A mean of the parts' means would weigh a part with few known rows too much."""
    table.gold[mood.name][[0, 1, 2, 3, 4, 9]] = NAN
    rows = np.arange(12)
    counts = target_counts(table, rows)
    losses = {spec.name: TaskLoss(spec, weight=0.7) for spec in (mood, reply, rating)}
    torch.manual_seed(0)
    label_logits = {spec.name: torch.randn(24, spec.width) for spec in (mood, reply, rating)}
    token_logits = torch.randn(24, 16)

    def loss_of(part):
        batch = collate(table, part)
        tokens = {reply.name: token_logits[part, : batch.input_ids.shape[1]]}
        output = StudentOutput({name: x[part] for name, x in label_logits.items()}, tokens)
        loss, shares = batch_loss(output, batch, losses, gold_weight=1.0, counts=counts)
        return torch.stack([loss, *(shares[name] for name in sorted(shares))])

    parts = [loss_of(part) for part in (rows[:5], rows[5:6], rows[6:])]
    torch.testing.assert_close(sum(parts), loss_of(rows))


def test_the_loss_is_the_weighted_sum_of_the_means_over_known_rows_and_tokens(table, mood, reply):
    table.gold[mood.name][0] = NAN
    rows = np.array([0, 1, 2])
    batch = collate(table, rows)
    counts = target_counts(table, rows)
    losses = {
        mood.name: TaskLoss(mood, weight=2.0),
        reply.name: TaskLoss(reply, weight=3.0, level_weight=0.5, rationale_weight=0.25),
    }
    zeros = {spec.name: torch.zeros(3, spec.width) for spec in (mood, reply)}
    output = StudentOutput(zeros, {reply.name: torch.zeros(batch.input_ids.shape)})
    loss, shares = batch_loss(output, batch, losses, gold_weight=1.0, counts=counts)
    assert counts[mood.name][0] == 2
    # Zero logits: the mean cross-entropy is log C whatever the target.
    assert {name: share.item() for name, share in shares.items()} == pytest.approx(
        {"mood": math.log(2), "reply": math.log(3), "reply/rationale": math.log(2)}
    )
    expected = 2 * math.log(2) + 3 * (0.5 * math.log(3) + 0.25 * math.log(2))
    assert loss.item() == pytest.approx(expected)


def test_without_weight_the_rationale_head_learns_nothing_and_the_label_still_does(
    table, reply, new_model
):
    rows = np.arange(6)
    batch, model = collate(table, rows), new_model(reply)
    loss, _ = batch_loss(
        output_of(model, batch),
        batch,
        {reply.name: TaskLoss(reply, rationale_weight=0.0)},
        gold_weight=1.0,
        counts=target_counts(table, rows),
    )
    loss.backward()
    found = gradients(model)
    assert found["heads.reply.rationale.weight"].eq(0).all()
    assert found["heads.reply.rationale.bias"].eq(0).all()
    assert found["heads.reply.label.weight"].ne(0).any()


def test_a_head_whose_task_is_not_in_the_batch_gets_a_gradient_of_zero(
    table, mood, reply, new_model
):
    """A parameter without a gradient stops training in several processes."""
    for rows in (table.gold[reply.name], table.gold_tokens[reply.name]):
        rows[:] = NAN
    rows = np.arange(4)
    batch, model = collate(table, rows), new_model(mood, reply)
    losses = {spec.name: TaskLoss(spec) for spec in (mood, reply)}
    loss, _ = batch_loss(
        output_of(model, batch),
        batch,
        losses,
        gold_weight=0.5,
        counts=target_counts(table, rows),
    )
    loss.backward()
    found = gradients(model)
    absent = [name for name in found if name.startswith(("heads.reply", "attention"))]
    assert absent
    assert all(found[name].eq(0).all() for name in absent)
    assert found["heads.mood.label.weight"].ne(0).any()


def test_a_batch_without_any_known_row_has_loss_zero_and_no_nan(table, mood, new_model):
    table.gold[mood.name][:] = NAN
    batch, model = collate(table, np.arange(2)), new_model(mood)
    loss, _ = batch_loss(
        output_of(model, batch),
        replace(batch, soft={}),
        {mood.name: TaskLoss(mood)},
        gold_weight=0.5,
        counts={mood.name: (0, 0)},
    )
    loss.backward()
    assert loss.item() == 0.0
    assert all(gradient.eq(0).all() for gradient in gradients(model).values())
