"""Tests of the objective ce+kl in kd.losses, against numbers computed by hand and by scipy."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from torch.nn import functional

from data.batches import Batch, collate, target_counts
from data.tasks import TaskSpec
from kd.losses import (
    TaskLoss,
    batch_loss,
    label_divergence_sum,
    label_loss_sum,
    token_divergence_sum,
    token_loss_sum,
)
from student.model import StudentOutput

NAN = math.nan
MOOD = TaskSpec("mood", classes=("sad", "glad"))
LN3, LN4 = math.log(3), math.log(4)


def test_the_divergence_is_computed_by_hand_at_temperature_2():
    """The student's logits 0 and 2 ln 3 over 2 give 1/4 and 3/4; the teacher says 1/2 and 1/2."""
    found = label_divergence_sum(
        torch.tensor([[0.0, 2 * LN3]]), torch.tensor([[0.5, 0.5]]), MOOD, 2.0
    )
    by_hand = 4 * (0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75))
    assert by_hand == pytest.approx(0.5753641449)
    assert found.item() == pytest.approx(by_hand, abs=1e-6)


def test_the_divergence_of_a_token_is_computed_by_hand_at_temperature_2():
    """The student's log-odds 2 ln 4 over 2 give 4/5; the teacher says 1/2."""
    found = token_divergence_sum(torch.tensor([[2 * LN4, 9.0]]), torch.tensor([[0.5, NAN]]), 2.0)
    by_hand = 4 * (0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2))
    assert by_hand == pytest.approx(0.8925742053)
    assert found.item() == pytest.approx(by_hand, abs=1e-6)


logits_of_three = st.lists(st.floats(-5, 5), min_size=3, max_size=3)
temperatures = st.floats(0.5, 8.0)


@given(logits_of_three, logits_of_three, temperatures)
def test_the_divergence_is_the_cross_entropy_less_the_teachers_entropy(student, teacher, t):
    spec = TaskSpec("reply", classes=("none", "weak", "strong"))
    logits = torch.tensor([student], dtype=torch.float64)
    soft = (torch.tensor([teacher], dtype=torch.float64) / t).softmax(-1)
    found = label_divergence_sum(logits, soft, spec, t).item()
    crossed = label_loss_sum(logits / t, soft, spec).item()
    assert found == pytest.approx(t**2 * (crossed - entropy(soft[0])), abs=1e-6)
    assert found == pytest.approx(t**2 * entropy(soft[0], (logits[0] / t).softmax(-1)), abs=1e-6)


@given(st.floats(-5, 5), st.floats(-5, 5), temperatures)
def test_the_divergence_of_a_token_is_that_of_two_classes(student, teacher, t):
    log_odds = torch.tensor([[student]], dtype=torch.float64)
    soft = torch.tensor([[teacher / t]], dtype=torch.float64).sigmoid()
    two = torch.cat([torch.zeros_like(log_odds), log_odds], -1)
    expected = label_divergence_sum(two, torch.cat([1 - soft, soft], -1), MOOD, t)
    found = token_divergence_sum(log_odds, soft, t)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    crossed = t**2 * token_loss_sum(log_odds / t, soft, 1 - soft).item()
    assert crossed - found.item() == pytest.approx(
        t**2 * entropy([soft.item(), 1 - soft.item()]), abs=1e-6
    )


@pytest.mark.parametrize("sure", [0.0, 1.0])
def test_a_teacher_without_any_doubt_has_no_entropy(sure):
    """0 * log 0 is 0 and not NaN."""
    labels = label_divergence_sum(torch.zeros(1, 2), torch.tensor([[sure, 1 - sure]]), MOOD, 1.0)
    tokens = token_divergence_sum(torch.zeros(1, 1), torch.tensor([[sure]]), 1.0)
    assert labels.item() == pytest.approx(math.log(2))
    assert tokens.item() == pytest.approx(math.log(2))


