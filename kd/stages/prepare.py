"""Before the student: the rows, and what it needs of teachers."""

from collections.abc import Callable

from kd.config import Config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder
from kd.stages.data import data_stage
from kd.stages.label import check_outside_teachers, label_stage
from kd.stages.teach import teach_stage


def prepare(
    config: Config, run: RunFolder, say: Callable[[str, object], None], *, with_soft: bool
) -> None:
    """The rows, and what a student needs of teachers: soft targets, the weights it starts from."""
    say("data", data_stage(config, run))
    if with_soft:
        by_main_process(lambda: check_outside_teachers(config, run))
    if with_soft or config.student.start is not None:
        say("teach", teach_stage(config, run))
    if with_soft:
        say("label", label_stage(config, run))
