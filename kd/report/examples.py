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

    Where there are more, disagreements, shared mistakes and the rest get equal shares of them.

    Keys: task, kind, id, text, context, gold, quoted (gold spans or None), models: name → answer,
    chance, spans.
    """
    ranked = [
        (-interest, order, name, int(place))
        for name, answers in finished.tasks.items()
        for interest in (2, 1, 0)
        for order, place in enumerate(np.flatnonzero(_interest(answers) == interest))
    ]
    return [_example(finished, finished.tasks[name], place) for *_, name, place in _shares(ranked)]


def disagreements(finished: FinishedRun) -> dict[str, dict[str, int]]:
    """task → how many test rows the models differ on, and both get wrong alike; no text."""
    found = {}
    for name, answers in finished.tasks.items():
        interest = _interest(answers)
        found[name] = {
            "rows": len(interest),
            "differ": int((interest == 2).sum()),
            "wrong_alike": int((interest == 1).sum()),
        }
    return found


def _shares(ranked: list[tuple[int, int, str, int]]) -> list[tuple[int, int, str, int]]:
    """At most LARGEST, as many of each interest as there is room for."""
    kinds = [sorted(row for row in ranked if row[0] == kind) for kind in (-2, -1, 0)]
    room = LARGEST
    chosen: list[list[tuple[int, int, str, int]]] = []
    for rows in sorted(kinds, key=len):
        share = room // (len(kinds) - len(chosen))
        chosen.append(rows[:share])
        room -= len(chosen[-1])
    return sorted(row for rows in chosen for row in rows)


def _example(finished: FinishedRun, answers: TaskAnswers, place: int) -> dict[str, Any]:
    name = answers.spec.name
    row = finished.test[int(answers.rows[place])]
    return {
        "task": name,
        "kind": answers.spec.kind,
        "id": answers.ids[place],
        "text": row["text"],
        "context": row["context"],
        "gold": _said(answers, answers.gold[place]),
        "quoted": row[f"rationale/{name}"] if answers.spec.has_rationale else None,
        "models": {
            model: _answer(answers, given, place) for model, given in answers.models.items()
        },
    }


def _interest(answers: TaskAnswers) -> np.ndarray[Any, Any]:
    """(N,) 2 where the models differ, 1 where the student is wrong like its teacher, else 0.

    Values of a regression differ by more than a tenth of the scale, and are wrong by as much.
    """
    student = answers.models["student"].predicted
    teacher = answers.models.get("teacher", answers.models["student"]).predicted
    if answers.spec.kind == "regression":
        tenth = (answers.spec.high - answers.spec.low) / 10
        is_far, is_wrong = (np.abs(student - other) > tenth for other in (teacher, answers.gold))
        return np.where(is_far, 2, np.where(is_wrong, 1, 0))
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
