"""The command line: the commands of one stage each, and of whole runs, reports and answers."""

import logging
import os
import random
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

# No telemetry, and no hub look-up that a local encoder does not need.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# Threads that spin while they wait burn the other processes' time; set before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Of transformers and datasets neither warnings nor bars: ours say what is to be known. They read
# this when they are imported.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import typer

from data.errors import InputError
from kd.adapt_command import adapt
from kd.annotation_commands import collect, kappa
from kd.cli_options import ConfigFile, Overrides, Overwrite, Runs, open_run, out, say
from kd.config_file import load_config
from kd.export.command import export
from kd.page.command import demo
from kd.predict_command import predict
from kd.shrink_command import shrink
from kd.stage_commands import data, distill, evaluate, label, teach
from kd.stopped import Stopped
from kd.study_arms import ARMS, USUAL, named_arms
from kd.transfer_command import transfer
from kd.tune_command import tune

app = typer.Typer(
    add_completion=False,
    # Its tracebacks can show local variables, and those hold people's posts.
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Distil single-task teachers of empathy, emotion and sentiment into one student.",
)


def _version(asked: bool) -> None:
    if asked:
        out.print(f"kd-empathy {version('kd-empathy')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="print it and end")
    ] = False,
) -> None:
    """What is asked of kd itself."""


def run(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print what would be done, do nothing")
    ] = False,
) -> None:
    """All stages in order; what is finished with the same inputs is skipped."""
    if dry_run:
        planned = load_config(config, overrides or ())
        from kd.dry_run import describe

        describe(out, planned)
        return
    loaded, folder = open_run(config, overrides, runs, overwrite)
    from kd import show
    from kd.hardware import processes
    from kd.pipeline import run_all

    run_all(loaded, folder, say)
    if processes().is_main_process:
        show.print_results(out, folder.metrics)
        out.print(f"report: {folder.report / 'index.html'}", markup=False)


def study(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    arms: Annotated[
        str | None,
        typer.Option(
            metavar="A,B…",
            help=f"of {', '.join(ARMS)} and the config's study.arms "
            f"[default: study.arms, without those {','.join(USUAL)}]",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="of each arm: the run's, the next … [default: study.seeds, 3]"),
    ] = None,
) -> None:
    """Train students that differ in one thing each, several seeds each, and compare them.

    single: a student a task, gold only; multi: all tasks, gold only; soft: the teachers alone;
    mixed: a fixed gold_weight; annealed: teacher to gold; ce+kl: the loss on gold plus the
    divergence from the teachers. study.arms names arms of one's own. More arms or seeds are added
    to those that are there.
    """
    loaded = load_config(config, overrides or ())
    chosen = named_arms(arms, loaded)
    loaded, folder = open_run(config, overrides, runs, overwrite)
    count = loaded.study.seeds if seeds is None else seeds
    from kd import show
    from kd.hardware import processes
    from kd.study import run_study, study_scores
    from kd.study_table import study_tables, write_study_tables

    run_study(loaded, folder, chosen, count, overwrite=overwrite, say=say)
    if processes().is_main_process:
        scores = study_scores(folder)
        show.print_study(out, scores)
        if loaded.study.arms:
            tables = study_tables(loaded, folder, scores)
            write_study_tables(loaded, folder.path / "study", tables)
            show.print_study_tables(out, loaded, tables)
            out.print(f"tables: {folder.path / 'study'}", markup=False)
        if (folder.student / "model.safetensors").is_file():
            out.print(f"with intervals: kd report {folder.path}", markup=False)
        else:
            out.print(f"a report needs the run's own student: kd run {config}", markup=False)


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN [RUN …]", help="folders of finished runs")
    ],
    folder: Annotated[
        Path | None, typer.Option("--out", help="where to write it [default: RUN/report]")
    ] = None,
    examples: Annotated[
        bool | None,
        typer.Option(help="show texts of test rows [default: as report.examples in the config]"),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1, help="the loss that is no worse [default: report.margin]"),
    ] = None,
) -> None:
    """Write the comparison of the first run's student with its teachers as a page for a browser.

    Other runs, on the same rows, and the arms of kd study stand beside it.
    """
    from kd.hardware import by_main_process, processes
    from kd.report.build import make_report
    from kd.run_folder import RunFolder

    target = folder or runs[0] / "report"

    def write() -> None:
        # kd run makes its own again, as its config says.
        RunFolder(runs[0]).forget("report")
        make_report(runs, target, examples=examples, margin=margin)

    by_main_process(write)
    if processes().is_main_process:
        out.print(f"{target / 'index.html'}", markup=False)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="the folder of a finished run")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="another, on the same rows")],
    flips: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="write the ids whose answer differs")
    ] = None,
) -> None:
    """Compare two runs' students: settings that differ, paired tests, answers that flipped."""
    from kd import show
    from kd.compare import compare_runs

    show.print_comparison(out, compare_runs(first, second, flips=flips))


def selfcheck(
    config: ConfigFile,
    overrides: Overrides = None,
    steps: Annotated[int, typer.Option(min=6, help="of each training")] = 24,
) -> None:
    """Compare runs in 1 and 2 processes, in micro-steps, and killed and resumed, all on CPUs.

    Exit status 1 when two are further apart than they may be.
    """
    loaded = load_config(config, overrides or ())
    from kd import show
    from kd.selfcheck import selfcheck as check_runs

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with TemporaryDirectory(prefix="kd-selfcheck-") as folder:
        checks = check_runs(loaded, Path(folder), steps, random.randrange(2**32))
        if not show.print_checks(out, checks):
            raise typer.Exit(1)


COMMANDS = {
    "Whole runs": (run, study, tune, transfer, report, compare),
    "One stage of a run": (data, teach, label, distill, evaluate),
    "The student in use": (predict, export, shrink, demo),
    "Before and around": (adapt, collect, kappa, selfcheck),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's ends in one line and exit status 2."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        app(args=list(arguments) if arguments is not None else None, standalone_mode=True)
    except InputError as error:
        print(f"kd: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stop:
        print(f"kd: {stop}; type the same line again to go on", file=sys.stderr)
        sys.exit(stop.exit_status)
    except SystemExit as end:
        if end.code == 130:  # typer's code for Ctrl-C
            print("kd: stopped; type the same line again to go on", file=sys.stderr)
        raise
    finally:
        if "kd.hardware" in sys.modules:
            from kd.hardware import leave_processes

            leave_processes()
