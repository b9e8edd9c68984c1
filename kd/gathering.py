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
    """The logits of all rows, the same in every process and for any number of them.

    The batches (default: `inference_batches`) are made before they are shared out, so a row is
    computed beside the same rows however many processes there are. All processes must call it.
    """
    batches = inference_batches(table) if batches is None else batches
    processes, process = accelerator.num_processes, accelerator.process_index
    mine = list(batches[process::processes])
    rows = np.concatenate(mine) if mine else np.array([], dtype=np.int64)
    if len(batches) % processes and process >= len(batches) % processes:
        # With sharded weights a pass is a collective: every process makes the same number.
        mine.append(batches[0])
    logits = compute_logits(
        model, table, mine, progress=progress if accelerator.is_main_process else None,
        autocast=autocast,
    )  # fmt: skip
    if processes == 1:
        return logits
    is_mine = np.zeros(len(table), dtype=bool)
    is_mine[rows] = True
    is_my_token = np.repeat(is_mine, table.texts.lengths)

    def whole(values: Floats, owned: npt.NDArray[np.bool_]) -> Floats:
        # Every value is one process's own and 0 in the others; a sum changes no bit of it.
        values[~owned] = 0.0
        tensor = torch.from_numpy(values).to(accelerator.device)
        found: Floats = accelerator.reduce(tensor, "sum").cpu().numpy()
        return found

    return Logits(
        {name: whole(values, is_mine) for name, values in logits.labels.items()},
        {name: whole(values, is_my_token) for name, values in logits.tokens.items()},
    )
