"""The command kd transfer."""

import re
from pathlib import Path
from typing import Annotated

import typer

from data.errors import InputError
from kd.cli_options import ConfigFile, Overrides, Overwrite, Runs, out, say
from kd.config import Study
from kd.config_file import load_config


def transfer(
    config: ConfigFile,
    overrides: Overrides = None,
    target: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="the same tasks with the target's own train and dev"),
    ] = None,
    adapted: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="an encoder of kd adapt; give it again for more"),
    ] = None,
    runs: Runs = Path("runs"),
    overwrite: Overwrite = False,
    seeds: Annotated[int, typer.Option(min=1, help="of each row: the config's, the next …")] = 3,
) -> None:
    """Score students of a source on a target: source-only, pretrain-NAME, target-only.

    CONFIG has the source's train and dev files and the target's test file; the overrides hold for
    both configs. After a kill the same line goes on where it was.
    """
    source = load_config(config, overrides or ())
    other = None if target is None else load_config(target, overrides or ())
    encoders = named_encoders(adapted or ())
    from kd import show
    from kd.hardware import by_main_process, describe_processes, processes
    from kd.run_folder import RunFolder
    from kd.study_table import study_tables, write_study_tables
    from kd.transfer import SOURCE, run_transfer, transfer_configs

    configs = transfer_configs(source, other, encoders)
    by_main_process(lambda: out.print(describe_processes(), style="dim"))
    scores = run_transfer(configs, runs, seeds, overwrite=overwrite, say=say)
    if processes().is_main_process:
        show.print_study(out, scores)
        run = RunFolder(runs / source.name)
        compared = source.model_copy(update={"study": Study.model_construct(against=SOURCE)})
        tables = study_tables(compared, run, scores)
        write_study_tables(compared, run.path / "transfer", tables)
        show.print_study_tables(out, compared, tables)
        out.print(f"tables: {run.path / 'transfer'}", markup=False)


def named_encoders(pairs: tuple[str, ...] | list[str]) -> dict[str, str]:
    """name → folder of pairs such as isear=encoders/isear.

    Raises InputError when one is no such pair or a name stands twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, folder = pair.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or not equals or not folder:
            raise InputError(f"--adapted: {pair!r}: write NAME=DIR, such as isear=encoders/isear")
        if name in found:
            raise InputError(f"--adapted: {name!r} stands twice: give each a name of its own")
        found[name] = folder
    return found
