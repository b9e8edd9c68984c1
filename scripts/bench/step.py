"""Our student step against a naive loop, one task at a time, over the same labelled examples.

    python scripts/bench/step.py --data ../shared/data

The naive loop pads every sequence to max_tokens, encodes a pair once for each of its tasks as the
public per-task files have it, runs in float32 at torch's own matmul precision with the attention
that transformers chooses, and takes one optimizer step for all tasks. Its batches are built
beforehand; ours are built inside the time. Both end with the same loss (tests/test_bench.py).
"""

from dataclasses import replace

import torch
from flops import gemm_action, gemms, step_flops
from timing import interleave, median, ratio, report, spread
from workload import (
    Workload,
    autocast,
    load,
    matmul_precision,
    new_model,
    optimizer_of,
    parser,
    plain_forward,
    student_step,
    update,
    use_dropout,
)

from data.batches import Batch, collate, target_counts
from data.ragged import RowNumbers
from kd.losses import batch_loss
from student.model import StudentModel

# (task, its padded rows, task → known rows and tokens of the whole batch)
NaiveBatch = tuple[str, Batch, dict[str, tuple[int, int]]]


def naive_batches(work: Workload, rows: RowNumbers) -> list[NaiveBatch]:
    """The labelled examples of a mixed batch as one batch a task, padded to max_tokens."""
    found = []
    for task in work.losses:
        known = rows[work.table.known(task, rows)]
        if len(known):
            batch = padded(collate(work.table, known), work.config.data.max_tokens)
            found.append((task, batch.to(work.device), target_counts(work.table, rows)))
    return found


def padded(batch: Batch, width: int) -> Batch:
    """The batch with every (B, L) tensor widened to (B, width)."""

    def widen(tensor: torch.Tensor, value: float) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (0, width - tensor.shape[1]), value=value)

    def widen_all(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {task: widen(values, float("nan")) for task, values in tensors.items()}

    return replace(
        batch,
        input_ids=widen(batch.input_ids, 0),
        attention_mask=widen(batch.attention_mask, 0),
        context_ids=widen(batch.context_ids, 0),
        context_mask=widen(batch.context_mask, 0),
        gold_tokens=widen_all(batch.gold_tokens),
        soft_tokens=widen_all(batch.soft_tokens),
    )


def naive_step(
    work: Workload,
    model: StudentModel,
    optimizer: torch.optim.Optimizer,
    batches: list[NaiveBatch],
    precision: str,
) -> float:
    """Forward and backward a task at a time, then one optimizer step; the sum of the losses."""
    total = torch.zeros((), device=work.device)
    for task, batch, counts in batches:
        with autocast(work.device, precision):
            output = plain_forward(model, batch, task)
        losses = {task: work.losses[task]}
        loss, _ = batch_loss(output, batch, losses, gold_weight=0.5, counts=counts)
        loss.backward()
        total += loss.detach()
    update(work, model, optimizer)
    return total.item()


def main(arguments: list[str] | None = None) -> None:
    """Time the variants and print the ratios."""
    flags = parser(__doc__)
    flags.add_argument("--steps", type=int, default=2, help="batches a measurement")
    options = flags.parse_args(arguments)
    work = load(options)
    rounds, steps = (2, 1) if options.quick else (options.rounds, options.steps)
    batches = [work.plan.batch(number) for number in range(steps)]
    naive = [naive_batches(work, rows) for rows in batches]
    model, plain = new_model(work), new_model(work, plain=True)
    optimizer, plain_optimizer = optimizer_of(work, model), optimizer_of(work, plain)
    rate = work.config.student.dropout
    torch_default, ours_matmul = "highest", torch.get_float32_matmul_precision()

    def ours(dropout: float) -> None:
        use_dropout(model, dropout)
        for rows in batches:
            student_step(work, model, optimizer, rows)

    def theirs(matmul: str, dropout: float, precision: str) -> None:
        use_dropout(plain, dropout)
        with matmul_precision(matmul):
            for parts in naive:
                naive_step(work, plain, plain_optimizer, parts, precision)

    sizes = gemms(model, work, 128 if options.quick else 2048)
    repeats = 2 if options.quick else 10
    seconds = interleave(
        {
            "ours": lambda: ours(rate),
            "ours, no dropout": lambda: ours(0.0),
            "naive": lambda: theirs(torch_default, rate, "fp32"),
            "naive, no dropout": lambda: theirs(torch_default, 0.0, "fp32"),
            "naive, our precision": lambda: theirs(ours_matmul, rate, work.precision),
            **{name: gemm_action(size, work, repeats) for name, size in sizes.items()},
        },
        rounds=rounds,
        device=work.device,
    )
    flops = sum(step_flops(work, model, rows) for rows in batches)
    best = max(2.0 * m * k * n * repeats / min(seconds[name]) for name, (m, k, n) in sizes.items())
    report(
        "step",
        {
            "with_dropout": ratio(seconds, "naive", "ours"),
            "with_dropout_spread": spread(seconds, "naive", "ours"),
            "without_dropout": ratio(seconds, "naive, no dropout", "ours, no dropout"),
            "ours_without_naive_with_dropout": ratio(seconds, "naive", "ours, no dropout"),
            "same_precision": ratio(seconds, "naive, our precision", "ours"),
            "same_precision_spread": spread(seconds, "naive, our precision", "ours"),
            "flops_utilisation": flops / median(seconds, "ours") / best,
            "flops_utilisation_without_dropout": flops / median(seconds, "ours, no dropout") / best,
            "gemm_gflops": best / 1e9,
            "seconds_per_step": median(seconds, "ours") / steps,
            "precision": {"ours": work.precision, "naive": "fp32 highest"},
        },
        device=work.device,
    )


if __name__ == "__main__":
    main()
