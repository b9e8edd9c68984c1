"""Trainings: the students that a report sets side by side, with their answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.errors import InputError
from kd.report.answers import FinishedRun, TaskAnswers, check_same_rows, read_answers
from kd.study import study_scores
from kd.study_arms import ARMS, arms_of


@dataclass(frozen=True)
class Training:
    """One student's answers: its arm, its seed, and task → answers."""

    arm: str
    seed: int
    tasks: dict[str, TaskAnswers]


def trainings_of(finished: FinishedRun, others: Sequence[FinishedRun]) -> list[Training]:
    """The run's own student, those of its study, and those of other runs, in the arms' order.

    Raises InputError when another run divides its rows otherwise.
    """
    number = {name: row for row, name in enumerate(finished.test["id"])}
    found: dict[tuple[str, int], dict[str, TaskAnswers]] = {}
    for one in study_scores(finished.run):
        if one.split == "test":
            spec = finished.tasks[one.task].spec
            answers = read_answers(one.folder.predictions, spec, number)
            found.setdefault((one.arm, one.seed), {})[one.task] = answers
    found.setdefault((own_arm(finished), finished.config.student_seed), finished.tasks)
    names = labels(finished, others)
    for name, other in zip(names, others, strict=True):
        check_same_rows(finished, other)
        found[name, other.config.student_seed] = other.tasks
    order = [*arms_of(finished.config), *names]
    return sorted(
        (Training(arm, seed, tasks) for (arm, seed), tasks in found.items()),
        key=lambda training: (order.index(training.arm), training.seed),
    )


def own_arm(finished: FinishedRun) -> str:
    """The arm of the study that the run's own student belongs to."""
    objective = finished.config.training.objective
    return "multi" if objective == "gold" else objective


def labels(finished: FinishedRun, others: Sequence[FinishedRun]) -> list[str]:
    """What other runs are called: by their folders' names, where those are taken by their paths.

    Raises InputError when a folder is given twice.
    """
    folders = [run.run.path.resolve() for run in (finished, *others)]
    if len(set(folders)) < len(folders):
        raise InputError("kd report: a run is given twice: give each folder once")
    names = [folder.name for folder in folders]
    return [
        name if names.count(name) == 1 and name not in ARMS else str(other.run.path)
        for name, other in zip(names[1:], others, strict=True)
    ]
