"""The verdict: student against teachers, a row a task, with intervals and paired tests."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from data.tasks import TaskSpec
from kd.report import charts
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.section import Figure, Mark, Part, Section, Table, Tone
from kd.report.wording import METRICS, chance, number, plain, share, with_interval
from kd.statistics import (
    RESAMPLES,
    Comparison,
    Estimate,
    compare_macro_f1,
    compare_means,
    compare_pearson,
    holm,
    mcnemar,
    rows_to_decide,
    verdict,
)

TONES: dict[str, Tone] = {
    "better": "good",
    "no worse within margin": "good",
    "worse": "bad",
    "not decided at this size": "open",
}
RATIONALE = "rationale token-F1, level > 0"


def verdicts(finished: FinishedRun) -> list[dict[str, Any]]:
    """A row a task and metric: both scores, their difference, tests and the word for it.

    Without teachers the student alone, with its interval. Keys: task, metric, rows, constant,
    tfidf, teacher, student, difference, p_value, p_holm, p_mcnemar, verdict, rows_to_decide.
    """
    rows = []
    for name, answers in finished.tasks.items():
        scores = finished.metrics["tasks"][name]["test"]
        metric = answers.spec.selection_metric
        rows.append(
            _row(name, metric, _compared(answers, finished.config.seed), finished)
            | {
                "constant": scores["constant"].get(metric),
                "tfidf": scores["tfidf"].get(metric),
                "p_mcnemar": _mcnemar(answers),
            }
        )
        rationale = _rationale(answers, finished.config.seed)
        if rationale is not None:
            constant = scores["student"]["rationale"]["level>0"]["all_tokens"]["token_f1"]
            rows.append(_row(name, RATIONALE, rationale, finished) | {"constant": constant})
    tested = [row for row in rows if row["p_value"] is not None]
    if tested:
        for row, p_value in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
            row["p_holm"] = p_value
    return rows


def compare_answers(
    spec: TaskSpec, gold: Any, first: Any, second: Any, *, seed: int, resamples: int = RESAMPLES
) -> Comparison | None:
    """Two models' (N,) answers, or (S, N) over S seeds, on a task's main metric.

    None where it is not defined: with fewer than two rows, or constant values of a regression.
    """
    if spec.kind == "regression":
        return compare_pearson(gold, first, second, resamples=resamples, seed=seed)
    return compare_macro_f1(gold, first, second, len(spec.classes), resamples=resamples, seed=seed)


def _compared(answers: TaskAnswers, seed: int) -> Comparison | None:
    student = answers.models["student"].predicted
    first = answers.models.get("teacher", answers.models["student"]).predicted
    return compare_answers(answers.spec, answers.gold, first, student, seed=seed)


def _rationale(answers: TaskAnswers, seed: int) -> Comparison | None:
    """Token-F1 on the rows above the lowest level whose rationale is known."""
    student = answers.models["student"].token_f1
    if student is None:
        return None
    teacher = answers.models.get("teacher", answers.models["student"]).token_f1
    assert teacher is not None
    chosen = answers.has_level & np.isfinite(student)
    if not chosen.any():
        return None
    return compare_means(teacher[chosen], student[chosen], seed=seed)


def _mcnemar(answers: TaskAnswers) -> float | None:
    if answers.spec.kind == "regression" or "teacher" not in answers.models:
        return None
    teacher, student = (answers.models[m].predicted == answers.gold for m in ("teacher", "student"))
    return mcnemar(teacher, student)


def _row(
    task: str, metric: str, compared: Comparison | None, finished: FinishedRun
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(
        ("constant", "tfidf", "teacher", "student", "difference", "p_value", "p_holm",
         "p_mcnemar", "verdict", "rows_to_decide")
    )  # fmt: skip
    row |= {"task": task, "metric": metric, "rows": 0}
    if compared is None:
        return row
    row |= {"rows": compared.rows, "student": asdict(compared.second)}
    if "teacher" in finished.tasks[task].models:
        margin = finished.config.report.margin
        row |= {
            "teacher": asdict(compared.first),
            "difference": asdict(compared.difference),
            "p_value": compared.p_value,
            "verdict": verdict(compared.difference, margin),
            "rows_to_decide": rows_to_decide(compared.difference, compared.rows, margin),
        }
    return row


def verdict_section(
    finished: FinishedRun, rows: list[dict[str, Any]], cost: dict[str, Any]
) -> Section:
    """The first screen: the answer in a sentence, the table, the cost."""
    margin = finished.config.report.margin
    sentence = headline(rows, cost, margin)
    parts = [Part("", [sentence], [_table(rows, margin)])]
    shown = [row | {"name": _name(row)} for row in rows if row["difference"]]
    points = [{"name": row["name"], **row["difference"]} for row in shown]
    parts.append(Part("", (), [_cost_table(cost)]))
    if points:
        notes = [
            f"“Better”: the 95 % interval lies above 0. “No worse within {margin:g}”: it lies "
            f"above −{margin:g}. “Worse”: it lies below 0. Else the rows are too few to say. The "
            "intervals come from 10,000 paired resamples of the test rows, which no setting and no "
            "checkpoint was chosen by. They speak of one training: what other seeds give stands "
            "under Controls.",
            "p: paired bootstrap, two-sided; Holm: the same, corrected for all rows of the table; "
            "McNemar: exact. The last column is about how many test rows would bring the "
            f"interval's half width down to {margin:g}.",
        ]
        figure = Figure(
            "differences",
            f"Student − teacher with 95 % intervals; the band is the margin of {margin:g}.",
            charts.intervals(points, label="name", title="student − teacher", margin=margin),
        )
        parts.append(Part("", notes, [_tests_table(shown, margin)], [figure]))
    return Section("verdict", "Verdict", parts, {"rows": rows, "margin": margin})


def headline(rows: Sequence[dict[str, Any]], cost: dict[str, Any], margin: float) -> str:
    """One sentence with the whole answer."""
    main = [row for row in rows if row["metric"] != RATIONALE and row["difference"]]
    if not main:
        return "Without teachers' scores the student stands alone, with its 95 % intervals."
    teacher, student = (
        float(np.mean([row[model]["value"] for row in main])) for model in ("teacher", "student")
    )
    words = {word: sum(row["verdict"] == word for row in main) for word in TONES}
    counts = ", ".join(
        f"{phrase(word, margin)} on {count}" for word, count in words.items() if count
    )
    models = {row["name"]: row for row in cost["systems"]}
    smaller = models["teachers"]["parameters"] / models["student"]["parameters"]
    faster = models["teachers"]["latency_ms"]["p50"] / models["student"]["latency_ms"]["p50"]
    kept = f"keeps {share(student / teacher)} of" if teacher > 0 else "stands beside"
    return (
        f"The student {kept} the teachers' mean score ({number(student)} against "
        f"{number(teacher)}) with {smaller:.1f} times fewer parameters, and answers "
        f"{faster:.1f} times faster. Of {len(main)} tasks it is {counts}."
    )


def phrase(word: str, margin: float) -> str:
    """A verdict with its margin named."""
    return word.replace("margin", f"{margin:g}")


def _name(row: dict[str, Any]) -> str:
    is_rationale = row["metric"] == RATIONALE
    return plain(row["task"]) + (", rationale" if is_rationale else "")


def _table(rows: list[dict[str, Any]], margin: float) -> Table:
    def cell(row: dict[str, Any], key: str, *, sign: bool = False) -> str:
        return with_interval(Estimate(**row[key]) if row[key] else None, sign=sign)

    metrics = dict.fromkeys(METRICS[row["metric"]] for row in rows if row["metric"] != RATIONALE)
    named = f"Test rows: {' or '.join(metrics)} of each task"
    if any(row["metric"] == RATIONALE for row in rows):
        named += ", and token-F1 of the rationales on rows with level > 0"
    return Table(
        named,
        ("task", "verdict", "student − teacher", "student", "teacher", "TF-IDF", "constant",
         "rows"),
        [
            (
                _name(row),
                Mark(phrase(row["verdict"], margin), TONES[row["verdict"]])
                if row["verdict"] else "",
                cell(row, "difference", sign=True),
                cell(row, "student"),
                cell(row, "teacher"),
                number(row["tfidf"]),
                number(row["constant"]),
                f"{row['rows']:,}",
            )
            for row in rows
        ],
    )  # fmt: skip


def _tests_table(rows: list[dict[str, Any]], margin: float) -> Table:
    return Table(
        "The tests behind the verdict",
        ("task", "p", "p, Holm", "p of accuracy, McNemar", f"rows for ±{margin:g}"),
        [
            (_name(row), chance(row["p_value"]), chance(row["p_holm"]), chance(row["p_mcnemar"]),
             f"{row['rows_to_decide']:,}")
            for row in rows if row["difference"]
        ],
    )  # fmt: skip


def _cost_table(cost: dict[str, Any]) -> Table:
    return Table(
        "What an answer to all tasks costs",
        ("system", "models", "parameters", "weights", "one pair, median", "95th percentile",
         "pairs a second, 32 at once"),
        [
            (
                row["name"],
                str(row["models"]),
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['megabytes']:.0f} MB",
                f"{row['latency_ms']['p50']:.1f} ms",
                f"{row['latency_ms']['p95']:.1f} ms",
                f"{row['rows_per_second']:,.0f}",
            )
            for row in cost["systems"]
        ],
    )  # fmt: skip
