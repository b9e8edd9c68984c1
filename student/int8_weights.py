"""Linear layers in integers: in which steps their inputs are counted, and which bytes weigh them.

A layer y = W x + b is computed as y = scale * (Q n) + c, with n_j = round((x_j - low_j) / step_j)
in whole steps of an input, Q bytes, and scale and c of float32, one of each an output.

Letters: J = inputs, N = outputs, T = tokens of the rows that the steps are measured on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Doubles = npt.NDArray[np.float64]

# Two bytes count an input: the first one in units, the second one the steps of a unit. Neither goes
# beyond 128, since processors without VNNI add the products of two neighbours, by weights of up to
# 127 each, in 16 bits.
UNIT = 128
LEVELS = 127 * UNIT
WEIGHT_MAX = 127
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
    """low, step: (J,) of each input."""

    low: Doubles
    step: Doubles


def choose_steps(moments: Moments, weights: Doubles) -> Steps:
    """Steps for the inputs of the layers of weights (N, J), of which several may read the same."""
    spread = moments.high - moments.low
    # An input that never changed still has a step.
    spread = np.maximum(spread, max(float(spread.max()) * LEAST_SPREAD, 1e-12))
    low = moments.low - MARGIN * spread
    size = np.abs(weights).max(axis=0)
    size = np.maximum(size, max(float(size.max()) * LEAST_SPREAD, 1e-12))
    step = spread**BALANCE / size ** (1 - BALANCE)
    return Steps(low, step * ((1 + 2 * MARGIN) * spread / step).max() / LEVELS)


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
    scale = np.abs(scaled).max(axis=1) / WEIGHT_MAX
    scale = np.where(scale > 0, scale, 1.0)
    products = covariance / np.outer(steps.step, steps.step)
    products[np.diag_indices_from(products)] += DAMPING * np.diag(products).mean() + 1e-12
    rounded = _round_in_turn(scaled / scale[:, None], products)
    constant = weights @ steps.low
    constant += (scaled - rounded * scale[:, None]) @ ((mean - steps.low) / steps.step)
    return rounded.astype(np.int8), scale.astype(np.float32), constant.astype(np.float32)


def _round_in_turn(weights: Doubles, products: Doubles) -> Doubles:
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
            rounded[:, column] = np.clip(np.round(weights[:, column]), -WEIGHT_MAX, WEIGHT_MAX)
            error = (weights[:, column] - rounded[:, column]) / upper[column, column]
            weights[:, column:stop] -= np.outer(error, upper[column, column:stop])
            errors[:, column - start] = error
        weights[:, stop:] -= errors @ upper[start:stop, stop:]
    found = np.empty_like(rounded)
    found[:, order] = rounded
    return found
