"""Two finished runs side by side: settings, paired tests of the students, answers that flipped."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kd.atomic import new_file
from kd.config_file import changes
from kd.report.answers import TaskAnswers, check_same_rows, read_run
from kd.report.measures import compare_on, mcnemar_of, measures_of
from kd.statistics import Comparison


@dataclass(frozen=True)
class Flips:
    """Test rows on which the two students answer differently, by which of them is right."""

    won: int
    lost: int
    both_wrong: int


@dataclass(frozen=True)
class TaskComparison:
    """One task on one measure: both students with intervals and tests, and the flips.

    p_mcnemar and flips are None but for the macro-F1.
    """

    task: str
    measure: str
    scores: Comparison | None
    p_mcnemar: float | None
    flips: Flips | None


@dataclass(frozen=True)
class RunComparison:
    """settings: the keys that differ, with both values."""

    settings: list[tuple[str, Any, Any]]
    tasks: list[TaskComparison]


def compare_runs(first: Path, second: Path, *, flips: Path | None = None) -> RunComparison:
    """Compare the students of two runs on the same test rows.

    flips: a CSV to write, a line a row whose answer differs: task, id, gold and both answers.
    Raises InputError when the runs have other rows or tasks.
    """
    one, two = read_run(first), read_run(second)
    check_same_rows(one, two)
    names = list(one.tasks)
    if flips is not None:
        _write_flips(flips, [(one.tasks[name], two.tasks[name]) for name in names])
    return RunComparison(
        settings=changes(one.config.model_dump(mode="json"), two.config.model_dump(mode="json")),
        tasks=[
            _compared(one.tasks[name], two.tasks[name], measure, one.config.seed)
            for name in names
            for measure in measures_of(one.tasks[name])
        ],
    )


def _compared(one: TaskAnswers, two: TaskAnswers, measure: str, seed: int) -> TaskComparison:
    before, after = one.models["student"], two.models["student"]
    flips = None
    if measure == "macro_f1":
        was_right, is_right = before.predicted == one.gold, after.predicted == one.gold
        differs = before.predicted != after.predicted
        flips = Flips(
            won=int((is_right & ~was_right).sum()),
            lost=int((was_right & ~is_right).sum()),
            both_wrong=int((differs & ~was_right & ~is_right).sum()),
        )
    scores = compare_on(measure, one, [before], [after], seed=seed)
    p_value = mcnemar_of(one, before, after) if flips else None
    return TaskComparison(one.spec.name, measure, scores, p_value, flips)


def _answers(task: TaskAnswers) -> np.ndarray[Any, Any]:
    return task.models["student"].predicted


def _write_flips(path: Path, tasks: list[tuple[TaskAnswers, TaskAnswers]]) -> None:
    with new_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "id", "gold", "first", "second"])
        for one, two in tasks:
            classes = one.spec.classes
            if one.spec.kind == "regression":
                continue
            for row in np.flatnonzero(_answers(one) != _answers(two)):
                said = (one.gold[row], _answers(one)[row], _answers(two)[row])
                names = [classes[int(index)] for index in said]
                writer.writerow([one.spec.name, one.ids[row], *names])
