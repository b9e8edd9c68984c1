"""Batch: padded tensors of some rows of an encoded table, with their targets.

Letters: B = rows, L = text tokens, M = context tokens, C = classes.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch

from data.encoding import EncodedTable, Ragged


@dataclass(frozen=True)
class Batch:
    """Inputs and targets of B rows; NaN is an unknown target."""

    input_ids: torch.Tensor  # (B, L)
    attention_mask: torch.Tensor  # (B, L)
    context_ids: torch.Tensor  # (B, M)
    context_mask: torch.Tensor  # (B, M), all zero for a row without context
    gold: dict[str, torch.Tensor]  # task → (B, C)
    soft: dict[str, torch.Tensor]  # task → (B, C)
    gold_tokens: dict[str, torch.Tensor]  # task → (B, L)
    soft_tokens: dict[str, torch.Tensor]  # task → (B, L)
    # Known on the host, so that a GPU is never asked for them: (B,) each, 0 without context.
    text_lengths: list[int]
    context_lengths: list[int]

    def inputs(self) -> tuple[torch.Tensor | list[int], ...]:
        """What a StudentModel reads, in the order of its forward."""
        return (
            self.input_ids,
            self.attention_mask,
            self.context_ids,
            self.context_mask,
            self.text_lengths,
            self.context_lengths,
        )

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device; accelerate leaves a plain dataclass where it is."""

        def moved(value: torch.Tensor | dict[str, torch.Tensor] | list[int]) -> object:
            if isinstance(value, dict):
                return {name: moved(tensor) for name, tensor in value.items()}
            return value if isinstance(value, list) else to_device(value, device)

        changes = {field.name: moved(getattr(self, field.name)) for field in fields(self)}
        return replace(self, **changes)  # type: ignore[arg-type]


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device; copies from pageable memory would make the host wait for a GPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def collate(table: EncodedTable, rows: npt.NDArray[np.int64]) -> Batch:
    """The batch of some rows, padded to the longest text and the longest context among them."""
    input_ids, attention_mask = _pad_ids(table.texts, rows, table.pad_id)
    context_ids, context_mask = _pad_ids(table.contexts, rows, table.pad_id)
    return Batch(
        input_ids=input_ids,
        attention_mask=attention_mask,
        context_ids=context_ids,
        context_mask=context_mask,
        gold={task: torch.from_numpy(values[rows]) for task, values in table.gold.items()},
        soft={task: torch.from_numpy(values[rows]) for task, values in table.soft.items()},
        gold_tokens=_pad_targets(table, table.gold_tokens, rows),
        soft_tokens=_pad_targets(table, table.soft_tokens, rows),
        text_lengths=table.texts.lengths[rows].tolist(),
        context_lengths=table.contexts.lengths[rows].tolist(),
    )


def _pad_ids(
    ragged: Ragged, rows: npt.NDArray[np.int64], pad_id: int
) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = ragged.lengths[rows]
    ids = np.full((len(rows), max(1, int(lengths.max(initial=0)))), pad_id, dtype=np.int64)
    for place, row in enumerate(rows):
        ids[place, : lengths[place]] = ragged.row(int(row))
    mask = np.arange(ids.shape[1])[None, :] < lengths[:, None]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def _pad_targets(
    table: EncodedTable, targets: dict[str, npt.NDArray[np.float32]], rows: npt.NDArray[np.int64]
) -> dict[str, torch.Tensor]:
    lengths = table.texts.lengths[rows]
    padded = {}
    for task, flat in targets.items():
        values = np.full((len(rows), int(lengths.max(initial=1))), np.nan, dtype=np.float32)
        for place, row in enumerate(rows):
            start = table.texts.starts[row]
            values[place, : lengths[place]] = flat[start : start + lengths[place]]
        padded[task] = torch.from_numpy(values)
    return padded


def target_counts(table: EncodedTable, rows: npt.NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """task → (rows with a target, tokens with a target) of the global batch `rows`.

    Every process computes it from the plan alone, so the global mean needs no communication.
    """
    counts = {}
    for task in table.gold:
        known_tokens = 0
        if task in table.gold_tokens:
            gold = table.gold_tokens[task]
            soft = table.soft_tokens.get(task)
            for row in rows:
                part = table.part(row)
                known = np.isfinite(gold[part])
                if soft is not None:
                    known = known | np.isfinite(soft[part])
                known_tokens += int(known.sum())
        counts[task] = (int(table.known(task, rows).sum()), known_tokens)
    return counts
