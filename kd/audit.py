"""The audit of a teacher: what is suspicious in its answers before a student learns from them."""

import numpy as np
import numpy.typing as npt

from data.encoding import Floats
from data.tasks import TaskSpec
from kd.metrics import classification_scores, regression_scores

# With less a correlation is nearly none.
LEAST_CORRELATION = 0.1


def findings(spec: TaskSpec, gold: Floats, logits: Floats) -> list[str]:
    """What is suspicious but legal, one sentence each, with the number and the cure.

    gold, logits: (N, C) of rows with a gold target.
    """
    if not len(gold):
        return []
    return (
        _of_values(spec, gold, logits)
        if spec.kind == "regression"
        else _of_classes(spec, gold.argmax(axis=1), logits.argmax(axis=1))
    )


def _of_values(spec: TaskSpec, gold: Floats, values: Floats) -> list[str]:
    """gold, values: (N, 1) on the scale from 0 to 1."""
    spread = float(values.std())
    if spread < 1e-3:
        return [f"its values hardly differ (standard deviation {spread:.1e}): train it longer"]
    found = []
    outside = int(((values < 0) | (values > 1)).sum())
    if outside > len(values) / 10:
        found.append(
            f"{outside} of its {len(values)} values are not from {spec.low:g} to {spec.high:g}: "
            f"it answers on another scale, or was not fine-tuned"
        )
    sides = (side[:, 0].astype(np.float64) for side in (gold, values))
    correlation = regression_scores(*sides)["pearson"]
    if correlation is not None and correlation < LEAST_CORRELATION:
        found.append(
            f"its values correlate with gold by {correlation:.2f}: it was not fine-tuned, or its "
            f"scale is turned round"
        )
    return found


def _of_classes(
    spec: TaskSpec, truth: npt.NDArray[np.int64], answers: npt.NDArray[np.int64]
) -> list[str]:
    """truth, answers: (N,) indices into the classes."""
    said = [name for index, name in enumerate(spec.classes) if (answers == index).any()]
    found = []
    if len(said) == 1:
        found.append(
            f"it says {said[0]!r} for every row: raise epochs, learning_rate or class_weights"
        )
    elif len(said) < len(spec.classes):
        never = ", ".join(name for name in spec.classes if name not in said)
        found.append(f"it never says {never}: set class_weights: balanced, or add rows of it")
    majority = np.full_like(truth, np.bincount(truth).argmax())
    own, constant = (
        classification_scores(truth, side, spec.classes)["macro_f1"] for side in (answers, majority)
    )
    if own < constant + 0.02:
        found.append(
            f"its macro-F1 {own:.3f} is that of a constant answer ({constant:.3f}): "
            f"it was not fine-tuned, or its labels are permuted"
        )
    return found
