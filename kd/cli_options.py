"""What the commands share: their options, the run that these name, and what is said of a stage.

torch and transformers take seconds to import: here, and wherever a command is defined, what needs
them is imported where it is called, so that help and the refusal of a config's keys and values come
at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from kd.config import Config
from kd.config_file import load_config

if TYPE_CHECKING:
    from kd.run_folder import RunFolder

out = Console(highlight=False, soft_wrap=True)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="a YAML file")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="such as training.epochs=3")
]
Runs = Annotated[Path, typer.Option(help="the folder that holds the runs")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="take over a run of another config, redo what changed")
]


def open_run(
    config: Path, overrides: list[str] | None, runs: Path, overwrite: bool
) -> tuple[Config, "RunFolder"]:
    """The config and its run's folder, claimed for it.

    Raises InputError when the config has a fault or another one made the folder.
    """
    loaded = load_config(config, overrides or ())
    from kd.hardware import by_main_process, describe_processes
    from kd.run_folder import RunFolder

    run = RunFolder(runs / loaded.name)

    def claim() -> None:
        run.open(loaded, overwrite=overwrite)
        out.print(describe_processes(), style="dim")

    by_main_process(claim)
    return loaded, run


def say(stage: str, ran: object) -> None:
    """Print one line of a stage: done, with the names in a list of what ran, or skipped."""
    from kd.hardware import processes

    if processes().is_main_process:
        names = f" {', '.join(ran)}" if isinstance(ran, list) else ""
        out.print(f"[bold]{stage:<9}[/] {'done' + names if ran else 'unchanged, skipped'}")
