"""The dry run: what a config would do, with sizes and a time estimate, before anything is done."""

import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from data.encoding import EncodedTable, encode_table
from data.plan import make_plan
from kd.config import Config
from kd.hardware import new_accelerator, resolve_precision
from kd.show import print_profile
from kd.stages.data import read_tables
from kd.stages.distill import needs_teachers
from student.encoders import load_encoder, load_tokenizer

# The share of a matmul's rate that training steps reach here; docs/performance.md says how it was
# measured. The estimate is for planning a coffee, not for a benchmark.
UTILISATION = 0.25


def describe(out: Console, config: Config) -> None:
    """Print the profile, each training's rows, steps and time, and the bytes of soft targets.

    Writes nothing. Raises InputError like the stages themselves.
    """
    table, profile = read_tables(config)
    print_profile(out, profile)
    new_accelerator(config.training.precision)
    rate = matmul_rate(resolve_precision(config.training.precision)) * UTILISATION
    shown = Table(box=None, pad_edge=False)
    for column in ("training", "rows", "epochs", "steps", "tokens", "minutes (about)"):
        shown.add_column(column, justify="left" if column == "training" else "right")
    total = soft_bytes = 0.0
    tokenized: dict[str, EncodedTable] = {}

    def encoded(encoder: str) -> EncodedTable:
        if encoder not in tokenized:
            tokenized[encoder] = encode_table(
                table["train"], load_tokenizer(encoder), config.specs,
                max_tokens=config.data.max_tokens,
            )  # fmt: skip
        return tokenized[encoder]

    def add(
        name: str,
        rows: EncodedTable,
        known: np.ndarray,
        settings: object,
        encoder: str,
        layers: object,
    ) -> None:
        nonlocal total
        lengths = rows.texts.lengths + rows.contexts.lengths
        tokens = int(lengths[known.any(axis=1)].sum())
        plan = make_plan(
            known,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            seed=config.seed,  # type: ignore[attr-defined]
        )
        weights = _encoder_weights(encoder, layers)
        minutes = 6 * weights * tokens * settings.epochs / rate / 60  # type: ignore[attr-defined]
        total += minutes
        shown.add_row(
            name, f"{int(known.any(axis=1).sum()):,}", f"{settings.epochs:g}", f"{plan.steps:,}",  # type: ignore[attr-defined]
            f"{tokens:,}", f"{minutes:.1f}",
        )  # fmt: skip

    if needs_teachers(config):
        for spec in config.specs:
            for name, teacher in config.teachers.of(spec.name).items():
                rows = encoded(teacher.encoder)
                known = rows.known(spec.name)[:, None]
                add(
                    f"teacher {name}",
                    rows,
                    known,
                    teacher.training,
                    teacher.encoder,
                    teacher.layers,
                )
                soft_bytes += 4 * spec.width * known.sum()
                if spec.has_rationale:
                    soft_bytes += 12 * rows.texts.lengths[known[:, 0]].sum()
    rows = encoded(config.student.encoder)
    known = np.stack([rows.known(spec.name) for spec in config.specs], axis=1)
    add("student", rows, known, config.training, config.student.encoder, config.student.layers)
    out.print(shown)
    out.print(
        f"objective {config.training.objective}; soft targets about {soft_bytes / 1e6:.1f} MB; "
        f"all trainings about {total:.0f} minutes on this machine"
    )


def _encoder_weights(encoder: str, layers: object) -> int:
    """Weights that every token is multiplied with: all but the embeddings."""
    model = load_encoder(encoder, layers)  # type: ignore[arg-type]
    embeddings = model.get_input_embeddings().weight.numel()
    return sum(parameter.numel() for parameter in model.parameters()) - embeddings


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
