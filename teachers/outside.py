"""Outside teachers: what a model that runs elsewhere says of the rows, read from a table.

Letters: N = rows, C = classes.
"""

import hashlib
import math
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from data.encoding import Floats
from data.errors import InputError, shown
from data.ragged import RowNumbers
from data.readers.record import check_header
from data.readers.table import header_of, table_rows
from data.tasks import TaskSpec
from teachers.soft_targets import SoftTargets

# What a class's column is called before the class: its chance, its chance, its logit.
PREFIXES = ("", "p_", "logit_")
# Columns of the table that kd data writes for outside teachers; they may stay in it.
TABLE_COLUMNS = ("id", "split", "tasks", "text", "context")
SUM_TOLERANCE = 1e-3
# float32 ends at 3.4e38.
LARGEST = 3e38


def file_fingerprint(path: Path, table_hash: str) -> str:
    """A hash of a teacher's file and of the rows that it is read for.

    Raises InputError when there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: check file in teachers.tasks, and data.root")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
    digest.update(table_hash.encode())
    return digest.hexdigest()


def outside_targets(
    path: Path,
    spec: TaskSpec,
    ids: Sequence[str],
    *,
    asked: RowNumbers,
    required: RowNumbers,
    fingerprint: str,
) -> tuple[SoftTargets, int]:
    """The soft targets of those of the asked rows that the file has, and how many of its ids are
    in no row.

    ids: (N,) of all rows. asked: rows of the task, or that no task labels. required: its train
    rows. Raises InputError as `read_answers` does, and when a required row is missing.
    """
    found, logits = read_answers(path, spec)
    missing = [ids[row] for row in required if ids[row] not in found]
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(required)} train rows of task {spec.name!r} are "
            f"missing: {', '.join(map(repr, missing[:3]))}{' …' if len(missing) > 3 else ''}: "
            f"give a line for each; kd data --table writes the ids"
        )
    kept = [ids[row] for row in asked if ids[row] in found]
    targets = SoftTargets(
        task=spec.name,
        classes=spec.classes,
        fingerprint=fingerprint,
        ids=pa.array(kept, pa.string()),
        logits=logits[[found[name] for name in kept]],
    )
    return targets, len(found.keys() - set(ids))


def read_answers(path: Path, spec: TaskSpec) -> tuple[dict[str, int], Floats]:
    """id → its row number, and (N, C) logits: of probabilities their logarithms, of a regression
    values on the scale from 0 to 1.

    The classes are found by their columns' names. Raises InputError naming the column that is
    missing or of no class, or the line whose id stands twice, whose number is none or not from 0
    to 1, or whose probabilities do not sum to 1.
    """
    header = header_of(path)
    check_header(str(path), header, ("id",))
    columns = _columns(path, header, spec)
    is_chance = spec.kind == "classification" and not columns[0].startswith("logit_")
    found: dict[str, int] = {}
    lines: list[str] = []
    values = array("d")
    for row in table_rows(path, ("id", *columns)):
        name = row.cells["id"]
        if not name:
            raise InputError(f"{row.where}, column 'id': is empty: name the row")
        if name in found:
            raise InputError(
                f"{row.where}: id {shown(name)} stands in line {lines[found[name]]} already: "
                f"give each row once"
            )
        found[name] = len(found)
        lines.append(row.where.rpartition(":")[2])
        said = [_number(row.where, column, row.cells[column]) for column in columns]
        if is_chance:
            _check_chances(row.where, columns, said)
        values.extend(said)
    logits = np.asarray(values).reshape(-1, len(columns))
    if is_chance:
        logits = np.log(np.maximum(logits, np.finfo(np.float32).tiny))
    elif spec.kind == "regression":
        logits = (logits - spec.low) / (spec.high - spec.low)
    return found, logits.astype(np.float32)


def _columns(path: Path, header: Sequence[str], spec: TaskSpec) -> tuple[str, ...]:
    """The column of each class, in the task's order."""
    if spec.kind == "regression":
        return ("value",)
    named = {prefix: [prefix + name for name in spec.classes] for prefix in PREFIXES}
    here = {prefix: sum(name in header for name in named[prefix]) for prefix in PREFIXES}
    whole = [prefix for prefix in PREFIXES if here[prefix] == len(spec.classes)]
    prefix = max(PREFIXES, key=lambda one: here[one])
    columns = named[prefix]
    if len(whole) > 1:
        raise InputError(
            f"{path}: has columns {whole[0]}CLASS and {whole[1]}CLASS of every class: "
            f"leave one kind out"
        )
    missing = [name for name in columns if name not in header]
    if missing:
        raise InputError(
            f"{path}: column {', '.join(map(repr, missing))} is missing: task {spec.name!r} needs "
            f"a column for each of {', '.join(spec.classes)}: CLASS, p_CLASS or logit_CLASS"
        )
    strays = [
        name
        for name in header
        if name not in columns
        and (name.startswith(prefix) if prefix else name not in TABLE_COLUMNS)
    ]
    if strays:
        raise InputError(
            f"{path}: column {', '.join(map(shown, strays))} is no class of task {spec.name!r}: "
            f"its classes are {', '.join(spec.classes)}"
        )
    return tuple(columns)


def _number(where: str, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) < LARGEST:
        raise InputError(f"{where}, column {column!r}: {shown(cell)} is no finite number: give one")
    return value


def _check_chances(where: str, columns: Sequence[str], said: Sequence[float]) -> None:
    for column, chance in zip(columns, said, strict=True):
        if not 0.0 <= chance <= 1.0:
            raise InputError(
                f"{where}, column {column!r}: {chance:g} is no probability: give a number from 0 "
                f"to 1, or call the columns logit_CLASS"
            )
    total = math.fsum(said)
    if abs(total - 1.0) > SUM_TOLERANCE:
        raise InputError(
            f"{where}: the probabilities sum to {total:.6g}: they must sum to 1 within "
            f"{SUM_TOLERANCE:g}"
        )
