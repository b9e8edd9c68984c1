"""Say how well the chances a classifier gives agree with how often it is right.

Letters: N rows, C classes, M bins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import brier_score_loss, log_loss


def reliability(
    chances: npt.NDArray[np.floating[Any]], gold: npt.NDArray[np.int64], bins: int = 15
) -> dict[str, Any]:
    """Expected calibration error, its bins, Brier score and negative log-likelihood.

    chances: (N, C) of each class, a row's sum 1. gold: (N,) class indices. Keys:

    - ece: Σ rows of the bin / N · |accuracy − confidence| (Guo et al. 2017, equation 3);
    - bins: M mappings in order, of equal width over 0 to 1: low, high (low < chance of the top
      class ≤ high), rows, confidence (mean chance of the top class) and accuracy (share of rows
      whose top class is gold), both None without rows; of equal chances the first is the top;
    - brier: mean square of chance − gold, summed over classes (0 to 2), halved for two (0 to 1);
    - negative_log_likelihood: mean −log of gold's chance in nats.

    All numbers but a bin's low, high and rows (0) are None without rows or with a chance that is
    not finite (a diverged model). Raises ValueError on shapes that do not fit, fewer than two
    classes or one bin, a gold that is no class, or chances below 0 or without
    sum 1.
    """
    chances, gold = np.asarray(chances, dtype=np.float64), np.asarray(gold)
    _check(chances, gold, bins)
    edges = np.linspace(0, 1, bins + 1)
    if not len(gold) or not np.isfinite(chances).all():
        chances, gold = chances[:0], gold[:0]
    confidence = chances.max(axis=1)
    is_right = chances.argmax(axis=1) == gold
    place = np.digitize(confidence, edges[1:-1], right=True)
    rows, confident, right = (
        np.bincount(place, weights=weights, minlength=bins)
        for weights in (np.ones_like(confidence), confidence, is_right)
    )
    described = [
        {
            "low": float(edges[index]),
            "high": float(edges[index + 1]),
            "rows": int(rows[index]),
            "confidence": float(confident[index] / rows[index]) if rows[index] else None,
            "accuracy": float(right[index] / rows[index]) if rows[index] else None,
        }
        for index in range(bins)
    ]
    if not len(gold):
        return {"ece": None, "brier": None, "negative_log_likelihood": None, "bins": described}
    labels = np.arange(chances.shape[1])
    # Chances read from a file are rounded; scikit-learn wants a sum of 1.
    chances = chances / chances.sum(axis=1, keepdims=True)
    return {
        "ece": float(np.abs(right - confident).sum() / len(gold)),
        "brier": float(brier_score_loss(gold, chances, labels=labels)),
        "negative_log_likelihood": float(log_loss(gold, chances, labels=labels)),
        "bins": described,
    }


def _check(chances: npt.NDArray[np.floating[Any]], gold: npt.NDArray[np.int64], bins: int) -> None:
    if chances.ndim != 2 or gold.shape != chances.shape[:1] or chances.shape[1] < 2:
        raise ValueError(
            f"reliability: chances have shape {chances.shape} and gold {gold.shape}: "
            "use (rows, classes), at least two, and (rows,)"
        )
    if bins < 1:
        raise ValueError(f"reliability: {bins!r} bins: use at least 1")
    strays = gold[(gold < 0) | (gold >= chances.shape[1])]
    if strays.size:
        raise ValueError(
            f"reliability: gold holds {strays[0]!r}, which is no class: "
            f"use 0 to {chances.shape[1] - 1}"
        )
    finite = chances[np.isfinite(chances).all(axis=1)]
    if (finite < 0).any() or (np.abs(finite.sum(axis=1) - 1) > 0.01).any():
        raise ValueError(
            "reliability: a row's chances are below 0 or their sum is not 1: give probabilities, "
            "not logits"
        )
