"""Per task: confusion, scores of each class, calibration, fidelity to the teacher, learning curves.

Letters: N = rows, C = classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import rel_entr

from data.tasks import TaskSpec
from kd.calibration import reliability
from kd.prediction_files import Values
from kd.report import charts
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.section import Figure, Part, Section, Table
from kd.report.wording import number, plain, share

# Chances are kept with six decimals; one that was rounded to 0 is not impossible.
LEAST_CHANCE = 1e-6
PROGRESS = ("dev_score", "gold_weight")
CALIBRATION = ("ece", "brier", "negative_log_likelihood")


def tasks_section(finished: FinishedRun) -> Section:
    """A part a task, and the student's training before them."""
    curves = student_curves(finished.run.logs)
    parts = [_student_part(curves, [plain(task) for task in finished.tasks])]
    data: dict[str, Any] = {"student_training": curves}
    for name, answers in finished.tasks.items():
        scores = finished.metrics["tasks"][name]["test"]
        part, data[name] = _task_part(finished, answers, scores)
        parts.append(part)
    return Section("tasks", "Per task", parts, data)


def fidelity(teacher: Values, student: Values, is_right: np.ndarray[Any, Any]) -> dict[str, Any]:
    """How far a student says what its teacher says (Stanton et al. 2021).

    teacher, student: (N, C) chances. is_right: (N,) whether the teacher is. For all rows, those
    where the teacher is right and those where it is wrong: rows, the share on which both answer
    the same, and the mean of KL(teacher ‖ student) in nats; None where there are no rows.
    """
    agrees = teacher.argmax(axis=1) == student.argmax(axis=1)
    divergence = rel_entr(np.maximum(teacher, LEAST_CHANCE), np.maximum(student, LEAST_CHANCE)).sum(
        axis=1
    )
    found = {}
    for key, chosen in (("all", np.ones_like(is_right)), ("right", is_right), ("wrong", ~is_right)):
        rows = int(chosen.sum())
        found[key] = {
            "rows": rows,
            "agreement": float(agrees[chosen].mean()) if rows else None,
            "kl": float(divergence[chosen].mean()) if rows else None,
        }
    return found


def _task_part(
    finished: FinishedRun, answers: TaskAnswers, scores: dict[str, Any]
) -> tuple[Part, dict[str, Any]]:
    spec = answers.spec
    models = [model for model in ("teacher", "student") if model in answers.models]
    data: dict[str, Any] = {"scores": {model: scores[model] for model in models}}
    figures, tables = [], []
    if spec.kind == "classification":
        for model in models:
            rows = _confusion_rows(scores[model]["confusion"], spec)
            chart = charts.confusion(rows, spec.classes, model)
            caption = f"Confusion of the {model}, rows of the test split."
            name = f"{spec.name}-confusion-{model}"
            figures.append(Figure(name, caption, chart, _cells(scores[model]["confusion"], spec)))
        data["calibration"] = {
            model: reliability(answers.models[model].chances, answers.gold) for model in models
        }
        points = [
            {"model": model, **found}
            for model in models
            for found in data["calibration"][model]["bins"]
            if found["rows"]
        ]
        chart = charts.reliability(points, models)
        figures.append(Figure(f"{spec.name}-reliability", "On the line a model is as often right "
                              "as it is sure; below it, less often.", chart))  # fmt: skip
        tables += [_classes_table(spec, scores, models), _calibration_table(data["calibration"])]
        if "teacher" in models:
            teacher = answers.models["teacher"]
            data["fidelity"] = fidelity(
                teacher.chances, answers.models["student"].chances,
                teacher.predicted == answers.gold,
            )  # fmt: skip
            tables.append(_fidelity_table(data["fidelity"]))
    else:
        tables.append(_regression_table(scores, models))
    data["teachers_training"] = {}
    for name in finished.config.teachers.of(spec.name) if "teacher" in models else ():
        curve = teacher_curve(finished.run.logs, name, spec.name)
        if curve:
            data["teachers_training"][name] = curve
            order = list(dict.fromkeys(point["series"] for point in curve))
            chart = charts.curves(curve, order=order, y="")
            caption = f"Training of the teacher {plain(name)}: losses, and its score on dev."
            figures.append(Figure(f"{name}-teacher", caption, chart))
    return Part(plain(spec.name), (), tables, figures), data


