"""Stage report: the comparison of teachers and student as a folder to open in a browser."""

from kd.config import Config
from kd.hardware import by_main_process
from kd.run_folder import RunFolder, content_key, settings_key


def report_stage(config: Config, run: RunFolder) -> bool:
    """Write RUN/report and the student's model card unless they are there; True when it ran."""
    scores = [run.metrics, *sorted(run.path.glob("study/**/metrics.json"))]
    key = content_key(settings_key(config.report), files=scores)
    if not (run.report / "index.html").is_file():
        run.forget("report")

    def write() -> None:
        from kd.report.build import make_report  # charts take seconds to import

        by_main_process(lambda: make_report([run.path], run.report, with_card=True))

    return run.once("report", key, write, result=run.student / "README.md")
