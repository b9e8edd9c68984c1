"""The command kd tune."""

import math
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from data.errors import InputError
from kd.cli_options import ConfigFile, Overrides, Overwrite, Runs, open_run, out, say
from kd.config_file import load_config
from kd.search_space import check_space


def tune(
    config: ConfigFile,
    overrides: Overrides = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    trials: Annotated[int, typer.Option(min=1, help="that are to have ended, all in all")] = 20,
    study_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="of another search on the same run")
    ] = None,
) -> None:
    """Search the student's settings by its dev score; test rows are not looked at.

    The config's `tune` names them, each with low and high (and log), or choices. The trials share
    the run's rows and teachers; those that fall behind are ended early. After a kill the same line
    goes on where it was. The best settings are written to RUN/tune/best.yaml, a config for kd run.
    """
    if find_spec("optuna") is None:
        raise InputError(
            "optuna is not installed: install the extra tune: pip install -e '.[tune]'"
        )
    if study_name is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", study_name):
        raise InputError(f"--study-name: {study_name!r}: use letters, digits, _ and -")
    check_space(load_config(config, overrides or ()))  # before a folder is made
    from kd.hardware import processes
    from kd.tune import tune_run

    loaded, run = open_run(config, overrides, runs, overwrite)
    ended, path = tune_run(loaded, run, trials, study_name=study_name, overwrite=overwrite, say=say)
    if not processes().is_main_process:
        return
    best = max((t for t in ended if t.state == "done"), key=lambda trial: trial.score)
    table = Table(box=None, pad_edge=False)
    for column in ("trial", "dev score", "", *loaded.tune):
        table.add_column(column, justify="left" if not column else "right")
    for trial in ended:
        score = "" if math.isnan(trial.score) else f"{trial.score:.4f}"
        state = "best" if trial == best else "" if trial.state == "done" else trial.state
        values = [trial.settings.get(name) for name in loaded.tune]
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values]
        table.add_row(str(trial.number), score, state, *cells)
    out.print(table)
    for trial in ended:
        if trial.reason:
            out.print(f"trial {trial.number}: {trial.reason}", markup=False)
    out.print(f"best settings: kd run {path}", markup=False)
