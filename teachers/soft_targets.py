"""Soft targets: what a teacher says of every row, on disk by row id and guarded by a fingerprint.

Letters: N = rows, T = tokens of all texts together, C = classes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from scipy.special import expit

from data.encoding import EncodedTable, Floats, Ints
from data.errors import InputError
from data.ragged import Ragged, RowNumbers
from data.rationales import project
from data.tasks import TaskSpec
from student.inference import Logits
from teachers.trust import shares, trust_in


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's logits of some rows of one task.

    ids: (N,) strings. logits: (N, C). Rationale logits stand by characters of the text, so that a
    student with another tokenizer can read them: token_spans.row(i) is (K, 2), token_logits.row(i)
    is (K,). Loaded ones are memory-mapped.
    """

    task: str
    classes: tuple[str, ...]
    fingerprint: str
    ids: pa.StringArray
    logits: Floats
    token_spans: Ragged | None = None
    token_logits: Ragged | None = None


def from_logits(
    spec: TaskSpec, table: EncodedTable, logits: Logits, rows: RowNumbers, fingerprint: str
) -> SoftTargets:
    """The soft targets of the chosen rows of a table that a teacher has read."""
    spans, token_logits = None, None
    if spec.has_rationale:
        is_real = table.offsets[:, 1] > table.offsets[:, 0]
        before = np.append(0, np.cumsum(is_real))
        lengths = np.diff(before[table.texts.starts])[rows]
        spans = Ragged.from_lengths(np.empty((lengths.sum(), 2), dtype=np.int32), lengths)
        token_logits = Ragged(np.empty(lengths.sum(), dtype=np.float32), spans.starts)
        for place, row in enumerate(rows):
            part = table.part(row)
            real = is_real[part]
            spans.row(place)[:] = table.offsets[part][real]
            token_logits.row(place)[:] = logits.tokens[spec.name][part][real]
    return SoftTargets(
        task=spec.name,
        classes=spec.classes,
        fingerprint=fingerprint,
        ids=pa.array([table.ids[row] for row in rows], pa.string()),
        logits=logits.labels[spec.name][rows],
        token_spans=spans,
        token_logits=token_logits,
    )


