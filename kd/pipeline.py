"""The pipeline: the stages of a run in order."""

from collections.abc import Callable

from kd.config import Config
from kd.run_folder import RunFolder
from kd.stages.data import data_stage
from kd.stages.distill import distill_stage, needs_teachers
from kd.stages.evaluate import evaluate_stage
from kd.stages.label import label_stage
from kd.stages.report import report_stage
from kd.stages.teach import teach_stage


def run_all(config: Config, run: RunFolder, say: Callable[[str, object], None]) -> None:
    """Every stage in order; `say` is told each stage's name and what ran in it.

    An objective without teachers skips teach and label.
    """
    prepare(config, run, say, with_soft=needs_teachers(config))
    say("distill", distill_stage(config, run))
    say("evaluate", evaluate_stage(config, run))
    say("report", report_stage(config, run))


def prepare(
    config: Config, run: RunFolder, say: Callable[[str, object], None], *, with_soft: bool
) -> None:
    """The rows, and what a student needs of teachers: soft targets, the weights it starts from."""
    say("data", data_stage(config, run))
    if with_soft or config.student.start is not None:
        say("teach", teach_stage(config, run))
    if with_soft:
        say("label", label_stage(config, run))
