"""Tests of student.dropout: what is dropped, how often, and what is left as it was."""

import math

import pytest
import torch
from torch import nn

from student.dropout import Dropout, drop_out, replace_dropout


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
def test_a_share_of_p_is_zero_and_the_rest_is_divided_by_1_minus_p(p, dtype):
    states = torch.full((3, 37, 1001), 2.0, dtype=dtype)  # not a multiple of four elements
    dropped = drop_out(states, p)
    assert dropped.shape == states.shape
    assert dropped.dtype == dtype
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], states[kept] / (1 - p), rtol=1e-2, atol=0)
    deviation = math.sqrt(p * (1 - p) / states.numel())
    assert abs(1 - p - kept.float().mean()) < 5 * deviation


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 8])
def test_neighbours_are_dropped_independently(distance):
    """Four elements share one draw of the generator."""
    kept = (drop_out(torch.ones(400_000), 0.3) != 0).double() - 0.7
    correlation = (kept[distance:] * kept[:-distance]).mean() / (0.3 * 0.7)
    assert abs(correlation) < 5 / math.sqrt(len(kept))


def test_the_gradient_goes_where_the_state_was_kept():
    states = torch.rand(50, 7).add(1).requires_grad_()
    dropped = drop_out(states, 0.4)
    dropped.sum().backward()
    torch.testing.assert_close(states.grad, (dropped / states).detach())


def test_a_seed_decides_what_is_dropped():
    states = torch.ones(1000)
    first, second = drop_out(states, 0.5), drop_out(states, 0.5)
    torch.manual_seed(0)
    assert torch.equal(drop_out(states, 0.5), first)
    assert not torch.equal(first, second)


def test_nothing_is_dropped_at_0_everything_at_1_and_nothing_of_no_states():
    assert torch.equal(drop_out(torch.ones(9), 0.0), torch.ones(9))
    assert torch.equal(drop_out(torch.ones(9), 1.0), torch.zeros(9))
    assert drop_out(torch.ones(0, 4), 0.5).shape == (0, 4)


def test_only_training_drops():
    states = torch.ones(1000)
    assert torch.equal(Dropout(0.5).eval()(states), states)
    assert (Dropout(0.5).train()(states) == 0).any()


def test_every_dropout_of_a_model_is_replaced_and_keeps_its_rate_and_mode():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3)).eval()
    model = nn.ModuleDict({"inner": inner, "outer": nn.Dropout(0.2)})
    replace_dropout(model)
    assert [type(m) for m in (inner[0], inner[1], model["outer"])] == [nn.Linear, Dropout, Dropout]
    assert (inner[1].p, inner[1].training) == (0.3, False)
    assert (model["outer"].p, model["outer"].training) == (0.2, True)


def test_a_student_has_no_other_dropout(make_student):
    kinds = {type(m) for m in make_student(separate=True).modules() if isinstance(m, nn.Dropout)}
    assert kinds == {Dropout}
