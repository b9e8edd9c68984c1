"""The commands of one stage each: kd data | teach | label | distill | evaluate."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from data.errors import InputError
from kd.cli_options import ConfigFile, Overrides, Overwrite, Runs, open_run, out, say


def data(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    table: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="write id, split, tasks, text and context of every row, for teachers outside",
        ),
    ] = None,
    masked: Annotated[
        bool, typer.Option("--masked", help="in that table, also each text without its rationales")
    ] = False,
) -> None:
    """Read and check the files, write leak-free splits, print the profile."""
    if masked and table is None:
        raise InputError("--masked: adds columns to a table: give --table FILE.csv")
    loaded, run = open_run(config, overrides, runs, overwrite)
    from kd import show
    from kd.hardware import by_main_process, processes
    from kd.stages.data import data_stage, write_rows

    say("data", data_stage(loaded, run))
    if table is not None:
        rows = run.load_splits()[0]
        by_main_process(partial(write_rows, rows, list(loaded.tasks), table, with_masked=masked))
    if processes().is_main_process:
        show.print_profile(out, run.load_splits()[1])


def teach(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
) -> None:
    """Fine-tune one teacher a task."""
    loaded, run = open_run(config, overrides, runs, overwrite)
    from kd.stages.data import data_stage
    from kd.stages.teach import teach_stage

    say("data", data_stage(loaded, run))
    say("teach", teach_stage(loaded, run))


def label(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
) -> None:
    """Write what each teacher says of every row of its task."""
    loaded, run = open_run(config, overrides, runs, overwrite)
    from kd.stages.data import data_stage
    from kd.stages.label import label_stage

    say("data", data_stage(loaded, run))
    say("label", label_stage(loaded, run))


def distill(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
) -> None:
    """Train the student on gold and soft targets."""
    loaded, run = open_run(config, overrides, runs, overwrite)
    from kd.stages.data import data_stage
    from kd.stages.distill import distill_stage

    say("data", data_stage(loaded, run))
    say("distill", distill_stage(loaded, run))


def evaluate(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    sharma2020: Annotated[
        bool, typer.Option("--sharma2020", help="add the 2020 rationale metric, faults included")
    ] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="rows the student reads at once")
    ] = None,
) -> None:
    """Score teachers and student on dev and test, beside the baselines."""
    loaded, run = open_run(config, overrides, runs, overwrite)
    from kd import show
    from kd.hardware import processes
    from kd.stages.data import data_stage
    from kd.stages.evaluate import evaluate_stage

    say("data", data_stage(loaded, run))
    say("evaluate", evaluate_stage(loaded, run, sharma2020=sharma2020, batch_size=batch_size))
    if processes().is_main_process:
        show.print_results(out, run.metrics)
