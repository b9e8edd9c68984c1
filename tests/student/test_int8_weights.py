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
    return counted(steps, values) @ rounded.T.astype(float) * scale + constant


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


@pytest.mark.parametrize(("fine", "unit", "units"), [(True, 128, 127), (False, 1, 255)])
def test_steps_leave_room_for_what_was_not_seen(values, weights, fine, unit, units):
    """A quarter of the range on each side; the input that needs most of a side has all of it."""
    values[:, 2] += 20  # far from 0 on one side
    steps = choose_steps(moments_of(values), weights, fine=fine)
    quarter = (values.max(axis=0) - values.min(axis=0)) / 4
    below = (quarter - values.min(axis=0)) / steps.step / (unit * steps.zero)
    above = (quarter + values.max(axis=0)) / steps.step / (unit * (units - steps.zero))
    assert max(below.max(), above.max()) == pytest.approx(1, rel=1e-5)
    assert min(below.max(), above.max()) > 0.95


def test_steps_are_between_those_that_make_inputs_and_weights_alike(values, weights):
    """As the square root of range / largest weight (SmoothQuant: Xiao et al. 2023, eq. 4)."""
    steps = choose_steps(moments_of(values), weights, fine=True)
    spread = values.max(axis=0) - values.min(axis=0)
    ratio = steps.step / np.sqrt(spread / np.abs(weights).max(axis=0))
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


def test_a_layer_in_bytes_is_nearly_the_layer(values, weights):
    expected = values @ weights.T
    for fine, share in ((True, 0.01), (False, 0.04)):
        steps = choose_steps(moments_of(values), weights, fine=fine)
        found = layer(moments_of(values), steps, weights, values)
        assert np.abs(found - expected).std() < share * expected.std()


def test_no_sum_of_two_products_is_beyond_16_bits(values, weights):
    """Processors without VNNI stop at 32,767: inputs of up to 128 by weights of up to 127, twice,
    or 255 by 64."""
    for fine, most in ((True, 127), (False, 64)):
        steps = choose_steps(moments_of(values), weights, fine=fine)
        rounded, _, _ = round_weights(moments_of(values), steps, weights)
        assert np.abs(rounded.astype(int)).max() == most


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
