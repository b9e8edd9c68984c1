"""Tests of student.heads: pooling, shapes, and what padding may not change."""

import math

import pytest
import torch
from torch import nn

from student.head_names import TAKEN
from student.heads import TaskHead

POOLINGS = ["cls", "mean", "attention", "max", "last", "flat"]


def new_head(*, pooling="mean", kind="linear", has_rationale=False, width=3, backward_size=1):
    torch.manual_seed(0)
    return TaskHead(
        4, width, pooling=pooling, kind=kind, dropout=0.5, has_rationale=has_rationale,
        backward_size=backward_size, max_tokens=10,
    ).eval()  # fmt: skip


def states(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", ["linear", "two_layer"])
def test_states_of_padding_change_no_label_logit(pooling, kind):
    head = new_head(pooling=pooling, kind=kind)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    clean = states(2, 5, 4) * mask[..., None]
    noisy = clean + 100.0 * (1 - mask[..., None])
    torch.testing.assert_close(head(noisy, mask)[0], head(clean, mask)[0], rtol=0, atol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_more_padding_changes_no_label_logit(pooling):
    head = new_head(pooling=pooling)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    values = states(2, 3, 4)
    longer = nn.functional.pad(values, (0, 0, 0, 7)), nn.functional.pad(mask, (0, 7))
    torch.testing.assert_close(head(*longer)[0], head(values, mask)[0])


def test_mean_pooling_by_hand():
    head = new_head(width=4)
    nn.init.eye_(head.label.weight)
    nn.init.zeros_(head.label.bias)
    values = torch.tensor([[[1.0, 2, 3, 4], [3, 4, 5, 6], [50, 50, 50, 50]]])
    label, _ = head(values, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(label, torch.tensor([[2.0, 3.0, 4.0, 5.0]]))


def test_attention_pooling_by_hand():
    """Scores ln 1 and ln 3 give the weights 1/4 and 3/4."""
    head = new_head(pooling="attention", width=4)
    nn.init.eye_(head.label.weight)
    nn.init.zeros_(head.label.bias)
    nn.init.zeros_(head.token_weight.bias)
    with torch.no_grad():
        head.token_weight.weight.copy_(torch.tensor([[1.0, 0, 0, 0]]))
    values = torch.tensor([[[0.0, 4, 0, 0], [math.log(3), 8, 0, 0], [9, 99, 99, 99]]])
    label, _ = head(values, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(label, torch.tensor([[0.75 * math.log(3), 7.0, 0, 0]]))


def test_cls_pooling_reads_the_first_token_alone():
    head = new_head(pooling="cls")
    values = states(2, 3, 4)
    label, _ = head(values, torch.ones(2, 3))
    torch.testing.assert_close(label, head.label(values[:, 0]))


def pooled(pooling, values, mask, **options):
    """What the pooling gives: the logits of a head that passes it on."""
    head = new_head(pooling=pooling, width=40 if pooling == "flat" else 4, **options)
    nn.init.eye_(head.label.weight)
    nn.init.zeros_(head.label.bias)
    return head(torch.tensor(values), torch.tensor(mask))[0].tolist()


VALUES = [[[1.0, -2, 3, -4], [0, -1, 5, -6], [9, 9, 9, 9]], [[-1.0, -2, -3, -4]] + 2 * [[9] * 4]]
MASK = [[1, 1, 0], [1, 0, 0]]


def test_max_pooling_by_hand():
    assert pooled("max", VALUES, MASK) == [[1, -1, 5, -4], [-1, -2, -3, -4]]
    assert pooled("max", [[[-1.0, 2, 3, 4]]], [[0]]) == [[0, 0, 0, 0]]


def test_the_last_state_is_the_last_tokens_but_where_it_was_computed_from_the_end_on():
    assert pooled("last", VALUES, MASK, backward_size=0) == [[0, -1, 5, -6], [-1, -2, -3, -4]]
    assert pooled("last", VALUES, MASK, backward_size=2) == [[0, -1, 3, -4], [-1, -2, -3, -4]]


def test_flat_pooling_by_hand():
    one, other = pooled("flat", VALUES, MASK)
    assert one == [1, -2, 3, -4, 0, -1, 5, -6] + [0] * 32
    assert other == [-1, -2, -3, -4] + [0] * 36


def test_a_two_layer_head_by_hand():
    head = new_head(pooling="cls", kind="two_layer", width=4)
    for layer, weight in ((head.dense, -1.0), (head.label, 2.0)):
        nn.init.eye_(layer.weight)
        layer.weight.data *= weight
        nn.init.zeros_(layer.bias)
    label, _ = head(torch.tensor([[[1.0, -2.0, 3.0, -4.0]]]), torch.ones(1, 1))
    torch.testing.assert_close(label, torch.tensor([[0.0, 4.0, 0.0, 8.0]]))


@pytest.mark.parametrize("kind", ["linear", "two_layer"])
@pytest.mark.parametrize("width", [1, 3])
def test_logits_are_a_row_a_text_and_a_number_a_token(kind, width):
    head = new_head(kind=kind, width=width, has_rationale=True)
    label, tokens = head(states(2, 5, 4), torch.ones(2, 5))
    assert label.shape == (2, width)
    assert tokens.shape == (2, 5)


def test_only_a_task_with_rationales_has_token_logits():
    label, tokens = new_head(has_rationale=False)(states(2, 5, 4), torch.ones(2, 5))
    assert tokens is None
    assert label.shape == (2, 3)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_head_has_only_the_parameters_it_uses(pooling):
    """DDP stops at a parameter without a gradient."""
    for kind in ("linear", "two_layer"):
        head = new_head(pooling=pooling, kind=kind, has_rationale=True)
        label, tokens = head(states(2, 5, 4), torch.ones(2, 5))
        (label.sum() + tokens.sum()).backward()
        assert [name for name, value in head.named_parameters() if value.grad is None] == []


def test_the_words_that_torch_keeps_to_itself_are_written_down():
    words = {word for word in dir(nn.ModuleDict()) if word.isidentifier()}
    assert {word for word in words if not word.startswith("_")} <= TAKEN
