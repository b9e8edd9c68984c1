"""What a system of models costs: size, latency and throughput, taken in turns in one run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from data.batches import Batch, collate
from data.encoding import encode_table
from kd.report import charts
from kd.report.answers import FinishedRun
from kd.report.measures import RATIONALE, score_on
from kd.report.section import Figure, Part, Section
from kd.report.verdict import TaskVerdict
from kd.report.wording import listed
from kd.run_folder import check_model
from student.encoders import load_tokenizer
from student.model import StudentModel
from student.onnx_inference import open_graph

PAIRS = 32
BATCH = 32
ROUNDS = 3


@dataclass(frozen=True)
class System:
    """Models that together answer every task, and the mean of their main scores over the tasks.

    graph: the ONNX file that the one model runs as, in onnxruntime; None runs them in PyTorch.
    """

    name: str
    folders: Sequence[Path]
    score: float | None
    graph: Path | None = None


def systems_of(
    finished: FinishedRun, rows: Sequence[TaskVerdict], others: Mapping[str, FinishedRun]
) -> list[System]:
    """The teachers, where the run has them, the student, and the students of other runs by name.

    What teachers that run elsewhere cost is unknown, and what speaking to those that hear costs is
    not measured: with one of them the teachers are no system.
    rows: the verdicts. Raises InputError when a teacher's folder is gone.
    """
    main = [row.compared for row in rows if row.measure != RATIONALE]

    def mean(scores: Sequence[float | None]) -> float | None:
        known = [score for score in scores if score is not None]
        return float(np.mean(known)) if known and len(known) == len(scores) else None

    student = mean([compared.second.value if compared else None for compared in main])
    found = [System("student", [finished.run.student], student)]
    if finished.has_teachers and not (outside_teachers(finished) or hearing_teachers(finished)):
        names = [n for task in finished.tasks for n in finished.config.teachers.of(task)]
        folders = [finished.run.teacher(name) for name in names]
        for folder in folders:
            check_model(folder, "kd teach")
        teachers = mean([compared.first.value if compared else None for compared in main])
        found.insert(0, System("teachers", folders, teachers))
    for name, other in others.items():
        scores = [score_on(task.spec.selection_metric, task) for task in other.tasks.values()]
        found.append(System(name, [other.run.student], mean(scores)))
    return found


def outside_teachers(finished: FinishedRun) -> list[str]:
    """The teachers that run elsewhere."""
    return [name for task in finished.tasks for name in finished.config.teachers.outside(task)]


def hearing_teachers(finished: FinishedRun) -> list[str]:
    """The teachers that hear the texts spoken."""
    return [name for task in finished.tasks for name in finished.config.teachers.hearing(task)]


def measure(
    systems: Sequence[System],
    test: Dataset,
    seed: int,
    outside: Sequence[str] = (),
    hearing: Sequence[str] = (),
) -> dict[str, Any]:
    """Each system's size, and its times on this machine on rows drawn from the test split.

    Latency: milliseconds of one pair through all models of a system, tokenizing left out.
    Throughput: pairs a second in batches of 32. The systems take turns row by row.
    outside: the teachers whose cost is unknown. hearing: those that hear the texts spoken.
    """
    pairs = _pairs(test, seed)
    loaded = [
        [_Loaded(folder, pairs, system.graph) for folder in system.folders] for system in systems
    ]
    with torch.inference_mode():
        singles = _in_turns(loaded, [np.array([row]) for row in range(len(pairs))])
        batches = _in_turns(loaded, [np.arange(len(pairs))] * ROUNDS)
    rows = [
        {
            "name": system.name,
            "models": len(models),
            "parameters": sum(model.parameters for model in models),
            "megabytes": sum(model.megabytes for model in models),
            "latency_ms": {
                "p50": float(np.median(single) * 1e3),
                "p95": float(np.quantile(single, 0.95) * 1e3),
            },
            "rows_per_second": float(len(pairs) / np.median(batch)),
            "score": system.score,
        }
        for system, models, single, batch in zip(systems, loaded, singles, batches, strict=True)
    ]
    mark_front(rows)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"systems": rows, "device": device, "threads": torch.get_num_threads(),
            "pairs": len(pairs), "outside": list(outside), "hearing": list(hearing)}  # fmt: skip


class _Loaded:
    """A model with the pairs as its own tokenizer reads them."""

    def __init__(self, folder: Path, pairs: Dataset, graph: Path | None) -> None:
        on_gpu = torch.cuda.is_available() and graph is None
        self.device = torch.device("cuda" if on_gpu else "cpu")
        model = StudentModel.from_pretrained(folder).eval().to(self.device)  # type: ignore[arg-type]
        sizes = [(p.numel(), p.element_size()) for p in model.parameters()]
        self.parameters = sum(count for count, _ in sizes)
        self.megabytes = sum(count * size for count, size in sizes) / 1e6
        self.answer: Callable[[Batch], object] = lambda batch: model(*batch.inputs())
        if graph is not None:
            self.megabytes = graph.stat().st_size / 1e6
            self.answer = open_graph(graph)
        limit = model.config.max_tokens
        self.table = encode_table(pairs, load_tokenizer(str(folder)), [], max_tokens=limit)

    def batch(self, rows: np.ndarray[Any, Any]) -> Batch:
        """Some of the pairs, on the model's device."""
        return collate(self.table, rows).to(self.device)


