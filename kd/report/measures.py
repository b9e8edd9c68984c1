"""What models are compared by: each task's main metric, and the token-F1 of its rationales.

Letters: N = rows of a task, S = seeds.
"""

from collections.abc import Sequence

import numpy as np

from kd.metrics import classification_scores, regression_scores
from kd.prediction_files import Answers
from kd.report.answers import TaskAnswers
from kd.statistics import (
    RESAMPLES,
    Comparison,
    compare_macro_f1,
    compare_means,
    compare_pearson,
    mcnemar,
)

RATIONALE = "rationale_token_f1"
NAMES = {
    "macro_f1": "macro-F1",
    "pearson": "Pearson's r",
    RATIONALE: "rationale token-F1, level > 0",
}


def measures_of(task: TaskAnswers) -> list[str]:
    """The task's main metric and, where its students quote words, RATIONALE."""
    has_rationale = task.models["student"].token_f1 is not None
    return [task.spec.selection_metric, *([RATIONALE] if has_rationale else [])]


def score_on(measure: str, task: TaskAnswers, model: str = "student") -> float | None:
    """One model's score; None where it is undefined."""
    answers = task.models[model]
    if measure == RATIONALE:
        assert answers.token_f1 is not None
        chosen = answers.token_f1[task.has_level & np.isfinite(answers.token_f1)]
        return float(chosen.mean()) if len(chosen) else None
    if task.spec.kind == "regression":
        return regression_scores(task.gold, answers.predicted)[measure]
    found: float | None = classification_scores(task.gold, answers.predicted, task.spec.classes)[
        measure
    ]
    return found


def compare_on(
    measure: str,
    task: TaskAnswers,
    first: Sequence[Answers],
    second: Sequence[Answers],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Comparison | None:
    """second − first on the same rows, each the mean over its S models' scores.

    None where it is undefined: with fewer than two rows, or constant values of a regression.
    """
    if measure == RATIONALE:
        scores = [
            np.array([answers.token_f1 for answers in side], dtype=np.float64)
            for side in (first, second)
        ]
        chosen = task.has_level & np.isfinite(np.concatenate(scores)).all(axis=0)
        one, two = (side[:, chosen].mean(axis=0) for side in scores)
        return compare_means(one, two, resamples=resamples, seed=seed)
    one, two = (np.stack([answers.predicted for answers in side]) for side in (first, second))
    if task.spec.kind == "regression":
        return compare_pearson(task.gold, one, two, resamples=resamples, seed=seed)
    classes = len(task.spec.classes)
    return compare_macro_f1(task.gold, one, two, classes, resamples=resamples, seed=seed)


def mcnemar_of(task: TaskAnswers, first: Answers, second: Answers) -> float | None:
    """McNemar's p-value of the two accuracies; None for a regression."""
    if task.spec.kind == "regression":
        return None
    return mcnemar(first.predicted == task.gold, second.predicted == task.gold)