def gradient_of(temperature, squared=True):
    """d/d(student's first logit) of the divergence of student (1, -1) from teacher (-1, 1)."""
    logits = torch.tensor([[1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    soft = (torch.tensor([[-1.0, 1.0]], dtype=torch.float64) / temperature).softmax(-1)
    divergence = label_divergence_sum(logits, soft, MOOD, temperature)
    (divergence if squared else divergence / temperature**2).backward()
    return logits.grad[0, 0].item()


def test_the_square_of_the_temperature_keeps_the_gradients_scale():
    """It is T * (q - p) with q = 1 / (1 + e^(-2/T)) and p = 1 - q; for a high T it goes to the
    difference of the logits over the number of classes, (1 - -1) / 2 = 1 (Hinton et al. 2015,
    eq. 4, times T^2)."""
    for temperature in (1.0, 2.0, 5.0):
        q = 1 / (1 + math.exp(-2 / temperature))
        assert gradient_of(temperature) == pytest.approx(temperature * (2 * q - 1), abs=1e-6)
    assert gradient_of(1000.0) == pytest.approx(1.0, abs=1e-6)
    assert gradient_of(1000.0, squared=False) == pytest.approx(1e-6, rel=1e-3)


def test_a_batchs_loss_is_the_cross_entropy_plus_the_mean_divergence_by_hand():
    """torch's batchmean sums over classes and divides by rows; its mean divides by both."""
    logits = torch.tensor([[0.0, 2 * LN3], [0.0, 0.0]])
    gold = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    soft = torch.tensor([[0.5, 0.5], [0.8, 0.2]])
    total = loss_of(logits, gold, soft, kl_weight=0.5, temperature=2.0, class_weights=(3.0, 2.0))
    crossed = (2 * -math.log(0.9) + 3 * math.log(2)) / 2
    divergences = 0.5753641449 + 4 * (0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5))
    assert total == pytest.approx(crossed + 0.5 * divergences / 2, abs=1e-6)
    mean = functional.kl_div((logits / 2).log_softmax(-1), soft, reduction="batchmean")
    assert total == pytest.approx(crossed + 0.5 * 4 * mean.item(), abs=1e-6)


def loss_of(logits, gold, soft, spec=MOOD, rows=None, gold_weight=0.3, **settings):
    """The total of a batch of one task; `gold_weight` must not matter."""
    return batch_loss(
        StudentOutput({spec.name: logits}, {}),
        batch_of(spec, gold, soft),
        {spec.name: TaskLoss(spec, **settings)},
        gold_weight=gold_weight,
        counts={spec.name: (len(gold) if rows is None else rows, 0)},
    )[0].item()


def batch_of(spec, gold, soft):
    ids = torch.zeros(len(gold), 1, dtype=torch.int64)
    soft = {} if soft is None else {spec.name: soft}
    return Batch(ids, ids, ids, ids, {spec.name: gold}, soft, {}, {}, [1] * len(gold), [])


def test_a_row_with_one_known_target_has_that_part_alone():
    logits = torch.tensor([[0.0, 2 * LN3]])
    gold, soft, unknown = (torch.tensor([row]) for row in ([0.0, 1.0], [0.5, 0.5], [NAN, NAN]))
    only_gold, only_soft, neither = (
        loss_of(logits, *targets, kl_weight=0.5, temperature=2.0)
        for targets in ((gold, unknown), (unknown, soft), (unknown, unknown))
    )
    assert only_gold == pytest.approx(-math.log(0.9), abs=1e-6)
    assert only_soft == pytest.approx(0.5 * 0.5753641449, abs=1e-6)
    assert neither == 0.0
    both = loss_of(logits, gold, soft, kl_weight=0.5, temperature=2.0)
    assert both == pytest.approx(only_gold + only_soft, abs=1e-6)
    assert loss_of(logits, gold, None, kl_weight=0.5) == pytest.approx(only_gold, abs=1e-6)


@pytest.mark.parametrize("gold_weight", [0.0, 1.0])
def test_the_schedule_has_no_part_in_a_sum_of_losses(gold_weight):
    arguments = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, 0.5]])
    first = loss_of(*arguments, kl_weight=1.0, gold_weight=gold_weight)
    assert first == loss_of(*arguments, kl_weight=1.0)
    assert first != loss_of(*arguments, gold_weight=gold_weight)


