"""Building a report: the sections of finished runs, written as one folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data.errors import InputError
from kd.atomic import new_folder, write_text
from kd.config_file import dump_config
from kd.report.answers import FinishedRun, read_run
from kd.report.card import model_card
from kd.report.controls import controls_section
from kd.report.cost import cost_section, hearing_teachers, measure, outside_teachers, systems_of
from kd.report.examples import disagreements, examples_of
from kd.report.exported import exported_systems
from kd.report.interference import interference_section
from kd.report.pages import FILES, write_pages
from kd.report.provenance import provenance_section
from kd.report.rationales import rationales_section
from kd.report.section import Part, Section
from kd.report.slices import slices_section
from kd.report.tasks import tasks_section
from kd.report.trainings import labels, own_arm, trainings_of
from kd.report.verdict import verdict_section, verdicts
from kd.stages.distill import needs_teachers

HIDDEN = (
    "Texts are not shown. Where everybody who gets this folder may read them, set report.examples: "
    "true in the config, or give kd report --examples."
)


def make_report(
    folders: Sequence[Path],
    target: Path,
    *,
    examples: bool | None = None,
    margin: float | None = None,
    with_card: bool = False,
) -> None:
    """Write the report of the first run, the others beside it, atomically.

    examples and margin: None as the first run's config says. with_card: also the model card in
    the student's folder. Raises InputError when a run is not finished, or the target is a folder of
    something else.
    """
    check_target(target)
    finished, *others = [read_run(folder) for folder in folders]
    settings = finished.config.report
    settings = settings.model_copy(
        update={
            "examples": settings.examples if examples is None else examples,
            "margin": settings.margin if margin is None else margin,
        }
    )
    finished = replace(finished, config=finished.config.model_copy(update={"report": settings}))
    rows = verdicts(finished)
    seed = finished.config.seed
    trainings = trainings_of(finished, others)
    named = dict(zip(labels(finished, others), others, strict=True))
    systems = [*systems_of(finished, rows, named), *exported_systems(finished)]
    with_teachers = finished.has_teachers or needs_teachers(finished.config)
    outside = outside_teachers(finished) if with_teachers else ()
    hearing = hearing_teachers(finished) if with_teachers else ()
    cost = measure(systems, finished.test, seed, outside, hearing)
    verdict = verdict_section(finished, rows, cost)
    study = f"kd study {finished.shown_config} --arms single,multi,annealed --seeds 3"
    sections = [
        verdict,
        controls_section(trainings, own_arm(finished), seed=seed, command=study),
        tasks_section(finished),
        rationales_section(finished),
        cost_section(cost),
        Section(
            "disagreements", "Disagreements",
            [] if settings.examples else [Part("", [HIDDEN])], disagreements(finished),
        ),
        slices_section(finished),
        interference_section(finished),
        provenance_section(finished),
    ]  # fmt: skip
    with new_folder(target) as folder:
        write_pages(
            folder,
            title=title_of(finished),
            sections=[section for section in sections if section is not None],
            config=dump_config(finished.config),
            examples=examples_of(finished) if settings.examples else None,
        )
    if with_card:
        parameters = next(s["parameters"] for s in cost["systems"] if s["name"] == "student")
        card = model_card(finished, rows, verdict.parts[0].tables[0], parameters)
        write_text(finished.run.student / "README.md", card)


def title_of(finished: FinishedRun) -> str:
    """What the report is about."""
    against = ": student against teachers" if finished.has_teachers else ": the student"
    return finished.config.name + against


def check_target(target: Path) -> None:
    """Raise InputError when a report would take the place of something else."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target}: is a file: give a folder with --out")
    strays = (
        [path for path in target.iterdir() if path.name not in FILES] if target.exists() else []
    )
    if strays:
        raise InputError(
            f"{target}: holds {strays[0].name!r}, which is no part of a report: give --out a new "
            f"folder, or one that holds a report alone"
        )
