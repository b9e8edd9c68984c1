"""The command kd export."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from data.errors import InputError
from kd.cli_options import out
from kd.export.precisions import PRECISIONS, named_precisions


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="the folder of a finished run")],
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="where to write it [default: export in RUN or --student]"),
    ] = None,
    precision: Annotated[
        str, typer.Option(metavar="A,B…", help=f"of {', '.join(PRECISIONS)}; fp32 is always made")
    ] = ",".join(PRECISIONS),
    smaller: Annotated[
        Path | None,
        typer.Option(
            "--student", metavar="DIR", help="a folder of kd shrink in place of RUN's student"
        ),
    ] = None,
    per_task: Annotated[
        bool,
        typer.Option("--per-task", help="also each task as a class of transformers, if one fits"),
    ] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="upload it too, as a private repository"),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="upload it for everybody")] = False,
) -> None:
    """Write the student as a folder that runs without kd: ONNX graphs, predict.py, certificate."""
    precisions = named_precisions(precision)
    if public and push_to_hub is None:
        raise InputError("--public: goes with --push-to-hub OWNER/NAME")
    from kd.export.build import export_run
    from kd.export.hub import check_repository, push
    from kd.export.readme import least_agreement
    from kd.hardware import by_main_process, processes
    from kd.run_folder import RunFolder

    target = to or (RunFolder(run).export if smaller is None else smaller / "export")
    if push_to_hub is not None:
        check_repository(push_to_hub)
    found: dict[str, Any] = {}
    by_main_process(
        lambda: found.update(
            export_run(run, target, precisions, smaller=smaller, per_task=per_task)
        )
    )
    if not processes().is_main_process:
        return
    shown = Table(box=None, pad_edge=False)
    for column in ("file", "MB", "largest difference", "least label agreement"):
        shown.add_column(column, justify="left" if column == "file" else "right")
    for report in found["precisions"].values():
        shown.add_row(
            report["file"],
            f"{report['bytes'] / 1e6:.1f}",
            f"{report['largest_difference']:.1e}",
            least_agreement(report),
        )
    out.print(shown)
    for place, task in found.get("per_task", {}).items():
        says = f"left out, {task['left_out']}" if "left_out" in task else task["class"]
        out.print(f"{place}: {says}", markup=False)
    out.print(f"export: {target}", markup=False)
    if push_to_hub is not None:
        out.print(push(target, push_to_hub, private=not public), markup=False)
