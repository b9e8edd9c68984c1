"""Losses: mixed targets, and masked sums divided by global counts.

Letters: B = rows, L = tokens, C = classes. NaN is an unknown target.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from data.batches import Batch
from data.tasks import TaskSpec
from student.model import StudentOutput


@dataclass(frozen=True)
class TaskLoss:
    """How one task counts: its weight, its two parts, and its class weights.

    level_weight and rationale_weight are lambda_EI and lambda_RE of Sharma et al. (2020, eq. 3).
    class_weights w turn a gold row's cross-entropy into -w_c * log p_c for its class c;
    token_weights do the same for gold tokens outside and inside the rationale.
    """

    spec: TaskSpec
    weight: float = 1.0
    level_weight: float = 1.0
    rationale_weight: float = 0.5
    class_weights: tuple[float, ...] | None = None
    token_weights: tuple[float, float] | None = None


def mix_targets(gold: torch.Tensor, soft: torch.Tensor | None, gold_weight: float) -> torch.Tensor:
    """gold_weight * gold + (1 - gold_weight) * soft (Clark et al. 2019, section 3.1).

    gold, soft: (B, C) or (B, L). Where only one is known it carries the whole weight; where
    neither is, the result is NaN.
    """
    if soft is None:
        return gold
    mixed = gold_weight * gold + (1.0 - gold_weight) * soft
    return torch.where(gold.isnan(), soft, torch.where(soft.isnan(), gold, mixed))


def label_loss_sum(logits: torch.Tensor, targets: torch.Tensor, spec: TaskSpec) -> torch.Tensor:
    """Sum over the known rows of cross-entropy with (B, C) targets, or of squared error."""
    known = targets.isfinite().all(-1, keepdim=True)
    targets = torch.where(known, targets, 0.0)
    if spec.kind == "regression":
        return (torch.where(known, logits, 0.0) - targets).square().sum()
    return -(targets * logits.log_softmax(-1)).sum()


def token_loss_sum(
    logits: torch.Tensor, inside: torch.Tensor, outside: torch.Tensor
) -> torch.Tensor:
    """Sum over the known tokens of -inside * log p - outside * log(1 - p), p = sigmoid(logits).

    inside, outside: (B, L) target weights of a token in the rationale, and not in it; they are t
    and 1 - t without class weights.
    """
    known = inside.isfinite()
    inside, outside = torch.where(known, inside, 0.0), torch.where(known, outside, 0.0)
    likelihood = inside * functional.logsigmoid(logits) + outside * functional.logsigmoid(-logits)
    return -likelihood.sum()


def batch_loss(
    output: StudentOutput,
    batch: Batch,
    losses: Mapping[str, TaskLoss],
    *,
    gold_weight: float,
    counts: Mapping[str, tuple[int, int]],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of this part of a global batch, and each part's share of it by name.

    counts: task → (rows, tokens) known in the whole global batch, so the parts of all processes
    and micro-steps add up to the mean over the global batch, a task at a time.
    """
    parts: dict[str, torch.Tensor] = {}
    total = torch.zeros((), device=batch.input_ids.device)
    for name, loss in losses.items():
        rows, tokens = counts[name]
        gold = batch.gold[name]
        if loss.class_weights is not None:
            # Of gold alone: the teacher was trained with the weights and says so in its targets.
            gold = gold * gold.new_tensor(loss.class_weights)
        targets = mix_targets(gold, batch.soft.get(name), gold_weight)
        part = label_loss_sum(output.logits[name], targets, loss.spec) / max(rows, 1)
        parts[name] = part.detach()
        total = total + loss.weight * loss.level_weight * part
        if name in output.rationale_logits:
            gold, soft = batch.gold_tokens[name], batch.soft_tokens.get(name)
            outside, inside = loss.token_weights or (1.0, 1.0)
            part = token_loss_sum(
                output.rationale_logits[name],
                mix_targets(inside * gold, soft, gold_weight),
                mix_targets(
                    outside * (1.0 - gold), None if soft is None else 1.0 - soft, gold_weight
                ),
            ) / max(tokens, 1)
            parts[f"{name}/rationale"] = part.detach()
            total = total + loss.weight * loss.rationale_weight * part
    return total, parts
