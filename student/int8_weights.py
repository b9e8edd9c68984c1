"""Linear layers in integers: in which steps their inputs are counted, and which bytes weigh them.

A layer y = W x + b is computed as y = scale * (Q n) + c, with n_j = round(x_j / step_j) in whole
steps of an input, Q bytes, and scale and c of float32, one of each an output.

Letters: J = inputs, N = outputs, T = tokens of the rows that the steps are measured on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Doubles = npt.NDArray[np.float64]

# Processors without VNNI add the products of two neighbours in 16 bits: they have to stay below
# 32,768. Where two bytes count an input, the first one in units and the second one the steps of a
# unit, neither goes beyond 128; where one byte does, the weights don't go beyond 64.
UNIT = 128
UNITS_OF_TWO, MOST_BY_TWO = 127, 127
STEPS_OF_ONE, MOST_BY_ONE = 255, 64
# Room below and above the range that was seen, as a share of it.
MARGIN = 0.25
# Between steps that make the weights alike, 0, and ones that make the inputs alike, 1.
BALANCE = 0.5
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
    """step: (J,) of each input. zero: what its first byte says of 0, the same for all.

    fine: two bytes count each input, not one.
    """

    step: Doubles
    zero: int
    fine: bool


def choose_steps(moments: Moments, weights: Doubles, *, fine: bool) -> Steps:
    """Steps for the inputs of the layers of weights (N, J), of which several may read the same.

    fine: by two bytes an input.
    """
    spread = moments.high - moments.low
    # An input that never changed still has a step.
    spread = np.maximum(spread, max(float(spread.max()) * LEAST_SPREAD, 1e-12))
    low = np.minimum(moments.low - MARGIN * spread, 0)
    high = np.maximum(moments.high + MARGIN * spread, 0)
    size = np.abs(weights).max(axis=0)
    size = np.maximum(size, max(float(size.max()) * LEAST_SPREAD, 1e-12))
    step = spread**BALANCE / size ** (1 - BALANCE)
    below, above = (-low / step).max(), (high / step).max()
    units = UNITS_OF_TWO if fine else STEPS_OF_ONE
    zero = int(np.clip(np.round(units * below / (below + above)), 1, units - 1))
    unit = step * max(below / zero, above / (units - zero))
    return Steps(unit / UNIT if fine else unit, zero, fine)


def round_weights(
    moments: Moments, steps: Steps, weights: Doubles
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Q (N, J), scale (N,) and c (N,), without b, of a layer's weights (N, J).

    Each column's rounding errors are made good by the columns after it, as far as the inputs
    vary together (GPTQ: Frantar et al. 2023, algorithm 1); c makes good what is left on average.
    """
    mean = moments.sum / moments.count
    covariance = moments.products / moments.count - np.outer(mean, mean)
    scaled = weights * steps.step
    most = MOST_BY_TWO if steps.fine else MOST_BY_ONE
    scale = np.abs(scaled).max(axis=1) / most
    scale = np.where(scale > 0, scale, 1.0)
    products = covariance / np.outer(steps.step, steps.step)
    # Of inputs in one byte: their own rounding is as good as noise of 1/12.
    noise = 1e-12 if steps.fine else 1 / 12
    products[np.diag_indices_from(products)] += DAMPING * np.diag(products).mean() + noise
    rounded = _round_in_turn(scaled / scale[:, None], products, most)
    constant = (scaled - rounded * scale[:, None]) @ (mean / steps.step)
    return rounded.astype(np.int8), scale.astype(np.float32), constant.astype(np.float32)


def _round_in_turn(weights: Doubles, products: Doubles, most: int) -> Doubles:
    """(N, J) whole numbers: the most varying input first, its error spread over those to come."""
    order = np.argsort(-np.diag(products))
    weights, products = weights[:, order], products[np.ix_(order, order)]
    inverse = linalg.cho_solve(linalg.cho_factor(products), np.eye(len(products)))
    upper = linalg.cholesky((inverse + inverse.T) / 2)
    rounded = np.empty_like(weights)
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        errors = np.empty((len(weights), stop - start))
        for column in range(start, stop):
            rounded[:, column] = np.clip(np.round(weights[:, column]), -most, most)
            error = (weights[:, column] - rounded[:, column]) / upper[column, column]
            weights[:, column:stop] -= np.outer(error, upper[column, column:stop])
            errors[:, column - start] = error
        weights[:, stop:] -= errors @ upper[start:stop, stop:]
    found = np.empty_like(rounded)
    found[:, order] = rounded
    return found
