"""The loss of a step on gold and soft targets, as the loop asks for it."""

from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import nn

from data.batches import collate, target_counts
from data.encoding import EncodedTable
from kd.annealing import Schedule
from kd.interference import interference, sample_steps
from kd.losses import TaskLoss, batch_loss
from kd.training import Rows, StepLoss
from student.model import StudentModel


def target_loss(
    model: StudentModel,
    table: EncodedTable,
    losses: Mapping[str, TaskLoss],
    schedule: Schedule,
    accelerator: Accelerator,
    *,
    steps: int,
    comparisons: int,
) -> Callable[[int, Rows], StepLoss]:
    """A function of a step's number and rows that gives the loss on the table's targets.

    The gold weight follows the schedule over that many steps; after as many as `comparisons` of
    them the gradients of the tasks on the model's encoder are compared.
    """
    compare_at = sample_steps(steps, comparisons, len(losses), accelerator)

    def loss_at(step: int, rows: Rows) -> StepLoss:
        gold_weight = schedule(step / steps)
        # Every process counts the whole global batch, so no one needs to ask the others.
        counts = target_counts(table, rows)

        def share(prepared: nn.Module, part: Rows) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            batch = collate(table, part).to(accelerator.device)
            output = prepared(*batch.inputs())
            return batch_loss(output, batch, losses, gold_weight=gold_weight, counts=counts)

        def compare(parts: Sequence[Rows]) -> dict[str, float]:
            return interference(
                model, table, parts, losses, accelerator, gold_weight=gold_weight, counts=counts
            )

        about = {"gold_weight": gold_weight}
        return StepLoss(share, about, compare if step in compare_at else None)

    return loss_at