def _confusion_rows(matrix: list[list[int]], spec: TaskSpec) -> list[dict[str, Any]]:
    return [
        {"gold": gold, "predicted": predicted, "rows": count,
         "share": count / sum(line) if sum(line) else 0.0}
        for gold, line in zip(spec.classes, matrix, strict=True)
        for predicted, count in zip(spec.classes, line, strict=True)
    ]  # fmt: skip


def _cells(matrix: list[list[int]], spec: TaskSpec) -> list[list[object]]:
    """The matrix as a table: a row a gold class, a column a predicted one."""
    lines = zip(spec.classes, matrix, strict=True)
    return [["gold \\ predicted", *spec.classes], *([gold, *line] for gold, line in lines)]


def _classes_table(spec: TaskSpec, scores: dict[str, Any], models: Sequence[str]) -> Table:
    keys = ("precision", "recall", "f1")
    names = {"f1": "F1"}
    return Table(
        "Scores of each class",
        ("class", "rows", *(f"{model} {names.get(key, key)}" for model in models for key in keys)),
        [
            (
                name,
                f"{scores['student']['per_class'][name]['support']:,}",
                *(number(scores[m]["per_class"][name][key]) for m in models for key in keys),
            )
            for name in spec.classes
        ],
    )


def _calibration_table(calibration: dict[str, Any]) -> Table:
    return Table(
        "Calibration (ECE: 15 bins of equal width, Guo et al. 2017)",
        ("model", "ECE", "Brier score", "negative log-likelihood"),
        [
            (model, *(number(found[key]) for key in CALIBRATION))
            for model, found in calibration.items()
        ],
    )


def _fidelity_table(found: dict[str, Any]) -> Table:
    names = {"all": "all", "right": "the teacher is right", "wrong": "the teacher is wrong"}
    return Table(
        "Fidelity: does the student say what the teacher says?",
        ("rows on which …", "rows", "same answer", "KL(teacher ‖ student), nats"),
        [
            (names[key], f"{row['rows']:,}", share(row["agreement"]), number(row["kl"]))
            for key, row in found.items()
        ],
    )


def _regression_table(scores: dict[str, Any], models: Sequence[str]) -> Table:
    return Table(
        "Scores",
        ("model", "Pearson's r", "Spearman's rho", "mean squared error"),
        [(m, *(number(scores[m][key]) for key in ("pearson", "spearman", "mse"))) for m in models],
    )


def student_curves(logs: Path) -> dict[str, list[dict[str, Any]]]:
    """labels, rationales and progress: points of step, series and value over the training."""
    found: dict[str, list[dict[str, Any]]] = {"labels": [], "rationales": [], "progress": []}
    for row in read_log(logs / "distill.jsonl"):
        for key, value in row.items():
            kind, _, rest = key.partition("/")
            if kind == "loss":
                task, _, part = rest.partition("/")
                place = "rationales" if part == "rationale" else "labels"
                point = {"step": row["step"], "series": plain(task), "value": value}
                found[place].append(point)
            elif key in PROGRESS:
                point = {"step": row["step"], "series": plain(key), "value": value}
                found["progress"].append(point)
    return found


def _student_part(curves: dict[str, list[dict[str, Any]]], tasks: Sequence[str]) -> Part:
    progress = [plain(key) for key in PROGRESS]
    figures = [
        Figure(f"student-{name}", caption, charts.curves(curves[name], order=order, y=axis))
        for name, caption, order, axis in (
            ("labels", "Loss of each task's labels on the batches.", tasks, "cross-entropy"),
            ("rationales", "Loss of each task's rationale tokens.", tasks, "cross-entropy"),
            ("progress", "Mean score on dev, which picks the checkpoint, and the weight of gold "
             "against the teachers.", progress, ""),
        )
        if curves[name]
    ]  # fmt: skip
    return Part("the student's training", (), (), figures)


def teacher_curve(logs: Path, teacher: str, task: str) -> list[dict[str, Any]]:
    """Points of step, series and value over a teacher's training."""
    names = {
        f"loss/{task}": "loss",
        f"loss/{task}/rationale": "rationale loss",
        "dev_score": "dev score",
    }
    return [
        {"step": row["step"], "series": series, "value": row[key]}
        for row in read_log(logs / f"teach-{teacher}.jsonl")
        for key, series in names.items()
        if key in row
    ]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a training's log, none where there is no log."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
