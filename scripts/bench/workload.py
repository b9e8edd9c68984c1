"""The benchmarks' workload: a config's rows and student, and one optimizer step of it.

Letters: B = rows, L = text tokens, C = classes.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from torch import nn

from data.batches import Batch, collate, target_counts
from data.encoding import EncodedTable, encode_table
from data.errors import InputError
from data.plan import BatchPlan, make_plan
from data.ragged import RowNumbers
from data.tasks import TaskSpec
from kd.config import EMBEDDED, Config
from kd.config_file import load_config
from kd.hardware import new_accelerator, resolve_precision
from kd.losses import TaskLoss, batch_loss
from kd.optimization import new_optimizer
from kd.run_folder import RunFolder
from kd.stages.data import read_tables
from kd.stages.distill import start_model
from kd.stages.teach import task_loss
from student.encoders import load_tokenizer
from student.model import StudentModel, StudentOutput

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
# Where configs/reddit.yaml is told to look, too.
PUBLIC_DATA = ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Workload:
    """The encoded train rows of a config with random soft targets, and how the student learns."""

    config: Config
    table: EncodedTable
    losses: dict[str, TaskLoss]
    device: torch.device
    precision: str

    @property
    def plan(self) -> BatchPlan:
        """One epoch of the config's batches."""
        training = self.config.training
        return make_plan(
            np.stack([self.table.known(spec.name) for spec in self.config.specs], axis=1),
            batch_size=training.batch_size,
            epochs=1,
            seed=self.config.seed,
            sampling=training.sampling,
            alpha=training.alpha,
        )


def parser(docstring: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    options = argparse.ArgumentParser(description=(docstring or "").partition("\n")[0])
    there = str(PUBLIC_DATA) if PUBLIC_DATA.is_dir() else EMBEDDED
    options.add_argument("--data", default=there, help="folder of the public data; by default "
                         "the project's samples ('embedded') where that is not there")  # fmt: skip
    options.add_argument("--encoder", help="folder or hub id in place of the config's encoder")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--quick", action="store_true", help="tiny: shows that it runs")
    return options


def quiet(threads: int) -> None:
    """One line on stdout and nothing of the libraries; the number of threads as asked."""
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()


def load(options: argparse.Namespace, rows: int | None = None) -> Workload:
    """The train rows of configs/reddit.yaml, or of the embedded samples in the same shape.

    rows: that many of them, drawn at random, so that a whole epoch can be timed. A user's mistake
    ends the program with its one line and status 2.
    """
    quiet(options.threads)
    overrides = [f"data.root={options.data}", "data.max_tokens=64", "student.layers=null"]
    if options.encoder:
        overrides.append(f"student.encoder={options.encoder}")
        overrides.append(f"teachers.encoder={options.encoder}")
    overrides.append(f"training.batch_size={16 if options.quick else 64}")
    name = "demo.yaml" if options.data == EMBEDDED else "reddit.yaml"
    try:
        config = load_config(CONFIGS / name, overrides)
        splits, _ = read_tables(config)
        tokenizer = load_tokenizer(config.student.encoder)
    except InputError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    train = splits["train"].shuffle(seed=config.seed)
    if rows is not None:
        train = train.select(range(min(rows, len(train))))
    table = encode_table(train, tokenizer, config.specs, max_tokens=config.data.max_tokens)
    losses = {spec.name: task_loss(config, spec, config.training, table) for spec in config.specs}
    device = new_accelerator("auto").device
    return Workload(
        config=config,
        table=with_random_soft(table, config.specs, config.seed),
        losses=losses,
        device=device,
        precision=resolve_precision("auto"),
    )


def with_random_soft(table: EncodedTable, specs: list[TaskSpec], seed: int) -> EncodedTable:
    """The table with random soft targets on the rows a teacher would label: those of its task."""
    random = np.random.default_rng(seed)
    soft, soft_tokens = {}, {}
    real = table.offsets[:, 1] > table.offsets[:, 0]
    for spec in specs:
        known = table.known(spec.name)
        chances = random.dirichlet(np.ones(spec.width), len(table)).astype(np.float32)
        soft[spec.name] = np.where(known[:, None], chances, np.float32("nan"))
        if spec.has_rationale:
            wanted = real & np.repeat(known, table.texts.lengths)
            tokens = random.random(len(real), dtype=np.float32)
            soft_tokens[spec.name] = np.where(wanted, tokens, np.float32("nan"))
    return table.with_soft(soft, soft_tokens)


def new_model(work: Workload, *, plain: bool = False) -> StudentModel:
    """The untrained student in training mode.

    plain: with the attention that transformers chooses and torch's dropout, in place of ours.
    """
    torch.manual_seed(work.config.seed)
    model = start_model(work.config, RunFolder(Path()))
    if plain:
        make_plain(model)
    return model.to(work.device).train()  # type: ignore[arg-type]


def make_plain(model: StudentModel) -> None:
    """Give a model the attention that transformers chooses and torch's own dropout."""
    model.encoder.set_attn_implementation("sdpa")
    if model.context_encoder is not None:
        model.context_encoder.set_attn_implementation("sdpa")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.__class__ = nn.Dropout


def use_dropout(model: StudentModel, rate: float) -> None:
    """Set every dropout of the model, the encoder's own included, to one rate."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate


def optimizer_of(work: Workload, model: StudentModel) -> torch.optim.AdamW:
    """The config's optimizer."""
    training = work.config.training
    return new_optimizer(
        model,
        learning_rate=training.learning_rate,
        layer_decay=training.layer_decay,
        weight_decay=training.weight_decay,
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 autocast for bf16, none for fp32."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """One of torch's float32 matmul precisions for a while."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    yield
    torch.set_float32_matmul_precision(before)


def plain_forward(model: StudentModel, batch: Batch, task: str) -> StudentOutput:
    """One task's answers the usual way: every sequence padded alike, no length groups.

    On tokens that are not padding it equals the model's own.
    """
    spec = next(spec for spec in model.specs if spec.name == task)
    states = model.encoder(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask
    ).last_hidden_state
    if spec.has_context:
        assert model.attention is not None
        seeker = (model.context_encoder or model.encoder)(
            input_ids=batch.context_ids, attention_mask=batch.context_mask
        ).last_hidden_state
        found = model.attention(states, seeker, batch.context_mask)
        states = states + model.residual_dropout(found)
    label, tokens = model.heads[task](states, batch.attention_mask)
    rationale = {} if tokens is None else {task: tokens.float()}
    return StudentOutput(logits={task: label.float()}, rationale_logits=rationale)


def student_step(
    work: Workload,
    model: StudentModel,
    optimizer: torch.optim.Optimizer,
    rows: RowNumbers,
    teach: Callable[[Batch, RowNumbers], Batch] | None = None,
) -> None:
    """One step as kd.training takes it; `teach` may give the batch other soft targets."""
    batch = collate(work.table, rows).to(work.device)
    if teach is not None:
        batch = teach(batch, rows)
    counts = target_counts(work.table, rows)
    with autocast(work.device, work.precision):
        output = model(*batch.inputs())
    loss, _ = batch_loss(output, batch, work.losses, gold_weight=0.5, counts=counts)
    loss.backward()
    update(work, model, optimizer)


def update(work: Workload, model: StudentModel, optimizer: torch.optim.Optimizer) -> None:
    """Clip the gradients, step, and forget them."""
    nn.utils.clip_grad_norm_(model.parameters(), work.config.training.clip)
    optimizer.step()
    optimizer.zero_grad()
