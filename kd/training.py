"""The one loop: it trains teachers, the student and encoders on unlabelled text alike."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn
from tqdm.auto import tqdm

from data.encoding import EncodedTable
from data.errors import InputError
from data.plan import BatchPlan, shard
from kd.checkpoints import Checkpoints, State, Weights
from kd.environment import hardware, versions
from kd.hardware import configure_deepspeed
from kd.interruption import caught_signals
from kd.optimization import new_optimizer, rate_factor, set_rates
from kd.run_log import RunLog
from kd.stopped import Stopped

Rows = npt.NDArray[np.int64]
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class StepLoss:
    """What one step's global batch is to teach.

    share: model, some of its rows → their share of the loss, and of each of its parts by name;
    the shares of all rows add up to the loss. numbers: what is logged beside them.
    compare: after the step, this process's rows, one array a micro-step → more to be logged;
    None in most steps.
    """

    share: Callable[[nn.Module, Rows], tuple[torch.Tensor, dict[str, torch.Tensor]]]
    numbers: Mapping[str, float] = field(default_factory=dict)
    compare: Callable[[Sequence[Rows]], dict[str, float]] | None = None


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
    plateau: float = 1.0  # of the rate after an evaluation that brought nothing better


@dataclass(frozen=True)
class Trained:
    """What a training came to: the best dev score, the step it was reached at, the last step.

    weights: the best ones, on the CPU, in the main process; empty in the others.
    """

    weights: Weights
    best_score: float
    best_step: int
    steps: int

    def as_json(self) -> str:
        """How the training ended, and where, as a JSON text."""
        about = {name: value for name, value in vars(self).items() if name != "weights"}
        about |= {"versions": versions(), "hardware": hardware()}
        return json.dumps(about, indent=2) + "\n"


def train(
    model: Model,
    table: EncodedTable,
    plan: BatchPlan,
    loss_at: Callable[[int, Rows], StepLoss],
    dev_score: Callable[[Model], float],
    recipe: Recipe,
    accelerator: Accelerator,
    *,
    checkpoints: Checkpoints,
    log: RunLog,
    title: str,
) -> Trained:
    """Train the model and return its best weights by `dev_score`, which selection uses.

    loss_at: a step's number and the rows of its global batch → its loss, which follows from these
    alone and is divided by counts of the whole global batch. So without dropout the gradient is
    the same for any number of processes and micro-steps. Rows and schedules follow from the step's
    number, what is dropped from that and the process's, so a training that goes on from a
    checkpoint is the one that was never stopped.

    Raises InputError when a batch can't be divided among the processes or the loss is not finite,
    and Stopped, after a checkpoint, on SIGTERM or SIGINT.
    """
    check_batch_size(plan, accelerator.num_processes, recipe.accumulation)
    optimizer = new_optimizer(
        model,
        learning_rate=recipe.learning_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=recipe.weight_decay,
    )
    configure_deepspeed(accelerator, clip=recipe.clip, accumulation=recipe.accumulation)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    evaluate_at = {
        max(1, round(plan.steps * number / recipe.evaluations))
        for number in range(1, recipe.evaluations + 1)
    }
    state = checkpoints.resume(accelerator)
    log.open(state.step)
    bar = tqdm(
        total=plan.steps, initial=state.step, desc=title, leave=False, delay=2,
        disable=None if accelerator.is_main_process else True,
    )  # fmt: skip
    prepared.train()
    with bar, caught_signals(accelerator) as interruption:
        for step in range(state.step, plan.steps):
            if state.without_better >= recipe.patience:
                break
            factor = rate_factor((step + 1) / (plan.steps + 1), recipe.warmup)
            factor *= recipe.plateau**state.plateaus
            set_rates(optimizer, factor)  # before the backward pass, where DeepSpeed steps
            seed_step(plan.seed, step, accelerator.process_index)
            rows = plan.batch(step)
            loss = loss_at(step, rows)
            parts = own_parts(table, rows, accelerator, recipe.accumulation)
            log.write_rows(step, [table.ids[row] for part in parts for row in part])
            shares = take_step(prepared, optimizer, parts, loss, accelerator, clip=recipe.clip)
            state.step = step + 1
            bar.update()
            if step % log.every == 0 or state.step == plan.steps:
                losses_now = summed(shares, accelerator)
                if not all(map(math.isfinite, losses_now.values())):
                    raise InputError(
                        f"{title}: the loss is not finite at step {step}: lower learning_rate "
                        f"({recipe.learning_rate:g}) or use training.precision=fp32"
                    )
                rate = {"learning_rate": recipe.learning_rate * factor}
                log.write(step, {**loss.numbers, **rate, **losses_now})
            if loss.compare is not None:
                log.write(step, loss.compare(parts))
            if state.step in evaluate_at:
                # One process decides for all: a difference in one answer must not part them.
                score = broadcast_object_list([dev_score(model)])[0]
                prepared.train()
                keep_best(state, score, prepared, accelerator)
                log.write(step, {"dev_score": score})
                bar.set_postfix(dev=f"{score:.3f}", best=f"{state.best_score:.3f}")
            is_over = state.step == plan.steps or state.without_better >= recipe.patience
            signal = interruption.agreed(state.step, is_over)
            if signal or checkpoints.are_due(state.step):
                checkpoints.save(accelerator, state)
            if signal:
                raise Stopped(signal, state.step)
    accelerator.free_memory()
    return Trained(state.weights, state.best_score, state.best_step, state.step)


def check_batch_size(plan: BatchPlan, processes: int, accumulation: int) -> None:
    """Raise InputError when a batch has fewer rows than processes times micro-steps."""
    rows, parts = int(plan.quotas[1].sum()), processes * accumulation
    if rows < parts:
        raise InputError(
            f"training.batch_size: {rows} rows can't be divided among {processes} processes "
            f"with accumulation {accumulation}: give at least {parts}"
        )


def own_parts(
    table: EncodedTable, rows: Rows, accelerator: Accelerator, accumulation: int
) -> list[Rows]:
    """This process's rows of a global batch, one array a micro-step."""
    lengths = table.texts.lengths[rows] + table.contexts.lengths[rows]
    parts = shard(rows, lengths, accelerator.num_processes * accumulation)
    return parts[accelerator.process_index :: accelerator.num_processes]