def _pairs(test: Dataset, seed: int) -> Dataset:
    """Rows with a context where there are any, as many as fit, repeated up to a whole batch."""
    rows = np.flatnonzero([bool(context) for context in test["context"]])
    rows = rows if len(rows) else np.arange(len(test))
    return test.select(np.resize(np.random.default_rng(seed).permutation(rows), PAIRS))


def _in_turns(
    loaded: Sequence[Sequence[_Loaded]], parts: Sequence[np.ndarray[Any, Any]]
) -> list[list[float]]:
    """Seconds of each system on each part; the first part is run once before it counts."""
    seconds: list[list[float]] = [[] for _ in loaded]
    for number, part in enumerate([parts[0], *parts]):
        for place, models in enumerate(loaded):
            batches = [model.batch(part) for model in models]
            _finish()
            start = time.perf_counter()
            for model, batch in zip(models, batches, strict=True):
                model.answer(batch)
            _finish()
            if number:
                seconds[place].append(time.perf_counter() - start)
    return seconds


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def mark_front(rows: list[dict[str, Any]]) -> None:
    """Mark the systems that no other beats in both score and cost (the Pareto front)."""
    for row in rows:
        row["latency"] = row["latency_ms"]["p50"]
    scored = [row for row in rows if row["score"] is not None]
    for cost in ("latency", "megabytes"):
        for row in rows:
            row[f"front_{cost}"] = row in scored and not any(
                other[cost] <= row[cost]
                and other["score"] >= row["score"]
                and (other[cost], other["score"]) != (row[cost], row["score"])
                for other in scored
            )


def cost_section(cost: dict[str, Any]) -> Section:
    """Mean score over latency and size."""
    points = [row for row in cost["systems"] if row["score"] is not None]
    threads = cost["threads"]
    where = (
        "a GPU" if cost["device"] == "cuda" else f"CPU with {threads} thread{'s'[: threads - 1]}"
    )
    sentences = [
        f"Measured when this report was made, on {cost['pairs']} test rows, on {where}, in "
        "PyTorch in fp32, or in onnxruntime where the name says a precision, tokenizing left out, "
        "the systems taking turns row by row. A system answers all tasks; "
        "its score is the mean over the tasks. Full points are on the Pareto front, joined by the "
        "line: no other system is at once better and cheaper."
    ]
    if cost.get("outside"):
        sentences.append(
            f"The teachers are left out: {listed(cost['outside'])} ran outside, and what they cost "
            "is unknown."
        )
    if cost.get("hearing"):
        sentences.append(
            f"The teachers are left out: {listed(cost['hearing'])} heard the texts spoken, and "
            "what speaking costs is not measured."
        )
    if len(points) < len(cost["systems"]):
        sentences.append("A system is left out where the score of one of its tasks is undefined.")
    figures = [
        Figure("cost-latency", "Mean score over the latency of one pair.",
               charts.cost(points, x="latency", title="median latency of one pair, ms")),
        Figure("cost-size", "Mean score over the size of the weights.",
               charts.cost(points, x="megabytes", title="weights, MB")),
    ] if points else []  # fmt: skip
    return Section("cost", "Cost against quality", [Part("", sentences, (), figures)], cost)
