"""The self-check: a run's few first steps in 1 and 2 processes, in micro-steps, and after a kill.

The real commands run on a small part of a config's rows, and what they wrote is compared.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from kd.config import Config
from kd.run_folder import RunFolder
from kd.selfcheck_runs import SelfcheckRuns

TOLERANCE = 1e-5
NO_DROPOUT = ("student.dropout=0.0", "student.encoder_dropout=0.0", "training.precision=fp32")


@dataclass(frozen=True)
class Check:
    """One comparison: how far two runs are apart, and how far they may be."""

    name: str
    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the tolerance; what is not a number is not."""
        return self.difference <= self.tolerance


def selfcheck(config: Config, folder: Path, steps: int, seed: int) -> Iterator[Check]:
    """Run every comparison in an empty folder, yielding each as it is known.

    Raises InputError when a command fails, with its last line.
    """
    runs = SelfcheckRuns(config, folder, steps)
    runs.prepare()
    two = runs.started("label", processes=2, runs="label-2")
    yield Check(
        "soft targets, 1 and 2 processes: bytes that differ",
        _bytes_apart(runs.base.path / "soft_targets", two.path / "soft_targets"),
        0,
    )
    whole = runs.started("distill", *NO_DROPOUT, runs="whole")
    for name, processes, parts in (
        ("1 and 2 processes", 2, 1),
        ("1 and 4 micro-steps", 1, 4),
    ):
        accumulation = f"training.accumulation={parts}"
        other = runs.started(
            "distill", *NO_DROPOUT, accumulation, processes=processes, runs=f"{processes}-{parts}"
        )
        yield Check(f"losses, {name}", losses_apart(whole, other), TOLERANCE)
        yield Check(f"weights, {name}", weights_apart(whole, other), TOLERANCE)
    resumed, step = runs.killed(2, random.Random(seed), *NO_DROPOUT, then=1)
    name = f"2 processes killed at step {step}, 1 goes on"
    yield Check(f"losses, {name}", losses_apart(whole, resumed), TOLERANCE)
    yield Check(f"weights, {name}", weights_apart(whole, resumed), TOLERANCE)
    yield Check(f"steps with other rows, {name}", rows_apart(whole, resumed), 0)
    straight = {}
    for processes in (1, 2):
        straight[processes] = runs.started(
            "distill", processes=processes, runs=f"straight-{processes}"
        )
        resumed, step = runs.killed(processes, random.Random(seed + processes), then=processes)
        name = f"{processes} process{'es' if processes > 1 else ''}, killed at step {step}"
        yield Check(f"losses, {name}", losses_apart(straight[processes], resumed), 0)
        yield Check(f"weights, {name}", weights_apart(straight[processes], resumed), 0)
        yield Check(f"steps with other rows, {name}", rows_apart(straight[processes], resumed), 0)
    yield Check("steps with other rows, 1 and 2 processes", rows_apart(straight[1], straight[2]), 0)


def losses_apart(first: RunFolder, second: RunFolder) -> float:
    """The largest relative difference of any number that the two students' logs hold."""
    rows, others = (read_lines(run.logs / "distill.jsonl") for run in (first, second))
    if [sorted(row) for row in rows] != [sorted(row) for row in others]:
        return float("inf")
    return max(
        abs(row[key] - other[key]) / max(abs(row[key]), abs(other[key]), 1e-8)
        for row, other in zip(rows, others, strict=True)
        for key in row
    )


def weights_apart(first: RunFolder, second: RunFolder) -> float:
    """The norm of the difference of all weights over the norm of the weights.

    By norm, for Adam turns the rounding noise of a gradient that is 0 (as of a key's bias) into
    steps that change nothing.
    """
    weights, others = (load_file(run.student / "model.safetensors") for run in (first, second))
    squares = [
        torch.stack(
            [
                (weights[name] - others[name]).double().square().sum(),
                weights[name].double().square().sum(),
            ]
        )
        for name in weights
    ]
    apart, size = torch.stack(squares).sum(0).sqrt().tolist()
    return float(apart / size)


def rows_apart(first: RunFolder, second: RunFolder) -> float:
    """The number of steps in which the two runs did not train on the same rows together."""
    rows, others = (rows_by_step(run) for run in (first, second))
    return sum(rows.get(step) != others.get(step) for step in {*rows, *others})


def rows_by_step(run: RunFolder) -> dict[int, list[str]]:
    """step → sorted ids of the rows that all processes together trained the student on."""
    found: dict[int, list[str]] = {}
    for path in sorted(run.logs.glob("distill.rows-*.jsonl")):
        for line in read_lines(path):
            found[line["step"]] = sorted(found.get(line["step"], []) + line["rows"])
    return found


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _bytes_apart(first: Path, second: Path) -> float:
    apart = 0
    for path in sorted(first.iterdir()):
        content, other = path.read_bytes(), (second / path.name).read_bytes()
        apart += abs(len(content) - len(other))
        apart += sum(a != b for a, b in zip(content, other, strict=False))
    return apart
