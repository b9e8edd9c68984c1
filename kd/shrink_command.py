"""The command kd shrink."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from data.errors import InputError
from data.tasks import load_tasks
from kd.cli_options import out


def shrink(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a finished run")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where to write it [default: RUN/shrunk]")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="0,2,4", help="the encoder layers to keep, from 0")
    ] = None,
    ffn: Annotated[
        int | None, typer.Option(min=1, help="feed-forward units to keep in each layer")
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(metavar="train|FILE", help="keep the pieces that these texts are cut into"),
    ] = None,
    agreement: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="refuse if fewer of a task's dev labels stay the same"),
    ] = None,
) -> None:
    """Write a smaller copy of the student, cut without training, and what that did to its answers.

    FILE is a table as kd predict reads it, with a column text or response_post. It says nothing
    of a text that a cut vocabulary has never seen: such a text is still read, in shorter pieces.
    """
    kept = None if layers is None else named_layers(layers)
    from kd.hardware import by_main_process, processes
    from kd.shrink import Cuts, shrink_run
    from kd.shrink_report import COLUMNS, cuts_in_words, table_rows

    cuts = Cuts(kept, ffn, vocabulary)
    target = to or run / "shrunk"
    found: dict[str, Any] = {}
    by_main_process(lambda: found.update(shrink_run(run, target, cuts, agreement=agreement)))
    if not processes().is_main_process:
        return
    shown = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        shown.add_column(column, justify="left" if column in COLUMNS[:2] else "right")
    for cells in table_rows(load_tasks(target), found):
        shown.add_row(*cells)
    out.print(shown)
    out.print(f"kept: {'; '.join(cuts_in_words(found['cut']))}", markup=False)
    sizes = [
        f"{found[side]['parameters'] / 1e6:.1f} M parameters, {found[side]['bytes'] / 1e6:.1f} MB"
        for side in ("before", "after")
    ]
    out.print(" → ".join(sizes), markup=False)
    out.print(f"smaller student: {target}", markup=False)


def named_layers(text: str) -> tuple[int, ...]:
    """The numbers of a list such as `0,2,4`, in its order.

    Raises InputError when one is no number or stands twice.
    """
    names = [name.strip() for name in text.split(",")]
    for place, name in enumerate(names):
        if not (name.isascii() and name.isdigit()):
            raise InputError(f"--layers: {name!r} is no number of a layer: give such as 0,2,4")
        if int(name) in map(int, names[:place]):
            raise InputError(f"--layers: {name!r} stands twice: name each layer once")
    return tuple(map(int, names))
