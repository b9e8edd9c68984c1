"""Soft targets: what a teacher says of every row, on disk by row id and guarded by a fingerprint.

Letters: N = rows, T = tokens of all texts together, C = classes.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from scipy.special import expit

from data.encoding import EncodedTable, Floats, Ints
from data.errors import InputError
from data.rationales import project
from data.tasks import TaskSpec
from student.inference import Logits


@dataclass(frozen=True)
class SoftTargets:
    """A teacher's logits of some rows of one task.

    logits: (N, C). Rationale logits stand by characters of the text, so that a student with
    another tokenizer can read them: token_spans[i] is (K, 2), token_logits[i] is (K,).
    """

    task: str
    classes: tuple[str, ...]
    fingerprint: str
    ids: tuple[str, ...]
    logits: Floats
    token_spans: tuple[Ints, ...] | None = None
    token_logits: tuple[Floats, ...] | None = None


def from_logits(
    spec: TaskSpec, table: EncodedTable, logits: Logits, rows: Sequence[int], fingerprint: str
) -> SoftTargets:
    """The soft targets of the chosen rows of a table that a teacher has read."""
    spans, token_logits = None, None
    if spec.has_rationale:
        spans, token_logits = [], []
        for row in rows:
            offsets = table.offsets[table.part(row)]
            real = offsets[:, 1] > offsets[:, 0]
            spans.append(offsets[real])
            token_logits.append(logits.tokens[spec.name][table.part(row)][real])
    return SoftTargets(
        task=spec.name,
        classes=spec.classes,
        fingerprint=fingerprint,
        ids=tuple(table.ids[row] for row in rows),
        logits=logits.labels[spec.name][np.asarray(rows, dtype=np.int64)],
        token_spans=tuple(spans) if spans is not None else None,
        token_logits=tuple(token_logits) if token_logits is not None else None,
    )


def save_soft_targets(targets: SoftTargets, path: Path) -> None:
    """Write one Parquet file: id, logits, and the rationale's spans and logits. No text."""
    columns: dict[str, pa.Array] = {
        "id": pa.array(targets.ids, pa.string()),
        "logits": pa.array(targets.logits.tolist(), pa.list_(pa.float32())),
    }
    if targets.token_spans is not None and targets.token_logits is not None:
        columns["token_spans"] = pa.array(
            [spans.reshape(-1).tolist() for spans in targets.token_spans], pa.list_(pa.int32())
        )
        columns["token_logits"] = pa.array(
            [values.tolist() for values in targets.token_logits], pa.list_(pa.float32())
        )
    about = {
        "task": targets.task,
        "classes": list(targets.classes),
        "fingerprint": targets.fingerprint,
    }
    table = pa.table(columns).replace_schema_metadata({"kd": json.dumps(about)})
    pq.write_table(table, path)


def load_soft_targets(path: Path) -> SoftTargets:
    """Read soft targets.

    Raises InputError when the file is missing or was not written by kd.
    """
    if not path.is_file():
        raise InputError(f"{path}: no soft targets: run kd label first")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid:
        raise InputError(f"{path}: holds no soft targets: delete it and run kd label") from None
    about = json.loads((table.schema.metadata or {}).get(b"kd", b"null"))
    if about is None:
        raise InputError(f"{path}: holds no soft targets: delete it and run kd label")
    spans, token_logits = None, None
    if "token_spans" in table.column_names:
        spans = tuple(
            np.asarray(row, dtype=np.int32).reshape(-1, 2)
            for row in table["token_spans"].to_pylist()
        )
        token_logits = tuple(
            np.asarray(row, dtype=np.float32) for row in table["token_logits"].to_pylist()
        )
    return SoftTargets(
        task=about["task"],
        classes=tuple(about["classes"]),
        fingerprint=about["fingerprint"],
        ids=tuple(table["id"].to_pylist()),
        logits=np.asarray(table["logits"].to_pylist(), dtype=np.float32),
        token_spans=spans,
        token_logits=token_logits,
    )


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
    scaled = torch.from_numpy(np.asarray(logits, dtype=np.float32)) / temperature
    return scaled.softmax(-1).numpy()


def soft_columns(
    targets: Sequence[SoftTargets],
    weights: Sequence[float],
    table: EncodedTable,
    spec: TaskSpec,
    temperature: float,
) -> tuple[Floats, Floats | None]:
    """A task's soft targets for the rows of a student's table: (N, C) and, or None, (T,).

    Several teachers' probabilities are averaged with the given weights (Hosseini & Caragea 2021
    use one). Rows that a teacher did not label are NaN. Rationale probabilities are the mean of the
    teacher's tokens, weighted by the characters shared with the student's.
    """
    labels = np.zeros((len(table), spec.width), dtype=np.float64)
    tokens = np.zeros(len(table.offsets), dtype=np.float64)
    has_tokens = spec.has_rationale and all(t.token_logits is not None for t in targets)
    total = sum(weights)
    for target, weight in zip(targets, weights, strict=True):
        place = {name: index for index, name in enumerate(target.ids)}
        soft = probabilities(target.logits, spec, temperature).astype(np.float64)
        found = np.array([place.get(name, -1) for name in table.ids])
        labels += weight / total * np.where(found[:, None] >= 0, soft[found], np.nan)
        if has_tokens:
            assert target.token_spans is not None
            assert target.token_logits is not None
            for row, index in enumerate(found):
                part = table.part(row)
                if index < 0:
                    tokens[part] = np.nan
                    continue
                chances = expit(target.token_logits[index] / temperature)
                tokens[part] += (
                    weight
                    / total
                    * project(chances, target.token_spans[index], table.offsets[part])
                )
    return labels.astype(np.float32), tokens.astype(np.float32) if has_tokens else None
