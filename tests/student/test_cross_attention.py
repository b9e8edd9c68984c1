"""Tests of student.attention: hand-computed weights, padding, rows without a seeker."""

import math

import pytest
import torch
from torch import nn

from student.attention import CrossAttention


@pytest.fixture
def attention():
    """Two heads on eight hidden units, drawn from a seed, without dropout."""
    torch.manual_seed(0)
    return CrossAttention(8, 2, 0.1).eval()


def states(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def make_identity(attention):
    """Let every projection hand its input on."""
    for layer in (attention.query, attention.key, attention.value, attention.output):
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)


def test_two_response_tokens_on_three_seeker_tokens_by_hand():
    """Query (2, 0, 0, 0) over sqrt(4) scores a key by its first unit: weights 2 : 3 : 5."""
    attention = CrossAttention(4, 1, 0.0)
    make_identity(attention)
    logs = [math.log(2), math.log(3), math.log(5)]
    seeker = torch.tensor([[[logs[0], 1, 0, 0], [logs[1], 0, 1, 0], [logs[2], 0, 0, 1.0]]])
    response = torch.tensor([[[2.0, 0, 0, 0], [0, 0, 0, 0]]])
    found = attention(response, seeker, torch.ones(1, 3))
    first = [0.2 * logs[0] + 0.3 * logs[1] + 0.5 * logs[2], 0.2, 0.3, 0.5]
    second = [sum(logs) / 3, 1 / 3, 1 / 3, 1 / 3]
    torch.testing.assert_close(found, torch.tensor([[first, second]]))


def test_a_masked_seeker_token_takes_no_weight_by_hand():
    attention = CrossAttention(4, 1, 0.0)
    make_identity(attention)
    seeker = torch.tensor([[[0.0, 1, 0, 0], [0, 0, 1, 0], [9, 0, 0, 1]]])
    found = attention(torch.ones(1, 1, 4) * 0.0, seeker, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 0.5, 0.5, 0.0]]]))


def test_seeker_padding_changes_nothing(attention):
    """Sharma et al.'s code did not mask it, so an answer hung on the length of the batch."""
    response, seeker = states(3, 5, 8), states(3, 64, 8, seed=2)
    mask = (torch.arange(64)[None] < torch.tensor([4, 32, 17])[:, None]).long()
    short = attention(response, seeker[:, :32], mask[:, :32])
    long = attention(response, seeker, mask)
    torch.testing.assert_close(short, long, rtol=0, atol=1e-6)


def test_a_row_without_a_seeker_gets_zeros(attention):
    nn.init.ones_(attention.output.bias)
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    found = attention(states(2, 4, 8), states(2, 3, 8), mask)
    assert (found[1] == 0).all()
    assert (found[0] != 0).any()
    assert found.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_row_without_a_seeker_gives_no_nan_gradient(attention, dtype):
    attention = attention.to(dtype)
    response = states(2, 4, 8).to(dtype).requires_grad_()
    seeker = states(2, 3, 8, seed=2).to(dtype).requires_grad_()
    found = attention(response, seeker, torch.tensor([[1, 1, 0], [0, 0, 0]]))
    found.sum().backward()
    gradients = [response.grad, seeker.grad, *(p.grad for p in attention.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (response.grad[1] == 0).all()


def test_a_masked_seeker_token_gets_no_gradient(attention):
    seeker = states(1, 3, 8).requires_grad_()
    attention(states(1, 2, 8), seeker, torch.tensor([[1, 1, 0]])).sum().backward()
    assert (seeker.grad[0, 2] == 0).all()
    assert (seeker.grad[0, :2] != 0).any()


def test_query_key_value_and_output_all_get_gradients(attention):
    found = attention(states(2, 4, 8), states(2, 3, 8, seed=2), torch.ones(2, 3))
    (found * states(2, 4, 8, seed=3)).sum().backward()
    for name in ("query", "key", "value", "output"):
        assert getattr(attention, name).weight.grad.abs().max() > 1e-6, name


def test_one_head_equals_single_head_attention():
    torch.manual_seed(0)
    attention = CrossAttention(8, 1, 0.0)
    response, seeker = states(2, 4, 8), states(2, 3, 8, seed=2)
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    scores = attention.query(response) @ attention.key(seeker).transpose(1, 2) / math.sqrt(8)
    weights = scores.masked_fill(mask[:, None] == 0, -math.inf).softmax(-1)
    expected = attention.output(weights @ attention.value(seeker))
    torch.testing.assert_close(attention(response, seeker, mask), expected)


def test_two_heads_equal_two_attentions_on_half_the_units_each(attention):
    nn.init.eye_(attention.output.weight)
    nn.init.zeros_(attention.output.bias)
    response, seeker, mask = states(2, 4, 8), states(2, 3, 8, seed=2), torch.ones(2, 3)
    found = attention(response, seeker, mask)
    for half in (slice(0, 4), slice(4, 8)):
        query, key = attention.query(response)[..., half], attention.key(seeker)[..., half]
        weights = (query @ key.transpose(1, 2) / 2.0).softmax(-1)
        torch.testing.assert_close(found[..., half], weights @ attention.value(seeker)[..., half])


def test_heads_that_do_not_divide_the_hidden_size_are_an_error():
    with pytest.raises(ValueError, match="3 attention heads do not divide a hidden size of 8"):
        CrossAttention(8, 3, 0.0)
