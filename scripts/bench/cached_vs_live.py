"""Distillation from soft targets on disk against asking each row's own teachers at every step.

    python scripts/bench/cached_vs_live.py --data ../shared/data

Both take the same student steps over the same batches and hear the same five teachers, untrained
here: that changes no time. Over E epochs the ratio is E * live / (label + read + E * cached):
labelling writes the soft targets of all rows once, in float32 as kd label does, and reading them
is counted too. Live teachers run in the student's precision, as a user's would.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from timing import interleave, median, ratio, report
from workload import (
    Workload,
    autocast,
    load,
    new_model,
    optimizer_of,
    parser,
    student_step,
)

from data.batches import Batch, collate
from data.encoding import EncodedTable
from data.ragged import RowNumbers
from data.tasks import TaskSpec
from student.inference import compute_logits, inference_batches
from student.model import StudentModel
from teachers.building import new_teacher
from teachers.soft_targets import from_logits, load_soft_targets, save_soft_targets, soft_columns

EPOCHS = (1, 4, 10)


def teacher_of(work: Workload, spec: TaskSpec) -> StudentModel:
    """An untrained teacher of a task, of the config's shape."""
    (settings,) = work.config.teachers.trained(spec.name).values()
    model = new_teacher(
        spec,
        encoder=settings.encoder,
        layers=settings.layers,
        seeker_is_frozen=True,
        **settings.shape(work.config.data),
    )
    return model.to(work.device).eval()  # type: ignore[arg-type]


def label(work: Workload, teachers: dict[str, StudentModel], folder: Path) -> None:
    """Write every teacher's soft targets of the rows of its task."""
    for spec in work.config.specs:
        rows = np.flatnonzero(work.table.known(spec.name))
        logits = compute_logits(
            teachers[spec.name], work.table, inference_batches(work.table, rows)
        )
        targets = from_logits(spec, work.table, logits, rows, "benchmark")
        save_soft_targets(targets, folder / f"{spec.name}.arrow")


def with_read_targets(work: Workload, folder: Path) -> EncodedTable:
    """The table with the soft targets that `label` wrote."""
    soft, soft_tokens = {}, {}
    for spec in work.config.specs:
        targets = load_soft_targets(folder / f"{spec.name}.arrow")
        labels, tokens = soft_columns([targets], [1.0], work.table, spec, temperature=1.0)
        soft[spec.name] = labels
        if tokens is not None:
            soft_tokens[spec.name] = tokens
    return work.table.with_soft(soft, soft_tokens)


@torch.no_grad()
def ask(work: Workload, teachers: dict[str, StudentModel], batch: Batch, rows: RowNumbers) -> Batch:
    """The batch with the soft targets of each row's own teachers, asked now."""
    soft, soft_tokens = {}, {}
    for name, teacher in teachers.items():
        places = np.flatnonzero(work.table.known(name, rows))
        soft[name] = torch.full_like(batch.soft[name], torch.nan)
        if name in batch.soft_tokens:
            soft_tokens[name] = torch.full_like(batch.soft_tokens[name], torch.nan)
        if not len(places):
            continue
        index = torch.from_numpy(places).to(work.device)
        part = collate(work.table, rows[places]).to(work.device)
        with autocast(work.device, work.precision):
            output = teacher(*part.inputs())
        soft[name][index] = output.logits[name].softmax(-1)
        if name in soft_tokens:
            chances = output.rationale_logits[name].sigmoid()
            unknown = batch.soft_tokens[name][index, : chances.shape[1]].isnan()
            chances = chances.masked_fill(unknown, torch.nan)
            soft_tokens[name][index, : chances.shape[1]] = chances
    return replace(batch, soft=soft, soft_tokens=soft_tokens)


def main(arguments: list[str] | None = None) -> None:
    """Time labelling, reading and an epoch of each kind, and print the ratios."""
    flags = parser(__doc__)
    flags.add_argument("--rows", type=int, default=512, help="train rows of the epoch")
    options = flags.parse_args(arguments)
    work = load(options, rows=32 if options.quick else options.rows)
    teachers = {spec.name: teacher_of(work, spec) for spec in work.config.specs}
    model = new_model(work)
    optimizer = optimizer_of(work, model)
    plan = work.plan

    def epoch(live: bool) -> None:
        for step in range(plan.steps):
            student_step(
                work,
                model,
                optimizer,
                plan.batch(step),
                (lambda batch, rows: ask(work, teachers, batch, rows)) if live else None,
            )

    with tempfile.TemporaryDirectory() as folder:
        seconds = interleave(
            {
                "label": lambda: label(work, teachers, Path(folder)),
                "read": lambda: with_read_targets(work, Path(folder)),
                "cached": lambda: epoch(live=False),
                "live": lambda: epoch(live=True),
            },
            rounds=1 if options.quick else options.rounds,
            device=work.device,
        )
    once = median(seconds, "label") + median(seconds, "read")
    live, cached = median(seconds, "live"), median(seconds, "cached")
    report(
        "cached_vs_live",
        {
            **{f"live_over_cached_{e}_epochs": e * live / (once + e * cached) for e in EPOCHS},
            "live_over_cached_epoch": live / cached,
            "label_over_cached_epoch": ratio(seconds, "label", "cached"),
            "read_over_cached_epoch": ratio(seconds, "read", "cached"),
            "teachers": len(teachers),
            "rows": len(work.table),
            "precision": {"student": work.precision, "live": work.precision, "label": "fp32"},
        },
        device=work.device,
    )


if __name__ == "__main__":
    main()
