"""Gathering: the logits of a table, each process computing its share of the batches."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator

from data.encoding import EncodedTable, Floats
from student.inference import Logits, compute_logits, inference_batches
from student.model import StudentModel


def gather_logits(
    model: StudentModel,
    table: EncodedTable,
    accelerator: Accelerator,
    *,
    batches: Sequence[npt.NDArray[np.int64]] | None = None,
    progress: str | None = None,
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Logits:
    """The logits of the rows in the batches (default: all), NaN elsewhere, in every process.

    The batches are made before they are shared out, so a row is computed beside the same rows
    however many processes there are. All processes must call it.
    """
    batches = inference_batches(table) if batches is None else batches
    processes, process = accelerator.num_processes, accelerator.process_index
    mine = list(batches[process::processes])
    is_mine = _is_in(mine, table)
    if len(batches) % processes and process >= len(batches) % processes:
        # With sharded weights a pass is a collective: every process makes the same number.
        mine.append(batches[0])
    logits = compute_logits(
        model, table, mine, progress=progress if accelerator.is_main_process else None,
        autocast=autocast,
    )  # fmt: skip
    if processes == 1:
        return logits
    is_chosen = _is_in(batches, table)

    def whole(values: Floats, repeats: npt.NDArray[np.int64] | int) -> Floats:
        # Every value is one process's own and 0 in the others; a sum changes no bit of it.
        values[~np.repeat(is_mine, repeats)] = 0.0
        tensor = torch.from_numpy(values).to(accelerator.device)
        found: Floats = accelerator.reduce(tensor, "sum").cpu().numpy()
        found[~np.repeat(is_chosen, repeats)] = np.nan
        return found

    return Logits(
        {name: whole(values, 1) for name, values in logits.labels.items()},
        {name: whole(values, table.texts.lengths) for name, values in logits.tokens.items()},
    )


def _is_in(batches: Sequence[npt.NDArray[np.int64]], table: EncodedTable) -> npt.NDArray[np.bool_]:
    """(N,) whether a row is in one of the batches."""
    found = np.zeros(len(table), dtype=bool)
    for rows in batches:
        found[rows] = True
    return found
