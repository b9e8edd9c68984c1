"""Linear layers in integers: in which steps their inputs are counted, and which bytes weigh them.

A layer y = W x + b is computed as y = scale * (Q n) + c, with n of whole steps of the inputs, Q
bytes, and scale and c of float32, one of each an output. Every input is counted by a byte of its
own; a few that would be rounded the most by several, in which it is moved by parts of a step, so
that their sum counts in finer ones: the floors of x + i/k for i = 0 .. k - 1 add up to the floor of
k x (Hermite's identity).

Letters: J = inputs, K = bytes that count them, N = outputs, T = tokens of the rows that the steps
are measured on.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

Doubles = npt.NDArray[np.float64]

STEPS = 255
MOST_WEIGHT = 127
# Processors without VNNI add the products of two neighbours in 16 bits. So two neighbours' weights,
# where they are of one sign, are not beyond this together.
MOST_OF_TWO = 32_767 // STEPS
# Room below and above the range that was seen, as a share of it. What is beyond it is cut off.
MARGIN = 0.05
# Where an input adds so many times to the rounding what inputs add on average, those that add the
# most have more bytes: one for so many inputs, at most, and each must take so many averages away.
FAR, ONE_MORE_IN, WORTH = 20, 24, 2
DAMPING = 1e-4
# Of the largest: what varies less is taken for that much.
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
    """step: (J,) of an input's bytes. zero: what a byte says of 0, the same for all.

    times: (J,) how many bytes count each input.
    """

    step: Doubles
    zero: int
    times: npt.NDArray[np.int64]

    @property
    def more(self) -> npt.NDArray[np.int64]:
        """(K - J,) which inputs the bytes after the first J count, in rising order."""
        return np.repeat(np.arange(len(self.times)), self.times - 1)

    @property
    def parts(self) -> Doubles:
        """(K - J,) of a step, by which those bytes are moved."""
        return np.array([part / k for k in self.times for part in range(1, k)], dtype=np.float64)


def choose_steps(moments: Moments, weights: Doubles) -> Steps:
    """Steps for the inputs of the layers of weights (N, J), of which several may read the same.

    Each as small as its range allows beside a zero that all share: the one with the least rounding
    of the outputs, to which an input's step adds by its square and its weights' squares.
    """
    spread = moments.high - moments.low
    # An input that never changed still has a step.
    spread = np.maximum(spread, max(float(spread.max()) * LEAST_SPREAD, 1e-12))
    below = np.maximum(MARGIN * spread - moments.low, 0)
    above = np.maximum(MARGIN * spread + moments.high, 0)
    gain = np.square(weights).sum(axis=0)
    zeros = np.arange(1, STEPS)[:, None]
    smallest = np.maximum(below / zeros, above / (STEPS - zeros))
    best = int(np.argmin(np.square(smallest) @ gain))
    step = smallest[best]
    return Steps(step, int(zeros[best, 0]), _share_bytes(np.square(step) * gain))


def _share_bytes(rounding: Doubles) -> npt.NDArray[np.int64]:
    """(J,) how many bytes count each input.

    rounding: (J,) what an input adds to the squared rounding of the outputs when one byte counts
    it; k bytes leave 1/k^2 of that. Each byte goes where it takes the most.
    """
    times = np.ones(len(rounding), dtype=np.int64)
    mean = rounding.mean()
    if rounding.max() <= FAR * mean:
        return times
    for _ in range(len(rounding) // ONE_MORE_IN):
        taken = rounding * (1 / times**2 - 1 / (times + 1) ** 2)
        place = int(taken.argmax())
        if taken[place] <= WORTH * mean:
            break
        times[place] += 1
    return times


def round_weights(
    moments: Moments, steps: Steps, weights: Doubles
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Q (N, K), scale (N,) and c (N,), without b, of a layer's weights (N, J).

    Each column's rounding errors are made good by the columns after it, as far as the inputs
    vary together (GPTQ: Frantar et al. 2023, algorithm 1); c makes good what is left on average.
    """
    mean = moments.sum / moments.count
    covariance = moments.products / moments.count - np.outer(mean, mean)
    counts = np.concatenate([np.arange(len(mean)), steps.more])
    scaled = (weights * steps.step / steps.times)[:, counts]
    # As fine as the sums of two neighbours allow.
    pairs = np.pad(scaled, ((0, 0), (0, scaled.shape[1] % 2))).reshape(len(scaled), -1, 2)
    of_two = np.maximum(pairs.clip(min=0).sum(axis=2), -pairs.clip(max=0).sum(axis=2)).max(axis=1)
    scale = np.maximum(np.abs(scaled).max(axis=1) / MOST_WEIGHT, of_two / MOST_OF_TWO)
    scale = np.where(scale > 0, scale, 1.0)
    products = (covariance / np.outer(steps.step, steps.step))[np.ix_(counts, counts)]
    # The inputs' own rounding is as good as noise of 1/12.
    products[np.diag_indices_from(products)] += DAMPING * np.diag(products).mean() + 1 / 12
    rounded = _round_in_turn(scaled / scale[:, None], products)
    counted = (mean / steps.step)[counts]
    counted[len(mean) :] += steps.parts
    constant = weights @ mean - scale * (rounded @ counted)
    return rounded.astype(np.int8), scale.astype(np.float32), constant.astype(np.float32)


def _round_in_turn(weights: Doubles, products: Doubles) -> Doubles:
    """(N, K) whole numbers: the most varying input first, its error spread over those to come."""
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
            highest = np.minimum(MOST_WEIGHT, MOST_OF_TWO - np.maximum(other, 0))
            lowest = np.maximum(-MOST_WEIGHT, -MOST_OF_TWO - np.minimum(other, 0))
            rounded[:, column] = np.clip(np.round(weights[:, column]), lowest, highest)
            error = (weights[:, column] - rounded[:, column]) / upper[column, column]
            weights[:, column:stop] -= np.outer(error, upper[column, column:stop])
            errors[:, column - start] = error
        weights[:, stop:] -= errors @ upper[start:stop, stop:]
    found = np.empty_like(rounded)
    found[:, order] = rounded
    return found
