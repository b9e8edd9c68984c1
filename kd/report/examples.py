"""Examples: test rows with both models' answers, for the page's browser.

They hold people's texts: they are made only where the config's report.examples is true.
"""

from typing import Any

import numpy as np

from kd.prediction_files import Answers
from kd.report.answers import FinishedRun, TaskAnswers

LARGEST = 2_000


def examples_of(finished: FinishedRun) -> list[dict[str, Any]]:
    """At most LARGEST rows, those with a disagreement or a mistake first, the tasks in turns.

    Keys: task, id, text, context, gold, quoted (gold spans or None), models: name → answer,
    chance, spans.
    """
    found = []
    for name, answers in finished.tasks.items():
        quoted = finished.test[f"rationale/{name}"] if answers.spec.has_rationale else None
        interest = _interest(answers)
        for order, place in enumerate(np.argsort(-interest, kind="stable")):
            row = int(answers.rows[place])
            found.append({
                "task": name,
                "id": answers.ids[place],
                "text": finished.test["text"][row],
                "context": finished.test["context"][row],
                "gold": _said(answers, answers.gold[place]),
                "quoted": quoted[row] if quoted is not None else None,
                "models": {
                    model: _answer(answers, given, place) for model, given in answers.models.items()
                },
                "rank": (-int(interest[place]), order),
            })  # fmt: skip
    found.sort(key=lambda row: row.pop("rank"))
    return found[:LARGEST]


def _interest(answers: TaskAnswers) -> np.ndarray[Any, Any]:
    """(N,) 2 where the models differ, 1 where the student is wrong like its teacher, else 0."""
    student = answers.models["student"].predicted
    teacher = answers.models.get("teacher", answers.models["student"]).predicted
    if answers.spec.kind == "regression":
        return np.zeros(len(student), dtype=np.int64)
    return np.where(student != teacher, 2, np.where(student != answers.gold, 1, 0))


def _answer(answers: TaskAnswers, given: Answers, place: int) -> dict[str, Any]:
    return {
        "answer": _said(answers, given.predicted[place]),
        "chance": float(given.chances[place].max()) if given.chances.size else None,
        "spans": given.spans[place] if given.spans is not None else None,
    }


def _said(answers: TaskAnswers, value: Any) -> str:
    spec = answers.spec
    return spec.classes[int(value)] if spec.kind == "classification" else f"{value:.3f}"