def test_a_regression_has_the_sum_of_both_squared_errors():
    rating = TaskSpec("rating", kind="regression", low=1.0, high=7.0)
    values = (torch.tensor([[value]]) for value in (0.9, 0.2, 0.6))
    found = loss_of(*values, spec=rating, kl_weight=0.5, temperature=3.0)
    assert found == pytest.approx(0.7**2 + 0.5 * 0.3**2, abs=1e-6)


def test_at_temperature_1_its_gradient_is_that_of_the_mix_and_twice_as_long():
    """CE(gold) + CE(soft) is twice the cross-entropy with the mean of both targets."""
    found = []
    for settings in ({"kl_weight": 1.0}, {}):
        logits = torch.tensor([[0.3, -0.7]], requires_grad=True)
        total, _ = batch_loss(
            StudentOutput({"mood": logits}, {}),
            batch_of(MOOD, torch.tensor([[0.0, 1.0]]), torch.tensor([[0.8, 0.2]])),
            {"mood": TaskLoss(MOOD, **settings)},
            gold_weight=0.5,
            counts={"mood": (1, 0)},
        )
        total.backward()
        found.append(logits.grad)
    torch.testing.assert_close(found[0], 2 * found[1], atol=1e-6, rtol=0)


def test_rationale_tokens_have_the_binary_form_with_token_weights_of_gold_alone(table, reply):
    """Every token's log-odds are 0: its cross-entropy is ln 2, its divergence from 0.8 by hand."""
    width = len(table.gold_tokens[reply.name])
    table = table.with_soft({}, {reply.name: np.full(width, 0.8, dtype=np.float32)})
    table.soft_tokens[reply.name][np.isnan(table.gold_tokens[reply.name])] = NAN
    rows = np.array([2, 3])
    batch = collate(table, rows)
    gold = batch.gold_tokens[reply.name]
    inside, outside = int((gold == 1).sum()), int((gold == 0).sum())
    assert min(inside, outside) > 0
    counts = target_counts(table, rows)
    assert counts[reply.name][1] == inside + outside
    _, parts = batch_loss(
        StudentOutput({reply.name: torch.zeros(2, 3)}, {reply.name: torch.zeros(gold.shape)}),
        batch,
        {reply.name: TaskLoss(reply, token_weights=(0.5, 3.0), kl_weight=2.0, temperature=4.0)},
        gold_weight=0.0,
        counts=counts,
    )
    divergence = 16 * (0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5))
    expected = math.log(2) * (3 * inside + 0.5 * outside) / (inside + outside) + 2 * divergence
    assert parts[f"{reply.name}/rationale"].item() == pytest.approx(expected, rel=1e-6)


def test_the_parts_of_a_batch_add_up_to_the_whole(table, mood, reply, new_model):
    """A second loss path would divide by the counts of its own part."""
    chances = np.full((24, 2), 0.5, dtype=np.float32)
    chances[::5] = NAN
    table = table.with_soft({"mood": chances}, {})
    table.gold["mood"][1::4] = NAN
    rows = np.arange(12)
    counts = target_counts(table, rows)
    losses = {"mood": TaskLoss(mood, kl_weight=0.7, temperature=2.0), "reply": TaskLoss(reply)}
    losses["reply"] = replace(losses["reply"], kl_weight=0.7)
    model = new_model(mood, reply).eval()

    def total(part):
        batch = collate(table, part)
        output = model(*batch.inputs())
        return batch_loss(output, batch, losses, gold_weight=0.5, counts=counts)[0].item()

    assert total(rows) == pytest.approx(total(rows[:5]) + total(rows[5:]), rel=1e-6)
