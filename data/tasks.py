"""TaskSpec: what a task asks, how its cells become targets and its logits become answers.

Letters: C = classes (1 for regression).
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.errors import InputError, shown

Kind = Literal["classification", "regression"]
TASKS_FILE = "tasks.json"


@dataclass(frozen=True)
class TaskSpec:
    """One task: its name, kind, classes, inputs, and whether its rows carry rationales.

    `low` and `high` are the ends of a regression scale; targets are scaled to [0, 1].
    """

    name: str
    kind: Kind = "classification"
    classes: tuple[str, ...] = ()
    has_context: bool = False
    has_rationale: bool = False
    low: float = 0.0
    high: float = 1.0

    @property
    def width(self) -> int:
        """C, the number of logits of the task's head."""
        return len(self.classes) if self.kind == "classification" else 1

    @property
    def selection_metric(self) -> str:
        """The one metric that picks the best checkpoint of this task."""
        return "macro_f1" if self.kind == "classification" else "pearson"

    def encode(self, cell: str) -> list[float]:
        """A class name as a one-hot row (C,), or a number scaled to [0, 1] as a row (1,).

        Raises InputError without the place; the caller, who knows it, adds file and line.
        """
        if self.kind == "classification":
            if cell not in self.classes:
                raise InputError(
                    f"{shown(cell)} is not a class of task {self.name!r}: "
                    f"choose from {', '.join(self.classes)}"
                )
            return [1.0 if name == cell else 0.0 for name in self.classes]
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not self.low <= value <= self.high:
            raise InputError(
                f"{shown(cell)} is not a value of task {self.name!r}: "
                f"give a number from {self.low:g} to {self.high:g}"
            )
        return [(value - self.low) / (self.high - self.low)]

    def decode(self, logits: npt.NDArray[np.floating]) -> str | float:
        """The class name of the largest of (C,) logits, or the value on the task's own scale."""
        if self.kind == "classification":
            return self.classes[int(np.argmax(logits))]
        return self.low + float(logits[0]) * (self.high - self.low)


def save_tasks(tasks: list[TaskSpec], folder: Path) -> None:
    """Write the tasks to `tasks.json` in a model's folder."""
    text = json.dumps([asdict(task) for task in tasks], indent=2)
    (folder / TASKS_FILE).write_text(text + "\n", encoding="utf-8")


def load_tasks(folder: Path) -> list[TaskSpec]:
    """Read the tasks of a model's folder.

    Raises InputError when the folder holds no `tasks.json`, or a damaged one.
    """
    path = folder / TASKS_FILE
    if not path.is_file():
        raise InputError(f"{folder}: holds no {TASKS_FILE}: give a model folder written by kd")
    # An export's file says more of each task: how its graph is to be fed.
    known = {field.name for field in fields(TaskSpec)}
    try:
        return [
            TaskSpec(
                **{key: row[key] for key in row.keys() & known} | {"classes": tuple(row["classes"])}
            )
            for row in json.loads(path.read_text(encoding="utf-8"))
        ]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{path}: is damaged: copy the model's folder again") from None
