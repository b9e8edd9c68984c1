"""Before the students: the rows, and what they need of teachers."""

from collections.abc import Callable, Iterable, Sequence

from kd.config import Config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder
from kd.stages.data import data_stage
from kd.stages.distill import needs_teachers, start_model
from kd.stages.label import check_outside_teachers, label_stage
from kd.stages.teach import teach_stage


def prepare(
    config: Config, run: RunFolder, say: Callable[[str, object], None], students: Sequence[Config]
) -> None:
    """The rows, and what these students need of teachers: soft targets, weights to start from.

    Raises InputError, before a teacher is trained, when a student can't be built.
    """
    with_soft = any(map(needs_teachers, students))
    say("data", data_stage(config, run))
    by_main_process(lambda: check_students(students, run))
    if with_soft:
        by_main_process(lambda: check_outside_teachers(config, run))
    if with_soft or any(each.student.start is not None for each in students):
        say("teach", teach_stage(config, run))
    if with_soft:
        say("label", label_stage(config, run))


def check_students(students: Iterable[Config], run: RunFolder) -> None:
    """Build each student of another shape, and keep none; not those that start from a teacher."""
    built = []
    for each in students:
        shape = (each.student, each.data.max_tokens, each.specs)
        if each.student.start is None and shape not in built:
            start_model(each, run)
            built.append(shape)
