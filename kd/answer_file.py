"""A file of answers while it is written: kept in parts that a killed command goes on from.

Beside OUT stands the folder OUT.part with the answers so far, the rejected rows so far, and a
journal that says how many rows were read and how many bytes are theirs. What stands behind those
bytes is cut off when the work goes on. At the end the parts take their names.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from data.errors import InputError
from data.readers.texts import Form, RejectedRow
from kd.answer_columns import Columns, Value
from kd.answer_forms import (
    REJECTED_HEADER,
    answer_bytes,
    header_bytes,
    rejected_bytes,
    write_parquet,
)
from kd.atomic import sync, write_text

# What must be the same when the work goes on, and what is said where it is not.
SAME = {
    "model": "another model",
    "input": "another input, or this one has changed since",
    "columns": "other columns",
}


@dataclass
class Journal:
    """What of a file of answers is on the disk, and what it is made from."""

    made_from: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 0  # answered and rejected
    answered: int = 0
    answer_bytes: int = 0
    rejected_bytes: int = 0
    is_finished: bool = False

    @property
    def rejected(self) -> int:
        """How many rows have no answer."""
        return self.rows - self.answered


class AnswerFile:
    """The parts of a file of answers, open for more rows, and their journal."""

    def __init__(
        self, part: Path, form: Form, columns: Columns, journal: Journal, files: Sequence[BinaryIO]
    ) -> None:
        self.journal = journal
        self._part, self._form, self._columns, self._files = part, form, columns, files

    def begin(self) -> None:
        """Write what stands before the first row."""
        self._write(header_bytes(self._form, self._columns), REJECTED_HEADER)

    def add(self, answers: Sequence[Sequence[Value]], rejected: Sequence[RejectedRow]) -> None:
        """Put rows into the parts, onto the disk itself, and only then into the journal."""
        self.journal.rows += len(answers) + len(rejected)
        self.journal.answered += len(answers)
        self._write(answer_bytes(self._form, self._columns, answers), rejected_bytes(rejected))

    def end(self) -> None:
        """Note that no row is left."""
        self.journal.is_finished = True
        self._write(b"", b"")

    def _write(self, *pieces: bytes) -> None:
        for file, piece in zip(self._files, pieces, strict=True):
            file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        self.journal.answer_bytes += len(pieces[0])
        self.journal.rejected_bytes += len(pieces[1])
        write_text(self._part / "journal.json", json.dumps(asdict(self.journal)))


def rejected_path(target: Path) -> Path:
    """Where the rows without an answer are listed."""
    return target.with_name(f"{target.name}.rejected.csv")


@contextmanager
def open_answers(
    target: Path, form: Form, columns: Columns, made_from: Mapping[str, Any], *, resume: bool
) -> Iterator[AnswerFile]:
    """A file of answers, new or gone on with, that takes its name when the block ends.

    Killed anywhere, it goes on from the last rows in the journal when opened again with `resume`;
    with nothing to go on from it is new. Raises InputError when an unfinished one is there and
    resume is not given, when that was made from something else, or another process writes it, and
    when a file that is not ours stands where the rows without an answer are to be listed.
    """
    part = target.with_name(f"{target.name}.part")
    if part.is_file():
        raise InputError(f"{part}: is a file, where a folder is needed: delete or rename it")
    if not _read_journal(part).is_finished:  # else the list may have taken its name already
        _check_list(target)
    part.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context((part / "lock").open("wb"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{part}: another process is writing it: wait for its end") from None
        journal = _read_journal(part)
        # A stream is gone: what was read of it can't be gone on with.
        is_new = journal.made_from.get("input") is None or not journal.rows
        if is_new:
            journal = Journal(made_from)
        elif not resume:
            can_go_on = made_from["input"] is not None
            cure = "add --resume to go on with it" if can_go_on else "name another file"
            raise InputError(
                f"{part}: holds {journal.rows:,} rows of a command that did not end: "
                f"{cure}, or delete this folder to start anew"
            )
        for name, words in SAME.items():
            if journal.made_from.get(name) != made_from[name]:
                raise InputError(
                    f"{part}: was begun with {words}: "
                    f"give the same again, or delete this folder to start anew"
                )
        sizes = {"answers": journal.answer_bytes, "rejected": journal.rejected_bytes}
        # The parts of a finished file may have taken their names already.
        files = [] if journal.is_finished else [_cut(stack, part / n, s) for n, s in sizes.items()]
        answers = AnswerFile(part, "jsonl" if form == "parquet" else form, columns, journal, files)
        if is_new:
            answers.begin()
        yield answers
        if not journal.is_finished:
            answers.end()
        _publish(part, target, form, columns, journal)


def _read_journal(part: Path) -> Journal:
    path = part / "journal.json"
    if not path.is_file():
        return Journal()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    kinds = {name: type(value) for name, value in asdict(Journal()).items()}
    if not isinstance(found, dict) or {k: type(v) for k, v in found.items()} != kinds:
        raise InputError(f"{path}: can't be read, so no run can go on: delete {part} to start anew")
    return Journal(**found)


def _check_list(target: Path) -> None:
    """Raise InputError when the list beside a file of answers is not one that we wrote with it."""
    path = rejected_path(target)
    if not path.exists():
        return
    if not target.exists():
        raise InputError(f"{path}: would be replaced, and {target} is not there: move or delete it")
    with path.open("rb") as file:
        is_ours = file.readline(len(REJECTED_HEADER)) == REJECTED_HEADER
    if not is_ours:
        raise InputError(
            f"{path}: would be replaced, and is no list of rejected rows: move or delete it"
        )


def _cut(stack: ExitStack, path: Path, size: int) -> BinaryIO:
    """A part, open for more, without what was written behind the journal's size."""
    file = stack.enter_context(path.open("ab"))
    if file.tell() < size:
        raise InputError(f"{path}: is shorter than its journal says: delete {path.parent}")
    file.truncate(size)
    return file


def _publish(part: Path, target: Path, form: Form, columns: Columns, journal: Journal) -> None:
    """Give the parts their names; a kill between two steps leaves the others to the next time."""
    answers, rejected = part / "answers", part / "rejected"
    if not journal.rejected:
        rejected_path(target).unlink(missing_ok=True)  # an older one
    elif rejected.exists():
        rejected.replace(rejected_path(target))
    if answers.exists():
        if form == "parquet":
            write_parquet(answers, part / "parquet", columns)
            sync(part / "parquet")
            (part / "parquet").replace(target)
        else:
            answers.replace(target)
    (part / "journal.json").unlink()
    shutil.rmtree(part)
