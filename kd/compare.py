"""Two finished runs side by side: settings, paired tests of the students, answers that flipped."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import InputError
from kd.atomic import new_file
from kd.config_file import changes
from kd.report.answers import TaskAnswers, check_same_rows, read_run
from kd.report.verdict import compare_answers
from kd.statistics import Comparison, mcnemar


@dataclass(frozen=True)
class Flips:
    """Test rows on which the two students answer differently, by which of them is right."""

    won: int
    lost: int
    both_wrong: int


@dataclass(frozen=True)
class TaskComparison:
    """One task: the main metric of both students with intervals and tests, and the flips.

    p_mcnemar and flips are None for a regression task.
    """

    task: str
    metric: str
    scores: Comparison | None
    p_mcnemar: float | None
    flips: Flips | None


@dataclass(frozen=True)
class RunComparison:
    """settings: the keys that differ, with both values. tasks: those that both runs have."""

    settings: list[tuple[str, Any, Any]]
    tasks: list[TaskComparison]


def compare_runs(first: Path, second: Path, *, flips: Path | None = None) -> RunComparison:
    """Compare the students of two runs on the same test rows.

    flips: a CSV to write, a line a row whose answer differs: task, id, gold and both answers.
    Raises InputError when the runs divide their rows differently, or share no task.
    """
    one, two = read_run(first), read_run(second)
    check_same_rows(one, two)
    names = [name for name in one.tasks if name in two.tasks]
    if not names:
        raise InputError(f"{first} and {second}: have no task in common")
    for name in names:
        if one.tasks[name].spec.classes != two.tasks[name].spec.classes:
            raise InputError(f"task {name!r}: has other classes in {second} than in {first}")
    if flips is not None:
        _write_flips(flips, [(one.tasks[name], two.tasks[name]) for name in names])
    return RunComparison(
        settings=changes(one.config.model_dump(mode="json"), two.config.model_dump(mode="json")),
        tasks=[_compared(one.tasks[name], two.tasks[name], one.config.seed) for name in names],
    )


def _compared(one: TaskAnswers, two: TaskAnswers, seed: int) -> TaskComparison:
    is_class = one.spec.kind == "classification"
    p_value = flips = None
    if is_class:
        before, after = _answers(one), _answers(two)
        was_right, is_right = before == one.gold, after == one.gold
        p_value = mcnemar(was_right, is_right)
        flips = Flips(
            won=int((is_right & ~was_right).sum()),
            lost=int((was_right & ~is_right).sum()),
            both_wrong=int(((before != after) & ~was_right & ~is_right).sum()),
        )
    scores = compare_answers(one.spec, one.gold, _answers(one), _answers(two), seed=seed)
    return TaskComparison(one.spec.name, one.spec.selection_metric, scores, p_value, flips)


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
