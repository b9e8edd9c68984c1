"""What keeps a student from learning from a teacher: other classes, answers that are stale."""

from pathlib import Path

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
