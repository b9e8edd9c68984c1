"""The dry run: what a config would do, with sizes and a time estimate, before anything is done."""

import time
from collections.abc import Iterator

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from transformers import PreTrainedModel

from data.encoding import EncodedTable, encode_table
from data.plan import BatchPlan
from data.tasks import TaskSpec
from kd.config import Config, Model, Teacher, Training
from kd.hardware import new_accelerator, resolve_precision
from kd.show import print_profile
from kd.stages.data import read_tables
from kd.stages.distill import needs_teachers
from kd.stages.label import check_outside_teacher
from kd.stages.teach import plan_of
from kd.teacher_rows import check_speaker
from student.encoders import load_encoder, load_tokenizer

# The share of a large matmul's rate that a training comes to, evaluations and small batches
# included. For planning, not a benchmark.
UTILISATION = 0.35


def describe(out: Console, config: Config) -> None:
    """Print the profile, each training's rows, steps and time, and the bytes of soft targets.

    The student's rows stand by task too: a task is drawn more often than its rows alone say.
    Writes nothing. Raises InputError like the stages themselves.
    """
    table, profile = read_tables(config)
    print_profile(out, profile)
    new_accelerator(config.training.precision)
    rate = matmul_rate(resolve_precision(config.training.precision)) * UTILISATION
    for spec in config.specs if needs_teachers(config) else ():
        for name, settings in config.teachers.outside(spec.name).items():
            check_outside_teacher(config, spec, name, settings, table)
            out.print(f"teacher {name} runs outside: {settings.file}", markup=False)
        for name, hearing in config.teachers.hearing(spec.name).items():
            check_speaker(config, hearing)
            texts = sum(map(len, table.values()))
            out.print(
                f"teacher {name} hears speech: at most {texts:,} texts are spoken first; neither "
                f"they nor its training are counted below",
                markup=False,
            )
    shown = Table(box=None, pad_edge=False)
    for column in ("training", "rows", "epochs", "steps", "tokens seen", "minutes (about)"):
        shown.add_column(column, justify="left" if column == "training" else "right")
    minutes = soft_bytes = 0.0
    tokenized: dict[str, EncodedTable] = {}
    for title, specs, model, training in _trainings(config):
        if model.encoder not in tokenized:
            tokenized[model.encoder] = encode_table(
                table["train"],
                load_tokenizer(config.data.encoder(model.encoder)),
                config.specs,
                max_tokens=config.data.max_tokens,
            )
        rows = tokenized[model.encoder]
        plan = plan_of(training, rows, specs, config.seed)
        drawn = plan.quotas[-1]
        texts, contexts = (
            sum(n * lengths[pool].mean() for n, pool in zip(drawn, plan.pools, strict=True))
            for lengths in (rows.texts.lengths, rows.contexts.lengths)
        )
        # Two operations a weight and token forward, four backward (Kaplan et al. 2020, sec. 2.1).
        is_frozen = isinstance(model, Teacher) and model.seeker_encoder == "frozen"
        operations = 6 * texts + (2 if is_frozen else 6) * contexts
        encoder = load_encoder(config.data.encoder(model.encoder), model.layers)
        needed = _encoder_weights(encoder) * operations / rate / 60
        minutes += needed
        chosen = np.concatenate(plan.pools)
        epochs = drawn.sum() / len(chosen)
        shown.add_row(
            title, f"{len(chosen):,}", f"{epochs:.2f}", f"{plan.steps:,}",
            f"{texts + contexts:,.0f}", f"{needed:.1f}",
        )  # fmt: skip
        if title == "student":
            for spec in specs:
                shown.add_row(f"  {spec.name}", *_share_of(spec.name, rows, plan))
        else:
            soft_bytes += 4 * specs[0].width * len(chosen)
            if specs[0].has_rationale:
                soft_bytes += 12 * rows.texts.lengths[chosen].sum()
    out.print(shown)
    out.print(
        f"objective {config.training.objective}; soft targets about {soft_bytes / 1e6:.1f} MB; "
        f"all trainings about {minutes:.0f} minutes on this machine"
    )


def _share_of(task: str, rows: EncodedTable, plan: BatchPlan) -> tuple[str, str, str]:
    """A task's rows, how often each is drawn, and the steps that hold one, as cells."""
    has_task = np.array([rows.known(task, pool[:1])[0] for pool in plan.pools])
    number = int(rows.known(task).sum())
    steps = int((np.diff(plan.quotas, axis=0)[:, has_task].sum(axis=1) > 0).sum())
    return f"{number:,}", f"{plan.quotas[-1][has_task].sum() / number:.2f}", f"{steps:,}"


def _trainings(config: Config) -> Iterator[tuple[str, list[TaskSpec], Model, Training]]:
    """(title, tasks, model, settings) of each training of a run whose model reads."""
    if needs_teachers(config) or config.student.start is not None:
        for spec in config.specs:
            for name, teacher in config.teachers.reading(spec.name).items():
                yield f"teacher {name}", [spec], teacher, teacher.training
    student: Model = config.student
    for spec in config.specs:
        start = config.teachers.reading(spec.name).get(config.student.start or "")
        if start is not None:
            student = student.model_copy(update={"encoder": start.encoder})
    yield "student", config.specs, student, config.training


def _encoder_weights(encoder: PreTrainedModel) -> int:
    """Weights that every token is multiplied with: all but the embeddings."""
    embeddings: nn.Module = encoder.get_input_embeddings()
    return sum(p.numel() for p in encoder.parameters()) - sum(
        p.numel() for p in embeddings.parameters()
    )


def matmul_rate(precision: str, seconds: float = 0.5) -> float:
    """Multiply-adds counted as two operations, a second, of a large matmul on this machine."""
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    left = torch.randn(2048, 384, device=device).to(kind)
    right = torch.randn(384, 1536, device=device).to(kind)
    for _ in range(5):
        left @ right
    if device == "cuda":
        torch.cuda.synchronize()
    start, rounds = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        rounds += 1
    return rounds * 2 * 2048 * 384 * 1536 / (time.perf_counter() - start)
