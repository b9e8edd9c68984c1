"""The command kd predict: which files or streams it reads and writes, and what it says."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from data.errors import InputError
from data.readers.texts import Form, form_of
from kd.answer_file import rejected_path
from kd.cli_options import out

if TYPE_CHECKING:
    from kd.prediction import Counts

STREAM = Path("-")


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a run's or a model's folder")],
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[IN]", help="a .csv, .tsv, .jsonl or .parquet file; - is stdin"),
    ] = None,
    target: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="such a file; - is stdout")
    ] = None,
    text: Annotated[str | None, typer.Option(help="one text, in place of IN and OUT")] = None,
    context: Annotated[str | None, typer.Option(help="the post that the one text answers")] = None,
    form: Annotated[
        Literal["lines", "csv", "tsv", "jsonl"] | None,
        typer.Option("--format", help="what stdin holds; a text on each line where it is left out"),
    ] = None,
    out_form: Annotated[
        Literal["csv", "tsv", "jsonl"] | None,
        typer.Option("--out-format", help="what stdout is to hold; csv where it is left out"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on where the same line was killed")
    ] = False,
    legacy: Annotated[
        bool,
        typer.Option(
            "--legacy", help="write the columns of the 2020 empathy code's test.py, texts included"
        ),
    ] = False,
) -> None:
    """Answer class, probability and rationale for each row of IN, in its order.

    IN has a column text (or response_post) and may have context (or seeker_post) and id, in
    UTF-8; TSV has CSV's quotes. Stdin is refused without --format where its first line seems to
    be that of a table. Rows that can't be answered (an empty text, one of more than 1,000,000
    characters, bytes that are no text, a wrong number of cells) are listed with their reason in
    OUT.rejected.csv, on stderr where OUT is -; blank lines of a table are no rows.

    While it works, OUT.part holds what is done. After a kill the same line with --resume goes on
    from there; without --resume it is refused, so that nothing is lost: delete OUT.part to start
    anew. With nothing to go on from, --resume starts at the first row.
    """
    if (text is None) == (source is None) or (source is None) != (target is None):
        raise InputError("kd predict: give either --text, or IN and OUT")
    if text is not None:
        of_files = {"--format": form, "--out-format": out_form, "--resume": resume}
        for name, given in (of_files | {"--legacy": legacy}).items():
            if given:
                raise InputError(f"{name}: goes with IN and OUT: leave it out with --text")
        from kd import show
        from student.predictor import Predictor

        answer = Predictor.load(model)([text], [context or ""])[0]
        show.print_prediction(out, answer, text)
        return
    assert source is not None
    assert target is not None
    if context is not None:
        raise InputError("--context: goes with --text: give IN a column context")
    if form is not None and source != STREAM:
        raise InputError(
            f"--format {form}: says what stdin holds: leave it out, or give --out-format for stdout"
        )
    if out_form is not None and target != STREAM:
        raise InputError(
            f"--out-format {out_form}: says what stdout holds: leave it out, or give - as OUT"
        )
    source_form = form if source == STREAM else form_of(source)
    target_form: Form = (out_form or "csv") if target == STREAM else form_of(target)
    import_module("kd.prediction")  # before the block: of an import an OSError is nobody's mistake
    try:
        _answer_all(model, source, target, source_form, target_form, resume, legacy)
    except BrokenPipeError:
        raise  # who read stdout has seen enough: typer ends without a word
    except OSError as error:
        raise InputError(f"kd predict: {str(error).splitlines()[0]}") from None


def _answer_all(
    model: Path,
    source: Path,
    target: Path,
    source_form: Form | None,
    target_form: Form,
    resume: bool,
    legacy: bool,
) -> None:
    if resume and STREAM in (source, target):
        raise InputError("--resume: a stream can't be gone on with: give files for IN and OUT")
    from kd.prediction import predict_file, predict_stream

    opened = sys.stdin.buffer if source == STREAM else source
    if target == STREAM:
        counts = predict_stream(
            model,
            opened,
            sys.stdout.buffer,
            sys.stderr.buffer,
            source_form=source_form,
            target_form=target_form,
            legacy=legacy,
        )
        Console(stderr=True, highlight=False, soft_wrap=True).print(
            _said(counts, "on stdout", "above"), markup=False
        )
        return
    if target.is_dir():
        raise InputError(f"{target}: is a folder: name a file for the answers")
    for written in (target, rejected_path(target)):
        if written.exists() and source.exists() and written.samefile(source):
            raise InputError(f"{written}: is what is read: name another file for the answers")
    counts = predict_file(
        model,
        opened,
        target,
        source_form=source_form,
        target_form=target_form,
        legacy=legacy,
        resume=resume,
    )
    out.print(_said(counts, f"in {target}", f"in {rejected_path(target)}"), markup=False)


def _said(counts: "Counts", answers: str, rejections: str) -> str:
    listed = f", listed {rejections}" if counts.rejected else ""
    return (
        f"{counts.rows:,} rows: {counts.answered:,} answered {answers}, "
        f"{counts.rejected:,} rejected{listed}"
    )
