"""The pipeline: the stages of a run in order."""

from collections.abc import Callable

from kd.config import Config
from kd.run_folder import RunFolder
from kd.stages.distill import distill_stage
from kd.stages.evaluate import evaluate_stage
from kd.stages.prepare import prepare
from kd.stages.report import report_stage


def run_all(config: Config, run: RunFolder, say: Callable[[str, object], None]) -> None:
    """Every stage in order; `say` is told each stage's name and what ran in it.

    An objective without teachers skips teach and label.
    """
    prepare(config, run, say, [config])
    say("distill", distill_stage(config, run))
    say("evaluate", evaluate_stage(config, run))
    say("report", report_stage(config, run))
