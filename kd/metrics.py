"""Score predictions against gold over all rows at once, as JSON-able values: None, never NaN."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import DegenerateDataWarning, pearsonr, spearmanr
from sklearn.metrics import (
    confusion_matrix,
    matthews_corrcoef,
    mean_squared_error,
    precision_recall_fscore_support,
    roc_auc_score,
)

Span = tuple[int, int]
Scores = dict[str, float | int | None]


def classification_scores(
    gold: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of a single-label classifier; a ratio of 0/0 counts 0 (zero_division=0).

    gold, predicted: (rows,) indices into classes. All classes count in macro-F1, present or not.
    Matthews correlation is 0 when either side holds one class only (scikit-learn's convention).
    Keys: accuracy, macro_f1, micro_f1, weighted_f1, mcc, per_class, confusion (rows gold, columns
    predicted) and, for two classes, positive (the last class). With no rows accuracy, the averages
    and mcc are None. Raises ValueError on unequal lengths or an index that is no class.
    """
    gold, predicted = np.asarray(gold), np.asarray(predicted)
    _check_same_rows("classification_scores", gold, predicted)
    for side, indices in (("gold", gold), ("predicted", predicted)):
        strays = indices[~np.isin(indices, np.arange(len(classes)))]
        if strays.size:
            raise ValueError(
                f"classification_scores: {side} holds {strays[0]!r}, not an index into "
                f"{list(classes)!r}: use 0 to {len(classes) - 1}"
            )
    if gold.size == 0:
        return _scores_of_no_rows(classes)
    labels = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        gold, predicted, labels=labels, zero_division=0
    )
    per_class = {
        name: {
            "precision": float(precision[index]),
            "recall": float(recall[index]),
            "f1": float(f1[index]),
            "support": int(support[index]),
        }
        for index, name in enumerate(classes)
    }
    # Each row has one class, so pooled precision, recall and F1 all equal accuracy.
    accuracy = float(np.mean(gold == predicted))
    # scikit-learn warns, rather than returns 0, when both sides hold the same one class.
    has_one_class = len(np.union1d(gold, predicted)) == 1
    scores = {
        "accuracy": accuracy,
        "macro_f1": float(np.mean(f1)),
        "micro_f1": accuracy,
        "weighted_f1": float(np.average(f1, weights=support)),
        "mcc": 0.0 if has_one_class else float(matthews_corrcoef(gold, predicted)),
        "per_class": per_class,
        "confusion": confusion_matrix(gold, predicted, labels=labels).tolist(),
    }
    return scores | _positive(per_class, classes)


def roc_auc(gold: npt.NDArray[np.int64], chances: npt.NDArray[np.floating[Any]]) -> float | None:
    """Area under the ROC curve: the chance that a row of a class ranks above a row of none.

    gold: (rows,) class indices; chances: (rows, classes). Of two classes that of the last; of more
    the mean over those that some rows have and some have not, each against the rest (Provost and
    Domingos 2000, unweighted). None where no class has both, and with a chance that is not finite.
    Raises ValueError on unequal lengths.
    """
    gold, chances = np.asarray(gold), np.asarray(chances, dtype=np.float64)
    _check_same_count("roc_auc", "rows of chances", len(gold), len(chances))
    if not np.isfinite(chances).all():
        return None
    classes = range(chances.shape[1]) if chances.shape[1] > 2 else (1,)
    areas = [
        float(roc_auc_score(gold == index, chances[:, index]))
        for index in classes
        if len(np.unique(gold == index)) == 2
    ]
    return float(np.mean(areas)) if areas else None