def seed_step(seed: int, step: int, process: int) -> None:
    """Seed torch for one step: what is dropped follows from (seed, step, process) alone."""
    state = np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def take_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[Rows],
    loss: StepLoss,
    accelerator: Accelerator,
    *,
    clip: float,
) -> dict[str, torch.Tensor]:
    """One optimizer step on this process's parts of a global batch; its shares of the losses."""
    shares: dict[str, torch.Tensor] = {}
    for number, part in enumerate(parts, start=1):
        # Gradients are exchanged in the last micro-step only; no_sync covers forward too.
        with nullcontext() if number == len(parts) else accelerator.no_sync(model):
            share, found = loss.share(model, part)
            # DDP averages over processes; the shares must add up.
            accelerator.backward(share * accelerator.num_processes)
        for name, value in found.items():
            shares[name] = shares[name] + value if name in shares else value
    accelerator.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return shares


def summed(shares: dict[str, torch.Tensor], accelerator: Accelerator) -> dict[str, float]:
    """The losses of the global batch, from every process's shares."""
    return {
        f"loss/{name}": accelerator.reduce(share, "sum").item()
        for name, share in sorted(shares.items())
    }


def keep_best(state: State, score: float, model: nn.Module, accelerator: Accelerator) -> None:
    """Note a dev score, and the weights where it is the best so far."""
    if score <= state.best_score:
        state.without_better += 1
        state.plateaus += 1
        return
    state.best_score, state.best_step = score, state.step
    state.without_better = 0
    weights = accelerator.get_state_dict(model)
    if accelerator.is_main_process:
        state.weights = {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in weights.items()
        }
