"""What a finished run holds for a report: its config, scores, and answers on the test rows.

Letters: N = test rows of a task.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from data.errors import InputError
from data.tasks import TaskSpec
from kd.config import Config
from kd.config_file import load_config
from kd.prediction_files import Answers, Labels, read_predictions
from kd.run_folder import RunFolder, check_model
from kd.stages.evaluate import inputs_key


@dataclass(frozen=True)
class TaskAnswers:
    """A task's test rows and what each model says of them.

    rows: (N,) row numbers in the test split. gold: (N,) as `predicted`. models: the keys are
    "student" and, where the run has one, "teacher".
    """

    spec: TaskSpec
    rows: npt.NDArray[np.int64]
    ids: tuple[str, ...]
    gold: Labels
    models: dict[str, Answers]

    @property
    def has_level(self) -> npt.NDArray[np.bool_]:
        """(N,) whether gold is above the lowest class or value."""
        lowest = 0 if self.spec.kind == "classification" else self.spec.low
        return np.asarray(self.gold > lowest)


@dataclass(frozen=True)
class FinishedRun:
    """A run that has been evaluated."""

    run: RunFolder
    config: Config
    metrics: dict[str, Any]
    profile: dict[str, Any]
    test: Dataset
    tasks: dict[str, TaskAnswers]

    @property
    def shown_config(self) -> str:
        """The config's file as a reader may type it; without folders of this machine alone."""
        folder = self.run.path
        return str((Path(folder.name) if folder.is_absolute() else folder) / "config.yaml")

    @property
    def has_teachers(self) -> bool:
        """Whether the teachers' answers are beside the student's."""
        return any("teacher" in task.models for task in self.tasks.values())


def read_run(folder: Path) -> FinishedRun:
    """Read a run's folder.

    Raises InputError when it is none, or when its scores are missing or older than its student.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder}: is no run's folder: give one such as runs/demo")
    if not (folder / "splits").is_dir() and "study" in folder.resolve().parts:
        raise InputError(f"{folder}: is a student of a study: give the run that holds the study")
    config = load_config(folder / "config.yaml")
    run = RunFolder(folder)
    check_model(run.student, "kd distill")
    table, profile = run.load_splits()
    if not run.metrics.is_file():
        raise InputError(f"{run.metrics}: no such file: run kd evaluate with this config first")
    try:
        metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
        inputs = metrics["inputs"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{run.metrics}: was not written by this version of kd evaluate: run it again"
        ) from None
    is_finished = run.is_marked("distill") and run.is_marked("evaluate")
    if not is_finished or inputs != inputs_key(config, run, profile["hash"]):
        raise InputError(
            f"{folder}: its student, rows or settings changed since it was scored: "
            f"run kd distill and kd evaluate with this config again"
        )
    test = table["test"]
    number = {name: row for row, name in enumerate(test["id"])}
    tasks = {spec.name: read_answers(run.predictions, spec, number) for spec in config.specs}
    return FinishedRun(run, config, metrics, profile, test, tasks)


def check_same_rows(one: FinishedRun, two: FinishedRun) -> None:
    """Raise InputError when a test row of one run may be a train row of the other."""
    if one.profile["hash"] != two.profile["hash"]:
        raise InputError(
            f"{two.run.path}: has other rows, tasks or splits than {one.run.path}: runs compare "
            f"with the same data, tasks and seed; vary training.seed in place of seed"
        )


def read_answers(folder: Path, spec: TaskSpec, number: dict[str, int]) -> TaskAnswers:
    """The answers of a task's models from a run's prediction files; number: row id → row."""
    models = {}
    ids: tuple[str, ...] = ()
    gold: Labels = np.empty(0)
    for model in ("student", "teacher"):
        path = folder / f"{model}-{spec.name}-test.csv"
        if model == "teacher" and not path.is_file():
            continue
        ids, gold, models[model] = read_predictions(path, spec)
    return TaskAnswers(spec, np.array([number[name] for name in ids]), ids, gold, models)
