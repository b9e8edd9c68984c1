"""The audit of a teacher before a student learns from it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.metrics import f1_score

from data.errors import InputError
from data.tasks import TaskSpec, load_tasks
from teachers.soft_targets import SoftTargets


def check_classes(teacher: Path, spec: TaskSpec) -> None:
    """Raise InputError when a teacher answers another task, or orders its classes otherwise.

    A label order that differs teaches the student the wrong classes without any error.
    """
    tasks = {task.name: task for task in load_tasks(teacher)}
    if spec.name not in tasks:
        raise InputError(
            f"{teacher}: answers {', '.join(tasks)}, not {spec.name!r}: run kd teach again"
        )
    if tasks[spec.name].classes != spec.classes:
        raise InputError(
            f"{teacher}: its classes are {list(tasks[spec.name].classes)}, the config's are "
            f"{list(spec.classes)}: give the same classes in the same order, or run kd teach again"
        )


def check_fresh(targets: SoftTargets, path: Path, expected: str) -> None:
    """Raise InputError when soft targets were made by another teacher or for other rows."""
    if targets.fingerprint != expected:
        raise InputError(
            f"{path}: is stale: the teacher, its tokenizer, the rows or max_tokens changed since: "
            f"run kd label again"
        )


def findings(
    spec: TaskSpec, gold: npt.NDArray[np.float32], logits: npt.NDArray[np.float32]
) -> list[str]:
    """What is suspicious but legal, one sentence each, with the number and the cure.

    gold, logits: (N, C) of rows with a gold target.
    """
    if not len(gold):
        return []
    if spec.kind == "regression":
        spread = float(logits.std()) if len(logits) else 0.0
        if spread < 1e-3:
            return [f"its values hardly differ (standard deviation {spread:.1e}): train it longer"]
        return []
    answers, truth = logits.argmax(axis=1), gold.argmax(axis=1)
    said = [name for index, name in enumerate(spec.classes) if (answers == index).any()]
    found = []
    if len(said) == 1:
        found.append(
            f"it says {said[0]!r} for every row: raise epochs, learning_rate or class_weights"
        )
    elif len(said) < len(spec.classes):
        never = ", ".join(name for name in spec.classes if name not in said)
        found.append(f"it never says {never}: set class_weights: balanced, or add rows of it")
    labels = np.arange(len(spec.classes))
    majority = np.full_like(truth, np.bincount(truth, minlength=len(labels)).argmax())
    own, constant = (
        float(f1_score(truth, side, labels=labels, average="macro", zero_division=0))
        for side in (answers, majority)
    )
    if own < constant + 0.02:
        found.append(
            f"its macro-F1 {own:.3f} is that of a constant answer ({constant:.3f}): "
            f"it was not fine-tuned, or its labels are permuted"
        )
    return found
