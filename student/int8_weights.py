"""Linear layers in integers: in which steps their inputs are counted, and which bytes weigh them.

A layer y = W x + b is computed as y = scale * (Q n) + c, with n_j = round((x_j - low_j) / step_j)
in whole steps of an input, Q bytes, and scale and c of float32, one of each an output.

Letters: J = inputs, N = outputs, T = tokens of the rows that the steps are measured on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Doubles = npt.NDArray[np.float64]

LEVELS = 255  # that one byte counts
FINE_LEVELS = 255 * 256  # that two bytes count
WEIGHT_MAX = 127
# Processors without VNNI add two neighbouring products in 16 bits: 255 * PAIR_MAX still fits.
PAIR_MAX = 128
# A few inputs of a layer vary far more than the others. They are written as several columns, each
# for a part of their range; so many more columns, as a share, make all steps about alike.
EXTRA = 1 / 8
# Room below and above the range that was seen, as shares of it: where two bytes count an input
# there are steps to spare.
MARGIN = 0.1
FINE_MARGIN = 0.5
# Balance of the steps where two bytes count them: 0 makes the weights alike, 1 the inputs.
BALANCE = 0.3
DAMPING = 1e-4
# Of the largest: what varies, or weighs, less is taken for that much.
LEAST_SPREAD = 1e-4
BLOCK = 128


class Moments:
    """What is known of a layer's inputs: their count, sum, products, and range."""

    def __init__(self, inputs: int) -> None:
        self.count = 0
        self.sum = np.zeros(inputs)
        self.products = np.zeros((inputs, inputs))
        self.low = np.full(inputs, np.inf)
        self.high = np.full(inputs, -np.inf)

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Count more tokens: (T, J)."""
        # In float32 the covariance of inputs far from 0 would be lost in their means.
        exact = values.astype(np.float64)
        self.count += len(exact)
        self.sum += exact.sum(axis=0)
        self.products += exact.T @ exact
        self.low = np.minimum(self.low, values.min(axis=0))
        self.high = np.maximum(self.high, values.max(axis=0))


@dataclass(frozen=True)
class Steps:
    """low, step: (J,) of each input. columns: (J,) in how many columns it is written.

    fine: two bytes count each input, not one.
    """

    low: Doubles
    step: Doubles
    columns: npt.NDArray[np.int64]
    fine: bool

    @property
    def layout(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The input of each column, and which of that input's columns it is: all first ones in
        order, then the second ones, then the third."""
        rounds = [np.flatnonzero(self.columns > n) for n in range(int(self.columns.max()))]
        numbers = [np.full(len(inputs), n) for n, inputs in enumerate(rounds)]
        return np.concatenate(rounds), np.concatenate(numbers)


def choose_steps(moments: Moments, weights: Doubles, *, fine: bool) -> Steps:
    """Steps for the inputs of the layers of weights (N, J), of which several may read the same.

    fine: by two bytes an input.
    """
    spread = moments.high - moments.low
    # An input that never changed still has a step.
    spread = np.maximum(spread, max(float(spread.max()) * LEAST_SPREAD, 1e-12))
    margin = FINE_MARGIN if fine else MARGIN
    low = moments.low - margin * spread
    spread = spread * (1 + 2 * margin)
    columns = np.ones(len(spread), dtype=np.int64)
    if fine:
        size = np.abs(weights).max(axis=0)
        size = np.maximum(size, max(float(size.max()) * LEAST_SPREAD, 1e-12))
        step = spread**BALANCE / size ** (1 - BALANCE)
        return Steps(low, step * (spread / step).max() / FINE_LEVELS, columns, fine)
    size = np.sqrt((weights**2).sum(axis=0))
    for _ in range(int(EXTRA * len(spread))):
        columns[np.argmax(spread * size / columns)] += 1
    return Steps(low, spread / (LEVELS * columns), columns, fine)


def round_weights(
    moments: Moments, steps: Steps, weights: Doubles
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Q (N, J), scale (N,) and c (N,), without b, of a layer's weights (N, J).

    Each column's rounding errors are made good by the columns after it, as far as the inputs
    vary together (GPTQ: Frantar et al. 2023, algorithm 1); c makes good what is left on average.
    Bytes that stand side by side in the layout are together at most PAIR_MAX.
    """
    mean = moments.sum / moments.count
    covariance = moments.products / moments.count - np.outer(mean, mean)
    scaled = weights * steps.step
    size = np.abs(scaled)[:, steps.layout[0]]
    pairs = size[:, : size.shape[1] // 2 * 2 : 2] + size[:, 1::2]
    # A little less than fits, so that making errors good seldom meets the bound.
    scale = np.maximum(size.max(axis=1) / WEIGHT_MAX, pairs.max(axis=1) / (PAIR_MAX - 2))
    scale = np.where(scale > 0, scale, 1.0)
    # Of the counted inputs: their own rounding is as good as noise of 1/12.
    noise = 0.0 if steps.fine else 1 / 12
    products = covariance / np.outer(steps.step, steps.step)
    products[np.diag_indices_from(products)] += noise + DAMPING * np.diag(products).mean() + 1e-12
    rounded = _round_in_turn(scaled / scale[:, None], products, _partners(steps))
    constant = weights @ steps.low
    constant += (scaled - rounded * scale[:, None]) @ ((mean - steps.low) / steps.step)
    return rounded.astype(np.int8), scale.astype(np.float32), constant.astype(np.float32)


def _partners(steps: Steps) -> dict[int, set[int]]:
    """Input → those whose bytes stand beside its own in a pair, itself where two of its own do."""
    inputs = steps.layout[0].tolist()
    found: dict[int, set[int]] = {number: set() for number in inputs}
    for one, other in zip(inputs[::2], inputs[1::2], strict=False):
        found[one].add(other)
        found[other].add(one)
    return found


def _round_in_turn(
    weights: Doubles, products: Doubles, partners: Mapping[int, set[int]]
) -> Doubles:
    """(N, J) whole numbers: the most varying input first, its error spread over those to come."""
    order = np.argsort(-np.diag(products))
    weights, products = weights[:, order], products[np.ix_(order, order)]
    inverse = linalg.cho_solve(linalg.cho_factor(products), np.eye(len(products)))
    upper = linalg.cholesky((inverse + inverse.T) / 2)
    rounded = np.empty_like(weights)
    place = {int(number): at for at, number in enumerate(order)}
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        errors = np.empty((len(weights), stop - start))
        for column in range(start, stop):
            most = np.full(len(weights), float(WEIGHT_MAX))
            for other in partners[int(order[column])]:
                if place[other] == column:
                    most = np.minimum(most, PAIR_MAX // 2)
                elif place[other] < column:
                    most = np.minimum(most, PAIR_MAX - np.abs(rounded[:, place[other]]))
            rounded[:, column] = np.clip(np.round(weights[:, column]), -most, most)
            error = (weights[:, column] - rounded[:, column]) / upper[column, column]
            weights[:, column:stop] -= np.outer(error, upper[column, column:stop])
            errors[:, column - start] = error
        weights[:, stop:] -= errors @ upper[start:stop, stop:]
    found = np.empty_like(rounded)
    found[:, order] = rounded
    return found
