"""The loss on masked words: of a step, as the loop asks for it, and of texts held out."""

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from data.encoding import EncodedTable
from data.masking import Masking, chosen_of, mask_rows, pieces_of
from kd.training import Rows, StepLoss
from student.inference import inference_batches
from student.masked_words import MaskedWordModel


def masked_loss(
    table: EncodedTable, masking: Masking, accelerator: Accelerator
) -> Callable[[int, Rows], StepLoss]:
    """A function of a step's number and rows that gives the cross-entropy of the chosen pieces."""
    pieces = pieces_of(table, masking)

    def loss_at(step: int, rows: Rows) -> StepLoss:
        count = sum(chosen_of(number, masking.share) for number in pieces[rows].tolist())

        def share(prepared: nn.Module, part: Rows) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            loss = masked_loss_sum(prepared, table, part, step, masking, accelerator) / count
            return loss, {"masked_words": loss.detach()}

        return StepLoss(share)

    return loss_at


def masked_loss_sum(
    model: nn.Module,
    table: EncodedTable,
    rows: Rows,
    step: int,
    masking: Masking,
    accelerator: Accelerator,
) -> torch.Tensor:
    """The sum of -log p of the pieces that a step hides in some rows."""
    batch = mask_rows(table, rows, step, masking).to(accelerator.device)
    logits = model(batch.input_ids, batch.lengths, batch.places)
    return functional.cross_entropy(logits.float(), batch.words, reduction="sum")


@torch.no_grad()
def held_out_loss(
    model: MaskedWordModel, table: EncodedTable, masking: Masking, accelerator: Accelerator
) -> float:
    """The mean of -log p over the chosen pieces of all rows, hidden as in step 0, in nats.

    Each process computes its share of the batches; all must call it.
    """
    model.eval()
    total = torch.zeros((), device=accelerator.device, dtype=torch.float64)
    batches = inference_batches(table)
    for rows in batches[accelerator.process_index :: accelerator.num_processes]:
        with accelerator.autocast():
            total += masked_loss_sum(model, table, rows, 0, masking, accelerator)
    count = sum(chosen_of(number, masking.share) for number in pieces_of(table, masking).tolist())
    return float(accelerator.reduce(total, "sum")) / count
