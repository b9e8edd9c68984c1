"""Offer kd.metrics as `evaluate` metrics, built directly and so without network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

# Importing evaluate takes seconds: no other file imports this one at its top.
import datasets
import evaluate
import numpy as np

from kd import metrics


class ClassificationScores(evaluate.Metric):  # type: ignore[misc]
    """metrics.classification_scores; compute needs classes, the class names in index order."""

    def _info(self) -> evaluate.MetricInfo:
        return _info(metrics.classification_scores.__doc__, datasets.Value("int64"))

    def _compute(
        self, predictions: Sequence[int], references: Sequence[int], classes: Sequence[str]
    ) -> dict[str, Any]:
        return metrics.classification_scores(
            np.asarray(references, dtype=np.int64), np.asarray(predictions, dtype=np.int64), classes
        )


class RegressionScores(evaluate.Metric):  # type: ignore[misc]
    """metrics.regression_scores."""

    def _info(self) -> evaluate.MetricInfo:
        return _info(metrics.regression_scores.__doc__, datasets.Value("float64"))

    def _compute(
        self, predictions: Sequence[float], references: Sequence[float]
    ) -> dict[str, float | None]:
        return metrics.regression_scores(
            np.asarray(references, dtype=np.float64), np.asarray(predictions, dtype=np.float64)
        )


class RationaleScores(evaluate.Metric):  # type: ignore[misc]
    """metrics.rationale_scores; a row is a list of bool, one for each real token."""

    def _info(self) -> evaluate.MetricInfo:
        bools = datasets.Sequence(datasets.Value("bool"))
        return _info(metrics.rationale_scores.__doc__, bools)

    def _compute(
        self, predictions: Sequence[Sequence[bool]], references: Sequence[Sequence[bool]]
    ) -> metrics.Scores:
        return metrics.rationale_scores(
            [np.asarray(row, dtype=bool) for row in references],
            [np.asarray(row, dtype=bool) for row in predictions],
        )


def _info(docstring: str | None, feature: Any) -> evaluate.MetricInfo:
    return evaluate.MetricInfo(
        description=docstring or "",
        citation="",
        inputs_description="predictions and references: one a row, in the same order",
        features=datasets.Features({"predictions": feature, "references": feature}),
    )
