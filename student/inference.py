"""Inference: a model's logits on every row of an encoded table, the order and padding hidden.

Letters: N = rows, T = tokens of all texts together, B = rows of a batch, L = tokens, C = classes.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tqdm.auto import tqdm

from data.batches import Batch, collate
from data.encoding import EncodedTable, Floats
from data.tasks import TaskSpec
from student.model import StudentModel

# A token belongs to the rationale when its log-odds are above this.
RATIONALE_THRESHOLD = 0.0
# Tokens a forward pass: bounds memory whatever the lengths.
BATCH_TOKENS = 8192

# Of a batch: task → (B, C), and task → (B, L) log-odds of the tasks with rationales.
Answer = tuple[dict[str, Floats], dict[str, Floats]]


@dataclass(frozen=True)
class Logits:
    """labels: task → (N, C); tokens: task → (T,) rationale log-odds, NaN at special tokens."""

    labels: dict[str, Floats]
    tokens: dict[str, Floats]


@torch.no_grad()
def compute_logits(
    model: StudentModel,
    table: EncodedTable,
    batches: Sequence[npt.NDArray[np.int64]] | None = None,
    *,
    progress: str | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Logits:
    """Logits of the rows in the batches (default: all rows), NaN elsewhere, in evaluation mode.

    progress names the bar shown in a terminal; None shows none.
    """
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device

    def answer(batch: Batch) -> Answer:
        with autocast():
            output = model(*batch.to(device).inputs())
        return _on_host(output.logits), _on_host(output.rationale_logits)

    logits = collect_logits(answer, model.specs, table, batches, progress=progress)
    model.train(was_training)
    return logits


def _on_host(found: dict[str, torch.Tensor]) -> dict[str, Floats]:
    return {name: values.float().cpu().numpy() for name, values in found.items()}


def collect_logits(
    answer: Callable[[Batch], Answer],
    specs: Sequence[TaskSpec],
    table: EncodedTable,
    batches: Sequence[npt.NDArray[np.int64]] | None = None,
    *,
    progress: str | None = None,
) -> Logits:
    """What a function answers to the rows in the batches (default: all rows), NaN elsewhere."""
    labels = {
        spec.name: np.full((len(table), spec.width), np.nan, dtype=np.float32) for spec in specs
    }
    tokens = {
        spec.name: np.full(len(table.offsets), np.nan, dtype=np.float32)
        for spec in specs
        if spec.has_rationale
    }
    if batches is None:
        batches = inference_batches(table)
    bar = tqdm(batches, desc=progress, disable=None if progress else True, leave=False, delay=2)
    for batch_rows in bar:
        of_labels, of_tokens = answer(collate(table, batch_rows))
        for name, values in of_labels.items():
            labels[name][batch_rows] = values
        for name, values in of_tokens.items():
            _scatter(tokens[name], table, batch_rows, values)
    return Logits(labels, tokens)


def inference_batches(
    table: EncodedTable,
    rows: npt.NDArray[np.int64] | None = None,
    *,
    batch_tokens: int = BATCH_TOKENS,
    batch_rows: int | None = None,
) -> list[npt.NDArray[np.int64]]:
    """The chosen row numbers (default: all) by length, longest first, so that little is padded.

    A batch has about `batch_tokens` tokens, or exactly `batch_rows` rows where that is given.
    """
    lengths = table.texts.lengths + table.contexts.lengths
    rows = np.arange(len(table)) if rows is None else rows
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    batches = []
    start = 0
    while start < len(rows):
        count = batch_rows or max(1, batch_tokens // max(1, int(lengths[rows[start]])))
        batches.append(rows[start : start + count])
        start += count
    return batches


def _scatter(
    flat: Floats, table: EncodedTable, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]
) -> None:
    for place, row in enumerate(rows):
        part = table.part(int(row))
        real = table.offsets[part, 1] > table.offsets[part, 0]
        flat[part][real] = values[place, : len(real)][real]