def save_soft_targets(targets: SoftTargets, path: Path) -> None:
    """Write one Arrow file: id, logits, and the rationale's spans and logits. No text.

    It is not compressed, so that it can be mapped, and holds one batch, so that each column is one
    flat array.
    """
    columns = {"id": targets.ids, "logits": _pairs(targets.logits)}
    if targets.token_spans is not None and targets.token_logits is not None:
        columns["token_spans"] = _lists(targets.token_spans, _pairs(targets.token_spans.values))
        columns["token_logits"] = _lists(
            targets.token_logits, pa.array(targets.token_logits.values)
        )
    about = {
        "task": targets.task,
        "classes": list(targets.classes),
        "fingerprint": targets.fingerprint,
    }
    batch = pa.record_batch(columns).replace_schema_metadata({"kd": json.dumps(about)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)


def load_soft_targets(path: Path) -> SoftTargets:
    """Map soft targets: their arrays are read from disk when used.

    Raises InputError when the file is missing or was not written by kd.
    """
    if not path.is_file():
        raise InputError(f"{path}: no soft targets: run kd label first")
    try:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        about = json.loads((file.schema.metadata or {})[b"kd"])
    except (pa.ArrowInvalid, KeyError):
        raise InputError(f"{path}: holds no soft targets: delete it and run kd label") from None
    batch = file.get_batch(0)
    spans, token_logits = None, None
    if "token_spans" in batch.schema.names:
        lists = batch["token_spans"]
        starts = lists.offsets.to_numpy()
        spans = Ragged(lists.values.values.to_numpy().reshape(-1, 2), starts)
        token_logits = Ragged(batch["token_logits"].values.to_numpy(), starts)
    return SoftTargets(
        task=about["task"],
        classes=tuple(about["classes"]),
        fingerprint=about["fingerprint"],
        ids=batch["id"],
        logits=batch["logits"].values.to_numpy().reshape(len(batch), -1),
        token_spans=spans,
        token_logits=token_logits,
    )


def _pairs(values: npt.NDArray[Any]) -> pa.FixedSizeListArray:
    """(rows, columns) as a column of lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _lists(ragged: Ragged, values: pa.Array) -> pa.LargeListArray:
    return pa.LargeListArray.from_arrays(pa.array(ragged.starts), values)


def fingerprint(teacher: Path, table_hash: str, max_tokens: int) -> str:
    """A hash of the teacher's weights and tokenizer, of the rows it read, and of the length."""
    digest = hashlib.blake2b(digest_size=16)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        path = teacher / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    digest.update(f"{table_hash}:{max_tokens}".encode())
    return digest.hexdigest()


def probabilities(logits: Floats, spec: TaskSpec, temperature: float) -> Floats:
    """softmax(logits / T) of (N, C) logits; a regression's values as they are."""
    if spec.kind == "regression":
        return logits
    scaled = torch.from_numpy(np.array(logits, dtype=np.float32)) / temperature
    return scaled.softmax(-1).numpy()


def soft_columns(
    targets: Sequence[SoftTargets],
    weights: Sequence[float],
    table: EncodedTable,
    spec: TaskSpec,
    temperature: float,
    trust: Literal["among", "gold"] | None = None,
) -> tuple[Floats, Floats | None]:
    """A task's soft targets for the rows of a student's table: (N, C) and, or None, (T,).

    Several teachers' probabilities are averaged with the given weights (Hosseini & Caragea 2021
    use one); rows that no teacher labelled are NaN. Rationale probabilities are the mean of the
    teacher's tokens, weighted by the characters shared with the student's; teachers without any
    have no part in them.

    trust: whether teachers count less on rows whose gold they deny, and what takes their share:
    the other teachers, or gold (see teachers.trust). It goes by what they say at temperature 1.
    """
    ids = pa.array(table.ids, pa.string())
    places = [pc.index_in(ids, target.ids).fill_null(-1).to_numpy() for target in targets]
    knows = np.stack(places, axis=1) >= 0
    trusted = None
    if trust is not None:
        gold = table.gold[spec.name]
        trusted = np.stack(
            [
                trust_in(probabilities(target.logits, spec, 1.0)[place], gold, spec)
                for target, place in zip(targets, places, strict=True)
            ],
            axis=1,
        )
    among, kept = shares(weights, knows, trusted)
    labels = np.zeros((len(table), spec.width), dtype=np.float64)
    for number, (target, place) in enumerate(zip(targets, places, strict=True)):
        soft = probabilities(target.logits, spec, temperature).astype(np.float64)
        labels += among[:, number, None] * np.where(knows[:, number, None], soft[place], 0.0)
    labels[~knows.any(axis=1)] = np.nan
    if trust == "gold":
        labels = _mended(labels, table.gold[spec.name], kept[:, None])
    has_tokens = np.array([target.token_logits is not None for target in targets])
    tokens = None
    if spec.has_rationale and has_tokens.any():
        among, kept = shares(weights, knows & has_tokens, trusted)
        tokens = _token_column(targets, places, among, table, temperature)
        if trust == "gold":
            of_tokens = np.repeat(kept, table.texts.lengths)
            tokens = _mended(tokens, table.gold_tokens[spec.name], of_tokens).astype(np.float32)
    return labels.astype(np.float32), tokens


def _mended(
    soft: npt.NDArray[Any], gold: Floats, kept: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """gold + kept * (soft - gold) where gold is known."""
    return np.where(np.isfinite(gold), gold + kept * (soft - gold), soft)


def _token_column(
    targets: Sequence[SoftTargets],
    places: Sequence[npt.NDArray[np.int64]],
    among: npt.NDArray[np.float64],
    table: EncodedTable,
    temperature: float,
) -> Floats:
    """(T,) rationale chances; places: each teacher's (N,) row numbers; among: (N, teachers)."""
    tokens = np.full(len(table.offsets), np.nan, dtype=np.float32)
    for row in np.flatnonzero(among.sum(axis=1)):
        part = table.part(int(row))
        tokens[part] = sum(
            share * _token_chances(target, int(place[row]), table.offsets[part], temperature)
            for target, place, share in zip(targets, places, among[row], strict=True)
            if share > 0
        )
    return tokens


def _token_chances(
    target: SoftTargets, row: int, offsets: Ints, temperature: float
) -> npt.NDArray[np.float64]:
    """A teacher's rationale chances on (K, 2) tokens of a student."""
    assert target.token_spans is not None
    assert target.token_logits is not None
    chances = expit(target.token_logits.row(row) / temperature)
    return project(chances, target.token_spans.row(row), offsets).astype(np.float64)
