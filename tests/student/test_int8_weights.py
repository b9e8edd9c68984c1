"""Tests of student.int8_weights: the steps of inputs, and what rounding does to a layer."""

import numpy as np
import pytest

from student.int8_weights import Moments, choose_steps, round_weights


def moments_of(values):
    found = Moments(values.shape[1])
    # In two parts, as batches come.
    found.add(values[:3])
    found.add(values[3:])
    return found


def counted(steps, values):
    """The whole numbers that stand for values: (T, J)."""
    unit, units = (128, 127) if steps.fine else (1, 255)
    return np.clip(np.round(values / steps.step), -unit * steps.zero, unit * (units - steps.zero))


def layer(moments, steps, weights, values):
    """The layer as the graph computes it: (T, N)."""
    rounded, scale, constant = round_weights(moments, steps, weights)
    assert rounded.dtype == np.int8
    assert not rounded[:, steps.apart].any()
    found = counted(steps, values) @ rounded.T.astype(float) * scale + constant
    return found + values[:, steps.apart] @ weights[:, steps.apart].T


@pytest.fixture
def values():
    """Inputs that vary together, one of them thirty times as far as the others."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(400, 5)) @ random.normal(size=(5, 24))
    mixed = mixed + 0.1 * random.normal(size=(400, 24))
    mixed[:, 7] *= 30
    return mixed.astype(np.float32)


@pytest.fixture
def weights():
    return np.random.default_rng(1).normal(size=(6, 24))


def test_moments_are_the_count_sum_products_and_range_of_all_batches():
    values = np.array([[1, 2], [3, -4], [5, 0], [0, 6]], dtype=np.float32)
    found = moments_of(values)
    assert found.count == 4
    assert found.sum.tolist() == [9, 4]
    assert found.products.tolist() == [[35, -10], [-10, 56]]
    assert (found.low.tolist(), found.high.tolist()) == ([0, -4], [5, 6])


@pytest.mark.parametrize(
    ("fine", "unit", "units", "share"), [(True, 128, 127, 4), (False, 1, 255, 20)]
)
def test_steps_leave_room_for_what_was_not_seen(values, weights, fine, unit, units, share):
    """A share of the range on each side; what needs most of a side has all of it."""
    values[:, 2] += 20  # far from 0 on one side
    steps = choose_steps(moments_of(values), weights, fine=fine)
    room = (values.max(axis=0) - values.min(axis=0)) / share
    counted = np.delete(np.arange(24), steps.apart)
    below = ((room - values.min(axis=0)) / steps.step)[counted] / (unit * steps.zero)
    above = ((room + values.max(axis=0)) / steps.step)[counted] / (unit * (units - steps.zero))
    assert max(below.max(), above.max()) == pytest.approx(1, rel=1e-5)
    assert min(below.max(), above.max()) > 0.95


def test_steps_are_between_those_that_make_inputs_and_weights_alike(values, weights):
    """As the square root of range / largest weight (SmoothQuant: Xiao et al. 2023, eq. 4)."""
    steps = choose_steps(moments_of(values), weights, fine=True)
    spread = values.max(axis=0) - values.min(axis=0)
    ratio = steps.step / np.sqrt(spread / np.abs(weights).max(axis=0))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_in_one_byte_every_input_has_as_many_steps_of_its_range(values, weights):
    steps = choose_steps(moments_of(values), weights, fine=False)
    ratio = steps.step / (values.max(axis=0) - values.min(axis=0))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_the_input_that_is_far_beyond_the_others_is_kept_apart(values, weights):
    """One of the 24 at most, and none where two bytes count it."""
    alike = values / (values.max(axis=0) - values.min(axis=0))
    alike -= alike.min(axis=0) + 0.5

    def apart(inputs, fine=False):
        return choose_steps(moments_of(inputs), weights, fine=fine).apart.tolist()

    weights = np.sign(weights)
    assert apart(alike) == []
    wide = alike.copy()
    wide[:, [7, 9]] *= (3, 2.5)
    assert apart(wide) == [7]
    assert apart(wide, fine=True) == []
    weights[3, 11] = 9  # a weight takes the steps of its output's other weights
    assert apart(wide) == [11]


def test_a_layer_in_bytes_is_nearly_the_layer(values, weights):
    expected = values @ weights.T
    others = np.delete(np.arange(24), 7)
    near = values[:, others] @ weights[:, others].T
    for fine, size in ((True, expected.std()), (False, near.std())):
        steps = choose_steps(moments_of(values), weights, fine=fine)
        error = layer(moments_of(values), steps, weights, values) - expected
        assert error.std() < 0.01 * size


@pytest.mark.parametrize("inputs", [24, 23])
@pytest.mark.parametrize(("fine", "largest"), [(True, 128), (False, 255)])
def test_no_sum_of_two_products_is_beyond_16_bits(values, weights, inputs, fine, largest):
    """Processors without VNNI add the products of neighbours, 0 and 1, 2 and 3, in 16 bits."""
    values, weights = values[:, :inputs], weights[:, :inputs]
    weights[0, :2], weights[1, 2:4] = 3, (-4, 4)
    moments = moments_of(values)
    rounded, _, _ = round_weights(moments, choose_steps(moments, weights, fine=fine), weights)
    pairs = np.pad(rounded.astype(int), ((0, 0), (0, inputs % 2))).reshape(6, -1, 2)
    most = largest * np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2))
    assert 32_767 * 0.7 < most.max() <= 32_767
    assert 100 < np.abs(rounded.astype(int)).max() <= 127


def test_errors_are_made_good_by_the_inputs_that_vary_together(values, weights):
    """Each weight rounded to the nearest byte is farther from the layer than weights in turn."""
    moments = moments_of(values)
    steps = choose_steps(moments, weights, fine=True)
    _, scale, _ = round_weights(moments, steps, weights)
    plain = np.round(weights * steps.step / scale[:, None]) * scale[:, None] / steps.step
    nearest = (values - values.mean(axis=0)) @ (plain - weights).T
    in_turn = layer(moments, steps, weights, values) - values @ weights.T
    assert in_turn.std() < 0.6 * nearest.std()


def test_the_mean_of_an_output_is_kept(values, weights):
    moments = moments_of(values)
    steps = choose_steps(moments, weights, fine=True)
    error = layer(moments, steps, weights, values) - values @ weights.T
    assert np.abs(error.mean(axis=0)).max() < 0.05 * error.std()


def test_inputs_and_outputs_that_never_change_give_numbers(values, weights):
    values[:, 3], weights[2] = 5.0, 0.0
    values[:, 9], weights[:, 9] = 0.0, 0.0
    moments = moments_of(values)
    for fine in (True, False):
        found = layer(moments, choose_steps(moments, weights, fine=fine), weights, values)
        np.testing.assert_allclose(found[:, 2], 0.0, atol=1e-6)
        np.testing.assert_allclose(found, values @ weights.T, atol=0.05 * np.abs(found).max())
