"""TextBrewer's MultiTaskDistiller on a workload: its loaders, adaptors, schedules and training."""

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from workload import Workload, autocast, new_model, optimizer_of, plain_forward

from data.batches import Batch, collate, target_counts
from data.ragged import RowNumbers
from kd.losses import batch_loss
from kd.optimization import rate_factor
from student.model import StudentModel, StudentOutput

Counts = dict[str, tuple[int, int]]


class PlainModel(nn.Module):
    """A model as TextBrewer calls it: one task's batch through one padded pass."""

    def __init__(self, model: StudentModel, precision: str) -> None:
        super().__init__()
        self.model, self.precision = model, precision

    def forward(
        self, batch: Batch, task: str, counts: Counts, token_mask: torch.Tensor
    ) -> StudentOutput:
        """The task's logits."""
        with autocast(batch.input_ids.device, self.precision):
            return plain_forward(self.model, batch, task)


def loader(work: Workload, task: str, seen: Counter[str]) -> Any:
    """Batches of one task's rows, padded to the longest; `seen` counts the rows."""

    def collated(rows: list[int]) -> dict[str, Any]:
        chosen: RowNumbers = np.asarray(rows)
        seen[task] += len(rows)
        batch = collate(work.table, chosen).to(work.device)
        token_mask = torch.zeros(batch.input_ids.shape, dtype=torch.bool)
        for place, row in enumerate(rows):
            offsets = work.table.offsets[work.table.part(row)]
            token_mask[place, : len(offsets)] = torch.from_numpy(offsets[:, 1] > offsets[:, 0])
        counts = target_counts(work.table, chosen)
        return {"batch": batch, "task": task, "counts": counts, "token_mask": token_mask}

    rows: Any = np.flatnonzero(work.table.known(task)).tolist()
    size = work.config.training.batch_size
    return torch.utils.data.DataLoader(rows, size, shuffle=True, collate_fn=collated)


def answers(batch: dict[str, Any], output: StudentOutput) -> dict[str, Any]:
    """What TextBrewer's soft loss reads; a rationale logit z is the two-class logits (0, z)."""
    task = batch["task"]
    found = {"logits": [output.logits[task]]}
    if task in output.rationale_logits:
        z = output.rationale_logits[task]
        found["logits"].append(torch.stack([torch.zeros_like(z), z], dim=-1))
        found["logits_mask"] = [batch["token_mask"]]
    return found


def with_textbrewer(
    work: Workload,
    teachers: dict[str, StudentModel],
    epochs: float,
    precision: str,
    seen: Counter[str],
    folder: Path,
) -> StudentModel:
    """The student after TextBrewer's distillation, which leaves its checkpoint in the folder."""
    textbrewer = importlib.import_module("textbrewer")
    seen.clear()
    np.random.seed(work.config.seed)
    student = new_model(work, plain=True)
    training = work.config.training
    loaders = {task: loader(work, task, seen) for task in work.losses}
    steps = round(epochs * sum(len(batches) for batches in loaders.values()))

    def with_gold_loss(batch: dict[str, Any], output: StudentOutput) -> dict[str, Any]:
        losses = {batch["task"]: work.losses[batch["task"]]}
        loss, _ = batch_loss(
            output, batch["batch"], losses, gold_weight=1.0, counts=batch["counts"]
        )
        return {**answers(batch, output), "losses": [loss]}

    distiller = textbrewer.MultiTaskDistiller(
        train_config=textbrewer.TrainingConfig(
            ckpt_steps=steps, output_dir=str(folder), device=work.device
        ),
        distill_config=textbrewer.DistillationConfig(
            temperature=1,
            kd_loss_weight=1,
            kd_loss_weight_scheduler="linear_decay",
            hard_label_weight=0,
            hard_label_weight_scheduler="linear_growth",
        ),
        model_T={task: PlainModel(teacher, precision) for task, teacher in teachers.items()},
        model_S=PlainModel(student, precision),
        adaptor_T=dict.fromkeys(teachers, answers),
        adaptor_S=dict.fromkeys(teachers, with_gold_loss),
    )
    with distiller:
        distiller.train(
            optimizer_of(work, student),
            loaders,
            num_steps=steps,
            scheduler_class=torch.optim.lr_scheduler.LambdaLR,
            scheduler_args={
                "lr_lambda": lambda step: rate_factor((step + 1) / (steps + 1), training.warmup)
            },
            max_grad_norm=training.clip,
        )
    return student
