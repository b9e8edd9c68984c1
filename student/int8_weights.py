"""Linear layers in integers: in which steps their inputs are counted, and which bytes weigh them.

A layer y = W x + b is computed as y = scale * (Q n) + c, with n_j = round(x_j / step_j) in whole
steps of an input, Q bytes, and scale and c of float32, one of each an output. Where one byte counts
an input, the product of a few inputs that would leave the others' weights too coarse is added in
float32.

Letters: J = inputs, N = outputs, T = tokens of the rows that the steps are measured on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Doubles = npt.NDArray[np.float64]

# One byte counts an input in steps; of two, the first counts units and the second one the steps of
# a unit, and within MARGIN_OF_TWO neither goes beyond 128.
STEPS_OF_ONE, UNITS_OF_TWO, UNIT = 255, 127, 128
MOST_WEIGHT = 127
# Processors without VNNI add the products of two neighbours in 16 bits. So two neighbours' weights,
# where they are of one sign, are not beyond this together.
MOST_OF_ONE, MOST_OF_TWO = 32_767 // STEPS_OF_ONE, 32_767 // UNIT
# An input in one byte is multiplied in float32 where its reach times its largest weight is so many
# times what it is of most inputs, and of them only one in so many.
FAR, ONE_APART_IN = 2, 24
# Room below and above the range that was seen, as a share of it. Beyond it one byte is cut off; of
# two, which have steps enough for more room, the first one goes on to its end.
MARGIN_OF_ONE, MARGIN_OF_TWO = 0.05, 0.25
# Between steps that make the weights alike, 0, and ones that make the inputs alike, 1. In one byte
# the inputs are rounded more coarsely than the weights.
BALANCE_OF_ONE, BALANCE_OF_TWO = 1.0, 0.5
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

    fine: two bytes count each input, not one. apart: those that no byte counts, in rising order;
    their steps say nothing.
    """

    step: Doubles
    zero: int
    fine: bool
    apart: npt.NDArray[np.int64]


def choose_steps(moments: Moments, weights: Doubles, *, fine: bool) -> Steps:
    """Steps for the inputs of the layers of weights (N, J), of which several may read the same.

    fine: by two bytes an input. Else a few inputs whose reach times largest weight is far beyond
    that of others are kept apart (as in LLM.int8: Dettmers et al. 2022, section 3.2; here chosen
    once, not by the row).
    """
    spread = moments.high - moments.low
    # An input that never changed still has a step.
    spread = np.maximum(spread, max(float(spread.max()) * LEAST_SPREAD, 1e-12))
    margin = MARGIN_OF_TWO if fine else MARGIN_OF_ONE
    low = np.minimum(moments.low - margin * spread, 0)
    high = np.maximum(moments.high + margin * spread, 0)
    size = np.abs(weights).max(axis=0)
    size = np.maximum(size, max(float(size.max()) * LEAST_SPREAD, 1e-12))
    balance = BALANCE_OF_TWO if fine else BALANCE_OF_ONE
    reach = high - low
    step = reach**balance / size ** (1 - balance)
    apart = np.empty(0, dtype=np.int64) if fine else _far(reach * size)
    below, above = (np.delete(side / step, apart).max() for side in (-low, high))
    units = UNITS_OF_TWO if fine else STEPS_OF_ONE
    zero = int(np.clip(np.round(units * below / (below + above)), 1, units - 1))
    unit = step * max(below / zero, above / (units - zero))
    return Steps(unit / UNIT if fine else unit, zero, fine, apart)


def _far(need: Doubles) -> npt.NDArray[np.int64]:
    """The places of the few that are far beyond most, in rising order."""
    largest = np.argsort(-need, kind="stable")[: len(need) // ONE_APART_IN]
    return np.sort(largest[need[largest] > FAR * np.median(need)])


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
    scaled[:, steps.apart] = 0
    # As fine as the sums of two neighbours allow.
    most = MOST_OF_TWO if steps.fine else MOST_OF_ONE
    pairs = np.pad(scaled, ((0, 0), (0, scaled.shape[1] % 2))).reshape(len(scaled), -1, 2)
    of_two = np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2)).max(axis=1)
    scale = np.maximum(np.abs(scaled).max(axis=1) / MOST_WEIGHT, of_two / most)
    scale = np.where(scale > 0, scale, 1.0)
    products = covariance / np.outer(steps.step, steps.step)
    products[steps.apart] = products[:, steps.apart] = 0
    # Of inputs in one byte: their own rounding is as good as noise of 1/12.
    noise = 1e-12 if steps.fine else 1 / 12
    products[np.diag_indices_from(products)] += DAMPING * np.diag(products).mean() + noise
    rounded = _round_in_turn(scaled / scale[:, None], products, most)
    constant = (scaled - rounded * scale[:, None]) @ (mean / steps.step)
    return rounded.astype(np.int8), scale.astype(np.float32), constant.astype(np.float32)


def _round_in_turn(weights: Doubles, products: Doubles, most: int) -> Doubles:
    """(N, J) whole numbers: the most varying input first, its error spread over those to come.

    most: what two neighbours of one sign may be together.
    """
    order = np.argsort(-np.diag(products))
    # Where in this order an input's neighbour is; the last one of an odd number has none.
    turn = np.argsort(order)
    neighbours = order ^ 1
    partners = np.where(neighbours < len(order), turn[np.minimum(neighbours, len(order) - 1)], -1)
    weights, products = weights[:, order], products[np.ix_(order, order)]
    inverse = linalg.cho_solve(linalg.cho_factor(products), np.eye(len(products)))
    upper = linalg.cholesky((inverse + inverse.T) / 2)
    rounded = np.zeros_like(weights)
    for start in range(0, len(order), BLOCK):
        stop = min(start + BLOCK, len(order))
        errors = np.empty((len(weights), stop - start))
        for column in range(start, stop):
            # What is not rounded yet is 0.
            other = rounded[:, partners[column]] if partners[column] >= 0 else np.zeros(1)
            highest = np.minimum(MOST_WEIGHT, most - np.maximum(other, 0))
            lowest = np.maximum(-MOST_WEIGHT, -most - np.minimum(other, 0))
            rounded[:, column] = np.clip(np.round(weights[:, column]), lowest, highest)
            error = (weights[:, column] - rounded[:, column]) / upper[column, column]
            weights[:, column:stop] -= np.outer(error, upper[column, column:stop])
            errors[:, column - start] = error
        weights[:, stop:] -= errors @ upper[start:stop, stop:]
    found = np.empty_like(rounded)
    found[:, order] = rounded
    return found