def regression_scores(
    gold: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]
) -> dict[str, float | None]:
    """Pearson's r, Spearman's rho and mean squared error of (rows,) values.

    The correlations are None where a side is constant; all are None without rows or with a value
    that is not finite (a diverged model). Raises ValueError on unequal lengths.
    """
    gold, predicted = np.asarray(gold, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    _check_same_rows("regression_scores", gold, predicted)
    if gold.size == 0 or not (np.isfinite(gold).all() and np.isfinite(predicted).all()):
        return {"pearson": None, "spearman": None, "mse": None}
    return {
        "pearson": _correlation(pearsonr, gold, predicted),
        "spearman": _correlation(spearmanr, gold, predicted),
        "mse": float(mean_squared_error(gold, predicted)),
    }


def rationale_scores(
    gold: Sequence[npt.NDArray[np.bool_]], predicted: Sequence[npt.NDArray[np.bool_]]
) -> Scores:
    """Mean over rows of token F1 and of IOU-F1 at 0.5 (DeYoung et al. 2020, ERASER).

    gold, predicted: one (tokens,) bool array a row, True where the token is rationale; the row's
    real tokens only, no special token and no padding. A row where both are empty scores 1, where
    one is empty 0. With no rows both scores are None. Raises ValueError on unequal lengths.
    """
    _check_same_count("rationale_scores", "predicted rows", len(gold), len(predicted))
    if len(gold) == 0:
        return {"token_f1": None, "iou_f1": None, "rows": 0}
    token_f1, iou_f1 = [], []
    for row, (row_gold, row_predicted) in enumerate(zip(gold, predicted, strict=True)):
        where = f"rationale_scores, row {row}"
        _check_same_count(where, "predicted tokens", len(row_gold), len(row_predicted))
        token_f1.append(token_f1_of_row(row_gold, row_predicted, both_empty=1.0))
        iou_f1.append(
            iou_f1_of_spans(true_spans(row_gold), true_spans(row_predicted), both_empty=1.0)
        )
    return {
        "token_f1": float(np.mean(token_f1)),
        "iou_f1": float(np.mean(iou_f1)),
        "rows": len(gold),
    }


def rationale_report(
    gold: Sequence[npt.NDArray[np.bool_]],
    predicted: Sequence[npt.NDArray[np.bool_]],
    has_level: npt.NDArray[np.bool_],
) -> dict[str, dict[str, Scores]]:
    """Rationale scores over all rows and over rows with level above 0, constant answers beside.

    gold, predicted: as in rationale_scores. has_level: (rows,) True where gold's level is above 0.
    Level-0 rows have no rationale and dominate the mean under "all", so a model is worth its margin
    over the constant answers "all_tokens" and "no_token", most of all under "level>0".
    """
    has_level = np.asarray(has_level, dtype=bool)
    _check_same_count("rationale_report", "rows of has_level", len(gold), len(has_level))
    _check_same_count("rationale_report", "predicted rows", len(gold), len(predicted))
    report = {}
    for name, is_chosen in (("all", np.ones_like(has_level)), ("level>0", has_level)):
        rows = np.flatnonzero(is_chosen).tolist()
        chosen = [np.asarray(gold[row], dtype=np.bool_) for row in rows]
        report[name] = {
            "model": rationale_scores(chosen, [predicted[row] for row in rows]),
            "all_tokens": rationale_scores(chosen, [np.ones_like(row) for row in chosen]),
            "no_token": rationale_scores(chosen, [np.zeros_like(row) for row in chosen]),
        }
    return report


def token_f1_of_row(
    gold: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_], both_empty: float
) -> float:
    """F1 of the rationale tokens of one row, both (tokens,); both_empty where neither has any."""
    gold, predicted = np.asarray(gold, dtype=bool), np.asarray(predicted, dtype=bool)
    marked = int(gold.sum()) + int(predicted.sum())
    return 2 * int((gold & predicted).sum()) / marked if marked else both_empty


def true_spans(mask: npt.NDArray[np.bool_]) -> list[Span]:
    """Maximal runs of True in (tokens,) as half-open (start, end) pairs, in order."""
    padded = np.concatenate([[False], np.asarray(mask, dtype=bool), [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def iou_f1_of_spans(gold: Sequence[Span], predicted: Sequence[Span], both_empty: float) -> float:
    """F1 of one row's spans; a predicted span hits if its best IoU over gold is at least 0.5.

    Hits serve recall too: at 0.5, two separate predicted runs cannot both hit the same gold run.
    """
    if not gold and not predicted:
        return both_empty
    hits = sum(any(_iou(span, other) >= 0.5 for other in gold) for span in predicted)
    # 2PR / (P + R) with P = hits / predicted and R = hits / gold.
    return 2 * hits / (len(gold) + len(predicted))


def _iou(left: Span, right: Span) -> float:
    shared = max(0, min(left[1], right[1]) - max(left[0], right[0]))
    union = (left[1] - left[0]) + (right[1] - right[0]) - shared
    return shared / union if union else 0.0


def _correlation(
    correlation: Any, gold: npt.NDArray[np.float64], predicted: npt.NDArray[np.float64]
) -> float | None:
    if len(gold) < 2:
        return None
    with warnings.catch_warnings():
        # SciPy says by a warning that a side is constant, or so nearly that r is rounding noise.
        warnings.simplefilter("error", DegenerateDataWarning)
        try:
            return float(correlation(gold, predicted).statistic)
        except DegenerateDataWarning:
            return None


def _scores_of_no_rows(classes: Sequence[str]) -> dict[str, Any]:
    per_class = {
        name: {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0} for name in classes
    }
    averages = ("accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc")
    return {
        **dict.fromkeys(averages),
        "per_class": per_class,
        "confusion": [[0] * len(classes) for _ in classes],
        **_positive(per_class, classes),
    }


def _positive(per_class: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    if len(classes) != 2:
        return {}
    last = per_class[classes[-1]]
    return {"positive": {name: last[name] for name in ("precision", "recall", "f1")}}


def _check_same_rows(where: str, gold: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> None:
    if gold.shape != predicted.shape or gold.ndim != 1:
        raise ValueError(
            f"{where}: gold has shape {gold.shape!r} and predicted {predicted.shape!r}: "
            "both must be (rows,)"
        )


def _check_same_count(where: str, what: str, expected: int, found: int) -> None:
    if found != expected:
        raise ValueError(f"{where}: {found!r} {what} for {expected!r} in gold: give one for each")
