"""Interference: whether the tasks' gradients on the shared encoder pull the same way.

The measure is the cosine of two tasks' gradients; a negative one is a conflict (Yu et al. 2020,
"Gradient Surgery for Multi-Task Learning", definition 1).

Letters: P = parameters of the shared encoder without its table of word embeddings.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from data.batches import Batch, collate
from data.encoding import EncodedTable
from kd.losses import TaskLoss, batch_loss
from student.model import StudentModel

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


def sample_steps(steps: int, samples: int, tasks: int, accelerator: Accelerator) -> set[int]:
    """The steps, evenly spread from the first to the last, after which gradients are compared.

    None for a single task, where a process holds a part of the weights only, and in fp16, whose
    small gradients are 0 unless the loss is scaled.
    """
    is_sharded = accelerator.distributed_type in SHARDED
    if tasks < 2 or is_sharded or accelerator.mixed_precision == "fp16":
        return set()
    return set(np.linspace(0, steps - 1, samples, dtype=np.int64).tolist())


def interference(
    model: StudentModel,
    table: EncodedTable,
    parts: Sequence[npt.NDArray[np.int64]],
    losses: Mapping[str, TaskLoss],
    accelerator: Accelerator,
    *,
    gold_weight: float,
    counts: Mapping[str, tuple[int, int]],
) -> dict[str, float]:
    """The norms and cosines of the tasks' gradients on a global batch, of which `parts` are ours.

    model: the one that was prepared, not what wraps it, so no hook of DDP's runs. All processes
    must call it; their parts are added up. The model's mode and `.grad` stay as they are.
    counts: of the whole global batch, from `target_counts`; tasks without any are left out.
    """
    known = {name: loss for name, loss in losses.items() if any(counts[name])}
    batches = (collate(table, part).to(accelerator.device) for part in parts)
    gradients = task_gradients(model, batches, known, gold_weight=gold_weight, counts=counts)
    return cosines({name: accelerator.reduce(g, "sum") for name, g in gradients.items()})


def task_gradients(
    model: StudentModel,
    batches: Iterable[Batch],
    losses: Mapping[str, TaskLoss],
    *,
    gold_weight: float,
    counts: Mapping[str, tuple[int, int]],
) -> dict[str, torch.Tensor]:
    """task → (P,), the gradient of its own part of `batch_loss`, summed over the batches.

    Nothing of an encoder that has no weights but its word embeddings.

    The table of word embeddings, half of a small encoder, is left out to bound memory, which is
    P numbers a task; tasks with other rows share few of its words. A batch costs one
    forward pass and one backward pass a task.
    """
    words = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    shared = [p for p in model.encoder.parameters() if p.requires_grad and id(p) not in words]
    if not shared:  # an encoder of word vectors alone
        return {}
    names = list(losses)
    found: dict[str, torch.Tensor] = {}
    for batch in batches:
        output = model(*batch.inputs())
        for name, loss in losses.items():
            own, _ = batch_loss(output, batch, {name: loss}, gold_weight=gold_weight, counts=counts)
            # The last one frees what the forward pass kept, before another batch keeps its own.
            pieces = torch.autograd.grad(
                own, shared, retain_graph=name != names[-1], materialize_grads=True
            )
            gradient = torch.cat([piece.flatten() for piece in pieces])
            found[name] = found[name].add_(gradient) if name in found else gradient
    return found


def cosines(gradients: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """`gradient_norm/TASK` of each (P,) gradient, `gradient_cosine/TASK/OTHER` of each pair.

    A gradient of 0 has no cosine, and one that is not finite has neither.
    """
    norms = {name: float(torch.linalg.vector_norm(g)) for name, g in gradients.items()}
    found = {f"gradient_norm/{name}": norm for name, norm in norms.items() if math.isfinite(norm)}
    for name, other in combinations(gradients, 2):
        product = norms[name] * norms[other]
        if 0 < product < math.inf:
            cosine = float(gradients[name] @ gradients[other]) / product
            found[f"gradient_cosine/{name}/{other}"] = min(1.0, max(-1.0, cosine))
    return found
