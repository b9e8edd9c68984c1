"""Building a report: the sections of finished runs, written as one folder."""

from pathlib import Path

from data.errors import InputError
from kd.atomic import new_folder, write_text
from kd.config_file import dump_config
from kd.report.answers import FinishedRun, read_run
from kd.report.card import model_card
from kd.report.controls import controls_section, own_arm, trainings_of
from kd.report.cost import cost_section, measure, systems_of
from kd.report.examples import examples_of
from kd.report.interference import interference_section
from kd.report.pages import write_pages
from kd.report.provenance import provenance_section
from kd.report.rationales import rationales_section
from kd.report.section import Part, Section
from kd.report.slices import slices_section
from kd.report.tasks import tasks_section
from kd.report.verdict import verdict_section, verdicts

STUDY = "kd study CONFIG --arms single,multi,soft,annealed --seeds 3"
HIDDEN = (
    "Texts are not shown: this run's config has report.examples: false. Set it to true, or give "
    "--examples, where everybody who gets this folder may read them."
)


def make_report(folders: list[Path], target: Path, *, examples: bool | None = None) -> None:
    """Write the report of the first run, the others beside it, atomically.

    examples: whether texts of test rows are shown; None as the first run's config says.
    Raises InputError when a run is not finished, or the target is a folder of something else.
    """
    check_target(target)
    finished, *others = [read_run(folder) for folder in folders]
    shows_examples = finished.config.report.examples if examples is None else examples
    rows = verdicts(finished)
    seed = finished.config.seed
    cost = measure(systems_of(finished, rows, others), finished.test, seed)
    trainings = trainings_of(finished, others)
    verdict = verdict_section(finished, rows, cost)
    sections = [
        verdict,
        controls_section(trainings, own_arm(finished), seed=seed, command=STUDY),
        tasks_section(finished),
        rationales_section(finished),
        cost_section(cost),
        Section("disagreements", "Disagreements", [] if shows_examples else [Part("", [HIDDEN])]),
        slices_section(finished),
        interference_section(finished),
        provenance_section(finished),
    ]
    tables = [table for part in verdict.parts for table in part.tables][:2]
    write_text(finished.run.student / "README.md", model_card(finished, rows, tables))
    with new_folder(target) as folder:
        write_pages(
            folder,
            title=title_of(finished),
            sections=[section for section in sections if section is not None],
            config=dump_config(finished.config),
            examples=examples_of(finished) if shows_examples else None,
        )


def title_of(finished: FinishedRun) -> str:
    """What the report is about."""
    against = ": student against teachers" if finished.has_teachers else ": the student"
    return finished.config.name + against


def check_target(target: Path) -> None:
    """Raise InputError when a report would take the place of something else."""
    if target.is_dir() and any(target.iterdir()) and not (target / "report.json").is_file():
        raise InputError(f"{target}: is a folder of something else: give a new one with --out")
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file: give a folder with --out")
