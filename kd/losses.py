"""Losses: mixed targets or a sum of two losses, as masked sums divided by global counts.

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
    kl_weight None mixes gold and soft targets before the cross-entropy; a number adds the
    divergence from the soft targets, with that weight, to the loss on gold. temperature is the one
    that the soft targets were made with.
    """

    spec: TaskSpec
    weight: float = 1.0
    level_weight: float = 1.0
    rationale_weight: float = 0.5
    class_weights: tuple[float, ...] | None = None
    token_weights: tuple[float, float] | None = None
    temperature: float = 1.0
    kl_weight: float | None = None


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


def label_divergence_sum(
    logits: torch.Tensor, soft: torch.Tensor, spec: TaskSpec, temperature: float
) -> torch.Tensor:
    """Sum over the known rows of T^2 * KL(soft || softmax(logits / T)), or of squared error.

    logits, soft: (B, C), soft made with the same temperature T.
    """
    if spec.kind == "regression":
        return label_loss_sum(logits, soft, spec)
    soft = torch.where(soft.isfinite().all(-1, keepdim=True), soft, 0.0)
    likelihood = (logits / temperature).log_softmax(-1)
    # T^2 keeps the gradient's size as the temperature rises (Hinton et al. 2015, section 2).
    return functional.kl_div(likelihood, soft, reduction="sum") * temperature**2


def token_divergence_sum(
    logits: torch.Tensor, soft: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Sum over the known tokens of T^2 * KL(soft || p), p = sigmoid(logits / T); both (B, L)."""
    known = torch.where(soft.isfinite(), soft, 0.0)
    entropy = -(torch.xlogy(known, known) + torch.xlogy(1.0 - known, 1.0 - known)).sum()
    crossed = token_loss_sum(logits / temperature, soft, 1.0 - soft)
    return (crossed - entropy) * temperature**2


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

    A row's loss is -sum(target * log p) with the target of `mix_targets`, or, where a task has a
    kl_weight w, -log p_gold + w * T^2 * KL(soft || p_T); a row with one known target has that part
    alone. Tokens have the same with two classes, a regression squared errors.
    """
    parts: dict[str, torch.Tensor] = {}
    total = torch.zeros((), device=batch.input_ids.device)
    for name, loss in losses.items():
        rows, tokens = counts[name]
        gold = batch.gold[name]
        if loss.class_weights is not None:
            # Of gold alone: the teacher was trained with the weights and says so in its targets.
            gold = gold * gold.new_tensor(loss.class_weights)
        part = _label_sum(output.logits[name], gold, batch.soft.get(name), loss, gold_weight)
        part = part / max(rows, 1)
        parts[name] = part.detach()
        total = total + loss.weight * loss.level_weight * part
        if name in output.rationale_logits:
            gold, soft = batch.gold_tokens[name], batch.soft_tokens.get(name)
            part = _token_sum(output.rationale_logits[name], gold, soft, loss, gold_weight)
            part = part / max(tokens, 1)
            parts[f"{name}/rationale"] = part.detach()
            total = total + loss.weight * loss.rationale_weight * part
    return total, parts


def _label_sum(
    logits: torch.Tensor,
    gold: torch.Tensor,
    soft: torch.Tensor | None,
    loss: TaskLoss,
    gold_weight: float,
) -> torch.Tensor:
    """A task's label loss of (B, C) logits and targets, the gold ones times their class weights."""
    if loss.kl_weight is None:
        return label_loss_sum(logits, mix_targets(gold, soft, gold_weight), loss.spec)
    total = label_loss_sum(logits, gold, loss.spec)
    if soft is not None:
        apart = label_divergence_sum(logits, soft, loss.spec, loss.temperature)
        total = total + loss.kl_weight * apart
    return total


def _token_sum(
    logits: torch.Tensor,
    gold: torch.Tensor,
    soft: torch.Tensor | None,
    loss: TaskLoss,
    gold_weight: float,
) -> torch.Tensor:
    """A task's rationale loss of (B, L) log-odds and targets."""
    weight_outside, weight_inside = loss.token_weights or (1.0, 1.0)
    inside, outside = weight_inside * gold, weight_outside * (1.0 - gold)
    if loss.kl_weight is None:
        complement = None if soft is None else 1.0 - soft
        return token_loss_sum(
            logits,
            mix_targets(inside, soft, gold_weight),
            mix_targets(outside, complement, gold_weight),
        )
    total = token_loss_sum(logits, inside, outside)
    if soft is not None:
        total = total + loss.kl_weight * token_divergence_sum(logits, soft, loss.temperature)
    return total
