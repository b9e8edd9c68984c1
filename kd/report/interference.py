"""Interference: whether the tasks pull the shared encoder in the same direction."""

from itertools import combinations
from typing import Any

import numpy as np

from kd.report import charts
from kd.report.answers import FinishedRun
from kd.report.section import Figure, Part, Section, Table
from kd.report.tasks import read_log
from kd.report.wording import plain, share, signed

PREFIX = "gradient_cosine/"
COURSES = ("most in conflict", "mean of all pairs", "most in agreement")


def interference_section(finished: FinishedRun) -> Section:
    """From the samples of the gradients in the log of the student's training."""
    rows = [row for row in read_log(finished.run.logs / "distill.jsonl")
            if any(key.startswith(PREFIX) for key in row)]  # fmt: skip
    tasks = list(finished.tasks)
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(tasks, 2):
        steps, values = samples_of(rows, first, second)
        if values:
            pairs.append({
                "first": first, "second": second, "steps": steps, "values": values,
                "mean": float(np.mean(values)),
                "conflicts": float(np.mean([value < 0 for value in values])),
            })  # fmt: skip
    if not pairs:
        none = (
            "The log of the student's training holds no samples of its gradients: it has one task, "
            "logs.gradients is 0, or it ran in fp16 or with its weights divided among processes."
        )
        return Section("interference", "Interference", [Part("", [none])])
    sentences = [
        f"Cosine of two tasks' gradients on the shared encoder, sampled on {len(rows)} batches "
        "spread over the training. Below 0 a step for one task is a step against the other "
        "(a conflict; Yu et al. 2020). Samples of single batches: take a mean near 0 as neither."
    ]
    table = Table(
        "Pairs of tasks, the most in conflict first",
        ("task", "and task", "samples", "mean cosine", "conflicts"),
        [
            (plain(pair["first"]), plain(pair["second"]), str(len(pair["values"])),
             signed(pair["mean"], 2), share(pair["conflicts"]))
            for pair in sorted(pairs, key=lambda pair: pair["mean"])
        ],
    )  # fmt: skip
    parts = [Part("", sentences, [table], _figures(pairs, tasks))]
    return Section("interference", "Interference", parts, {"pairs": pairs})


def samples_of(
    rows: list[dict[str, Any]], first: str, second: str
) -> tuple[list[int], list[float]]:
    """The steps at which a pair was sampled, and its cosines there."""
    found = [
        (row["step"], row[key])
        for row in rows
        for key in (f"{PREFIX}{first}/{second}", f"{PREFIX}{second}/{first}")
        if row.get(key) is not None
    ]
    return [step for step, _ in found], [value for _, value in found]


def _figures(pairs: list[dict[str, Any]], tasks: list[str]) -> list[Figure]:
    cells = [
        {"first": plain(pair["first"]), "second": plain(pair["second"]), "value": pair["mean"],
         "strength": abs(pair["mean"])}
        for pair in pairs
    ]  # fmt: skip
    lines = [
        {"step": step, "series": series, "value": value}
        for series, choose in zip(COURSES, (min, np.mean, max), strict=True)
        for step, value in _over_steps(pairs, choose)
    ]  # fmt: skip
    names = [plain(task) for task in tasks]
    return [
        Figure("gradient-cosines", "Mean cosine of each pair.", charts.matrix(cells, names)),
        Figure("gradient-course", "Over the training.",
               charts.curves(lines, order=COURSES, y="cosine")),
    ]  # fmt: skip


def _over_steps(pairs: list[dict[str, Any]], choose: Any) -> list[tuple[int, float]]:
    at: dict[int, list[float]] = {}
    for pair in pairs:
        for step, value in zip(pair["steps"], pair["values"], strict=True):
            at.setdefault(step, []).append(value)
    return [(step, float(choose(values))) for step, values in sorted(at.items())]
