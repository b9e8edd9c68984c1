"""The command kd adapt."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from data.errors import InputError
from kd.adapt_settings import Adaptation
from kd.cli_options import out
from kd.config import Precision
from kd.config_problems import sentences

DEFAULTS = Adaptation()


def adapt(
    encoder: Annotated[str, typer.Argument(help="a folder, a hub id, or the packaged MiniLM")],
    texts: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE", help=".csv, .tsv (or .gz, .xz), .jsonl, .parquet; again for more"
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="DIR", help="the adapted encoder, a new folder")],
    column: Annotated[
        str | None, typer.Option(help="of the texts [default: text or response_post]")
    ] = None,
    reader: Annotated[
        str | None, typer.Option(help="of a public format, such as isear, in place of a column")
    ] = None,
    epochs: Annotated[float, typer.Option()] = DEFAULTS.epochs,
    max_steps: Annotated[
        int | None, typer.Option(help="optimizer steps, in place of epochs")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="texts a step")] = DEFAULTS.batch_size,
    learning_rate: Annotated[float, typer.Option()] = DEFAULTS.learning_rate,
    mask: Annotated[float, typer.Option(help="share of a text's pieces to guess")] = DEFAULTS.mask,
    max_tokens: Annotated[int, typer.Option(help="where texts are cut")] = DEFAULTS.max_tokens,
    seed: Annotated[int, typer.Option()] = DEFAULTS.seed,
    precision: Annotated[Precision, typer.Option()] = DEFAULTS.precision,
) -> None:
    """Train an encoder further on unlabelled text, to guess masked words of it.

    The folder is an encoder for teachers.encoder and student.encoder. After a kill the same line
    goes on where it was.
    """
    values = {
        "epochs": epochs,
        "max_steps": max_steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "mask": mask,
        "max_tokens": max_tokens,
        "seed": seed,
        "precision": precision,
    }
    try:
        settings = Adaptation.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(sentences(error, Adaptation, "kd adapt: "))) from None
    from kd.adapt import adapt as adapt_encoder
    from kd.hardware import describe_processes

    tell(describe_processes())
    found = adapt_encoder(encoder, texts, to, settings, column=column, reader=reader, say=tell)
    if found is None:
        tell("unchanged, skipped")
    else:
        before, after = found["before"], found["after"]
        tell(f"held-out loss a masked piece: {before['loss']:.3f} → {after['loss']:.3f}")
        tell(f"perplexity: {before['perplexity']:,.1f} → {after['perplexity']:,.1f}")
    tell(f"adapted encoder: {to}")


def tell(text: str) -> None:
    """Print a line, once however many processes run."""
    from kd.hardware import processes

    if processes().is_main_process:
        out.print(text, markup=False)
