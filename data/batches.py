"""Batch: padded tensors of some rows of an encoded table, with their targets.

Letters: B = rows, L = text tokens, M = context tokens, C = classes.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import torch

from data.encoding import EncodedTable
from data.ragged import Ragged


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
    places, mask = _places(ragged, rows)
    ids = np.full(mask.shape, pad_id, dtype=np.int64)
    ids[mask] = ragged.values[places[mask]]
    return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def _pad_targets(
    table: EncodedTable, targets: dict[str, npt.NDArray[np.float32]], rows: npt.NDArray[np.int64]
) -> dict[str, torch.Tensor]:
    places, mask = _places(table.texts, rows)
    padded = {}
    for task, flat in targets.items():
        values = np.full(mask.shape, np.nan, dtype=np.float32)
        values[mask] = flat[places[mask]]
        padded[task] = torch.from_numpy(values)
    return padded


def _places(
    ragged: Ragged, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Where each value of some rows stands in the flat array, and which of them there are.

    Both (B, length of the longest row, at least 1).
    """
    starts = ragged.starts[rows]
    lengths = ragged.starts[rows + 1] - starts
    places = starts[:, None] + np.arange(max(1, int(lengths.max(initial=0))))
    return places, places < (starts + lengths)[:, None]


def target_counts(table: EncodedTable, rows: npt.NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """task → (rows with a target, tokens with a target) of the global batch `rows`.

    Every process computes it from the plan alone, so the global mean needs no communication.
    """
    counts = {}
    for task in table.gold:
        known_tokens = 0
        if task in table.gold_tokens:
            places, mask = _places(table.texts, rows)
            places = places[mask]
            known = np.isfinite(table.gold_tokens[task][places])
            if task in table.soft_tokens:
                known |= np.isfinite(table.soft_tokens[task][places])
            known_tokens = int(known.sum())
        counts[task] = (int(table.known(task, rows).sum()), known_tokens)
    return counts
