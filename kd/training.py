"""The one loop: it trains teachers and the student alike."""

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from tqdm.auto import tqdm

from data.batches import collate, target_counts
from data.encoding import EncodedTable
from data.errors import InputError
from data.plan import BatchPlan, shard
from kd.annealing import Schedule
from kd.losses import TaskLoss, batch_loss
from kd.optimization import new_optimizer, rate_factor, set_rates
from kd.run_log import RunLog
from student.model import StudentModel

LOG_EVERY = 10


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training, free of where its model and data come from."""

    learning_rate: float
    layer_decay: float
    weight_decay: float
    warmup: float
    clip: float
    accumulation: int
    evaluations: int  # over the whole run
    patience: int


@dataclass(frozen=True)
class Trained:
    """What a training came to: the best dev score, the step it was reached at, the last step."""

    best_score: float
    best_step: int
    steps: int

    def as_json(self) -> str:
        """The same as a JSON text."""
        return json.dumps(asdict(self), indent=2) + "\n"


def train(
    model: StudentModel,
    table: EncodedTable,
    plan: BatchPlan,
    losses: dict[str, TaskLoss],
    schedule: Schedule,
    dev_score: Callable[[StudentModel], float],
    recipe: Recipe,
    accelerator: Accelerator,
    *,
    log: RunLog,
    title: str,
) -> Trained:
    """Train the model and leave it with its best weights by `dev_score`, which selection uses.

    Losses are divided by the counts of the whole global batch, which every process computes from
    the plan, so the gradient is the same for any number of processes and micro-steps.
    """
    processes = accelerator.num_processes
    parts = processes * recipe.accumulation
    batch_size = int(plan.quotas[1].sum())
    if batch_size < parts:
        raise InputError(
            f"training.batch_size: {batch_size} rows can't be divided among {processes} processes "
            f"with accumulation {recipe.accumulation}: give at least {parts}"
        )
    optimizer = new_optimizer(
        model,
        learning_rate=recipe.learning_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=recipe.weight_decay,
    )
    prepared, optimizer = accelerator.prepare(model, optimizer)
    lengths = table.texts.lengths + table.contexts.lengths
    evaluate_at = {
        max(1, round(plan.steps * number / recipe.evaluations))
        for number in range(1, recipe.evaluations + 1)
    }
    best: dict[str, torch.Tensor] = {}
    best_score, best_step, without_better = float("-inf"), 0, 0
    bar = tqdm(
        range(plan.steps), desc=title, disable=None if accelerator.is_main_process else True,
        leave=False, delay=2,
    )  # fmt: skip
    prepared.train()
    for step in bar:
        progress = step / plan.steps
        gold_weight = schedule(progress)
        rows = plan.batch(step)
        counts = target_counts(table, rows)
        mine = shard(rows, lengths[rows], parts)[accelerator.process_index :: processes]
        logged: dict[str, torch.Tensor] = {}
        for number, part in enumerate(mine, start=1):
            batch = collate(table, part).to(accelerator.device)
            # Gradients are exchanged in the last micro-step only; no_sync covers forward too.
            with nullcontext() if number == len(mine) else accelerator.no_sync(prepared):
                output = prepared(
                    batch.input_ids, batch.attention_mask, batch.context_ids, batch.context_mask
                )
                loss, shares = batch_loss(
                    output, batch, losses, gold_weight=gold_weight, counts=counts
                )
                # DDP averages over processes; the shares must add up.
                accelerator.backward(loss * processes)
            for name, share in shares.items():
                logged[name] = logged.get(name, torch.zeros_like(share)) + share
        accelerator.clip_grad_norm_(prepared.parameters(), recipe.clip)
        factor = rate_factor((step + 1) / (plan.steps + 1), recipe.warmup)
        set_rates(optimizer, factor)
        optimizer.step()
        optimizer.zero_grad()
        if step % LOG_EVERY == 0 or step + 1 == plan.steps:
            losses_now = {
                f"loss/{name}": accelerator.reduce(value, "sum").item()
                for name, value in sorted(logged.items())
            }
            if not all(map(math.isfinite, losses_now.values())):
                raise InputError(
                    f"{title}: the loss is not finite at step {step}: lower learning_rate "
                    f"({recipe.learning_rate:g}) or use training.precision=fp32"
                )
            rates = {"gold_weight": gold_weight, "learning_rate": recipe.learning_rate * factor}
            log.write(step, {**rates, **losses_now})
        if step + 1 in evaluate_at:
            # One process decides for all: a difference in one answer must not part them.
            score = dev_score(model) if accelerator.is_main_process else 0.0
            score = broadcast_object_list([score])[0]
            log.write(step, {"dev_score": score})
            if score > best_score:
                best_score, best_step, without_better = score, step + 1, 0
                best = {
                    name: tensor.detach().clone() for name, tensor in model.state_dict().items()
                }
            else:
                without_better += 1
            bar.set_postfix(dev=f"{score:.3f}", best=f"{best_score:.3f}")
            if without_better >= recipe.patience:
                break
            prepared.train()
    model.load_state_dict(best)
    accelerator.free_memory()
    return Trained(best_score=best_score, best_step=best_step, steps=step + 1)
