"""Predictions of a whole table or stream, in its order, a window of rows at a time."""

import hashlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import torch
from tqdm.auto import tqdm

from data.errors import InputError
from data.readers.texts import TEXT_COLUMNS, Form, RejectedRow, TextRow, read_texts
from kd.answer_columns import Columns, Value, legacy_columns, own_columns
from kd.answer_file import open_answers
from kd.answer_forms import REJECTED_HEADER, answer_bytes, header_bytes, rejected_bytes
from kd.run_folder import content_key, model_files
from student.predictions import Rejection
from student.predictor import Predictor, in_windows, model_folder

Row = TextRow | RejectedRow
Source = Path | BinaryIO
Add = Callable[[list[list[Value]], list[RejectedRow]], None]

BAR: dict[str, Any] = {"unit": " rows", "disable": None, "delay": 2}
# Bytes of an input that must be the same when the work on it goes on.
FIRST_BYTES = 1 << 16


@dataclass(frozen=True)
class Counts:
    """Rows that were read, and how many of them have an answer; the others are listed."""

    rows: int
    answered: int

    @property
    def rejected(self) -> int:
        """Rows without an answer."""
        return self.rows - self.answered


def predict_file(
    model: Path,
    source: Source,
    target: Path,
    *,
    source_form: Form | None,
    target_form: Form,
    legacy: bool = False,
    resume: bool = False,
) -> Counts:
    """Answer every row of a table or stream in a file; list those that can't be answered beside it.

    Memory does not grow with the rows. A source without a form has a text on each line. Raises
    InputError as `read_texts`, `Predictor.load`, `legacy_columns` and `open_answers` do, and when
    the first line of a source without a form seems to be that of a table.
    """
    rows = _begun(source, source_form)
    predictor = Predictor.load(model)
    columns = _columns(predictor, legacy)
    made_from = {
        "model": content_key(files=model_files(model_folder(model))),
        "input": _identity(source) if isinstance(source, Path) else None,
        "columns": [target_form, *columns.names],
    }
    with open_answers(target, target_form, columns, made_from, resume=resume) as answers:
        done = answers.journal.rows
        bar = tqdm(
            desc=source.name if isinstance(source, Path) else "stdin",
            total=_rows_to_show(source, source_form),
            initial=done,
            **BAR,
        )
        _answer(predictor, columns, islice(rows, done, None), answers.add, bar)
        return Counts(answers.journal.rows, answers.journal.answered)


def predict_stream(
    model: Path,
    source: Source,
    out: BinaryIO,
    rejections: BinaryIO,
    *,
    source_form: Form | None,
    target_form: Form,
    legacy: bool = False,
) -> Counts:
    """As `predict_file`, in a stream; those that can't be answered are listed in the other one."""
    rows = _begun(source, source_form)
    predictor = Predictor.load(model)
    columns = _columns(predictor, legacy)
    read = answered = 0
    out.write(header_bytes(target_form, columns))

    def add(answers: list[list[Value]], rejected: list[RejectedRow]) -> None:
        nonlocal read, answered
        if rejected and read == answered:  # the first
            rejections.write(REJECTED_HEADER)
        rejections.write(rejected_bytes(rejected))
        out.write(answer_bytes(target_form, columns, answers))
        rejections.flush()
        out.flush()
        read, answered = read + len(answers) + len(rejected), answered + len(answers)

    _answer(predictor, columns, rows, add, tqdm(desc="stdout", **BAR))
    return Counts(read, answered)


def _begun(source: Source, form: Form | None) -> Iterator[Row]:
    """The rows, the first of which has been read: a wrong table is known before all else."""
    rows = read_texts(source, form or "lines")
    first = list(islice(rows, 1))
    if form is None and first and isinstance(first[0], TextRow):
        seen = _seen_form(first[0].text)
        if seen is not None:
            raise InputError(
                f"stdin:1: seems to be the first line of a table: give --format {seen}, "
                f"or --format lines where it is a text"
            )
    return chain(first, rows)


def _seen_form(line: str) -> Form | None:
    """The form of the table of texts that a first line seems to begin; None of any other line."""
    if line.startswith("{") and any(f'"{name}":' in line for name in TEXT_COLUMNS):
        return "jsonl"
    separators: dict[Form, str] = {"csv": ",", "tsv": "\t"}
    for form, separator in separators.items():
        names = [name.strip(' "') for name in line.split(separator)]
        is_short = all(len(name) <= 30 and len(name.split()) <= 3 for name in names)
        if is_short and any(column in names for column in TEXT_COLUMNS):
            return form
    return None


def _columns(predictor: Predictor, legacy: bool) -> Columns:
    return (legacy_columns if legacy else own_columns)(predictor.model.specs)


def _rows_to_show(source: Source, form: Form | None) -> int | None:
    """How many rows a bar ends at: where a terminal shows it, and the rows can be counted."""
    if form is None or not isinstance(source, Path) or not sys.stderr.isatty():
        return None
    with suppress(InputError):  # it is for the reading itself to say, at its row
        return sum(1 for _ in read_texts(source, form))
    return None


def _answer(
    predictor: Predictor, columns: Columns, rows: Iterator[Row], add: Add, bar: "tqdm[Any]"
) -> None:
    """Hand the answers and the rejected rows of each window on."""
    with bar, _without_onednn():
        for window in in_windows(rows, _characters):
            texts = [row for row in window if isinstance(row, TextRow)]
            rejected = [row for row in window if isinstance(row, RejectedRow)]
            answers: list[list[Value]] = []
            found = predictor.answer_each(
                [row.text for row in texts], [row.context for row in texts]
            )
            for row, answer in zip(texts, found, strict=True):
                values = answer if isinstance(answer, Rejection) else columns.values(row, answer)
                if isinstance(values, Rejection):
                    rejected.append(RejectedRow(row.number, row.line, row.id, values.reason))
                else:
                    answers.append(values)
            add(answers, sorted(rejected, key=lambda row: row.number))
            bar.update(len(window))


@contextmanager
def _without_onednn() -> Iterator[None]:
    """For each shape that a GELU meets oneDNN keeps a kernel: of a thousand, a hundred MiB.

    torch's own GELU is as fast. (mkldnn.flags would do, but sets TF32 as well, which warns.)
    """
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before  # type: ignore[assignment]


def _characters(row: Row) -> int:
    return len(row.text) + len(row.context) if isinstance(row, TextRow) else 0


def _identity(source: Path) -> dict[str, Any]:
    """What tells a file from another one, and from itself once it was changed."""
    status = source.stat()
    with source.open("rb") as file:
        first = hashlib.blake2b(file.read(FIRST_BYTES), digest_size=16).hexdigest()
    return {"bytes": status.st_size, "changed": status.st_mtime_ns, "first": first}
