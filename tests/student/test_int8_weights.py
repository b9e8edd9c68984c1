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
    """The whole numbers that stand for values: (T, K)."""
    scaled = values / steps.step
    every = np.concatenate([scaled, scaled[:, steps.more] + steps.parts], axis=1)
    return np.clip(np.round(every), -steps.zero, 255 - steps.zero)


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


def test_steps_are_as_small_as_the_room_for_what_was_not_seen_allows(values, weights):
    """A twentieth of an input's range on each side; it has all of one side."""
    values[:, 2] += 20  # far from 0 on one side
    steps = choose_steps(moments_of(values), weights)
    room = (values.max(axis=0) - values.min(axis=0)) / 20
    below = (room - values.min(axis=0)) / steps.step / steps.zero
    above = (room + values.max(axis=0)) / steps.step / (255 - steps.zero)
    np.testing.assert_allclose(np.maximum(below, above), 1, rtol=1e-5)


def test_the_zero_is_where_the_outputs_are_rounded_the_least(values, weights):
    """Inputs above 0 leave little below it; the wider they weigh, the more they say."""
    values[:, :20] = np.abs(values[:, :20])
    weights[:, 20:] /= 10
    moments = moments_of(values)
    found = choose_steps(moments, weights)
    assert 10 < found.zero < 60
    reach = values.max(axis=0) - values.min(axis=0)
    for zero in (found.zero - 1, found.zero + 1):
        sides = (
            (0.05 * reach - values.min(axis=0)) / zero,
            (0.05 * reach + values.max(axis=0)) / (255 - zero),
        )
        step = np.maximum(*sides)
        assert (step**2 * weights**2).sum() > (found.step**2 * weights**2).sum()


def test_an_input_that_is_rounded_the_most_is_counted_again_by_parts_of_a_step(values, weights):
    """Of 48 inputs the one that adds more than twenty times the mean; then those down to twice."""
    values = np.concatenate([values, values + 1e-3 * values[::-1]], axis=1)
    values /= values.max(axis=0) - values.min(axis=0)
    weights = np.sign(np.concatenate([weights, weights], axis=1))

    def found():
        steps = choose_steps(moments_of(values), weights)
        return steps.more.tolist(), steps.parts.tolist()

    values[:, 20] *= 3
    assert found() == ([], [])
    values[:, 7] *= 12
    assert found() == ([7, 7], pytest.approx([1 / 3, 2 / 3]))
    weights[3, 11] = 30  # a weight counts as a reach does
    assert found() == ([7, 11], [0.5, 0.5])


def test_no_byte_is_given_that_takes_less_than_twice_the_mean():
    """72 inputs may have three more: of 30 the third would take 1.5, and the mean is 1.4."""
    values = np.repeat([[-1.0], [1.0]], 72, axis=1).astype(np.float32)
    values[:, 5] *= np.sqrt(30)
    moments = Moments(72)
    moments.add(values)
    assert choose_steps(moments, np.ones((2, 72))).more.tolist() == [5, 5]


def test_bytes_moved_by_parts_of_a_step_count_in_finer_ones_together():
    """Hermite's identity, on 48 inputs of which one has all three bytes."""
    random = np.random.default_rng(3)
    values = random.uniform(-1, 1, (200, 48)).astype(np.float32)
    values[:, 5] *= 40
    steps = choose_steps(moments_of(values), np.ones((2, 48)))
    assert (steps.more.tolist(), steps.parts.tolist()) == ([5, 5], pytest.approx([1 / 3, 2 / 3]))
    sums = counted(steps, values)[:, [5, 48, 49]].sum(axis=1)
    finer = np.floor(3 * (values[:, 5] / steps.step[5] + 0.5))
    np.testing.assert_array_equal(sums, finer)


def test_a_layer_in_bytes_is_nearly_the_layer(values, weights):
    """The far input, which has two bytes, is nearly all of it."""
    steps = choose_steps(moments_of(values), weights)
    assert steps.more.tolist() == [7]
    expected = values @ weights.T
    error = layer(moments_of(values), steps, weights, values) - expected
    assert error.std() < 0.005 * expected.std()


@pytest.mark.parametrize("inputs", [24, 23])
def test_no_sum_of_two_products_is_beyond_16_bits(values, weights, inputs):
    """Processors without VNNI add the products of neighbours, 0 and 1, 2 and 3, in 16 bits."""
    values, weights = values[:, :inputs], weights[:, :inputs]
    weights[0, :2], weights[1, 2:4] = 3, (-4, 4)
    moments = moments_of(values)
    rounded, _, _ = round_weights(moments, choose_steps(moments, weights), weights)
    pairs = np.pad(rounded.astype(int), ((0, 0), (0, rounded.shape[1] % 2))).reshape(6, -1, 2)
    most = 255 * np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2))
    assert 32_767 * 0.7 < most.max() <= 32_767
    assert 100 < np.abs(rounded.astype(int)).max() <= 127


def test_errors_are_made_good_by_the_inputs_that_vary_together(values, weights):
    """Each weight rounded to the nearest byte is farther from the layer than weights in turn."""
    values[:, 7] /= 30
    moments = moments_of(values)
    steps = choose_steps(moments, weights)
    assert not len(steps.more)
    rounded, scale, _ = round_weights(moments, steps, weights)
    plain = np.round(weights * steps.step / scale[:, None])
    apart = values - values.mean(axis=0)
    errors = [
        (apart @ (each * scale[:, None] / steps.step - weights).T).std()
        for each in (rounded, plain)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_the_mean_of_an_output_is_kept(values, weights):
    moments = moments_of(values)
    steps = choose_steps(moments, weights)
    error = layer(moments, steps, weights, values) - values @ weights.T
    assert np.abs(error.mean(axis=0)).max() < 0.1 * error.std()


def test_inputs_and_outputs_that_never_change_give_numbers(values, weights):
    values[:, 3], weights[2] = 5.0, 0.0
    values[:, 9], weights[:, 9] = 0.0, 0.0
    moments = moments_of(values)
    found = layer(moments, choose_steps(moments, weights), weights, values)
    np.testing.assert_allclose(found[:, 2], 0.0, atol=1e-6)
    np.testing.assert_allclose(found, values @ weights.T, atol=0.05 * np.abs(found).max())
