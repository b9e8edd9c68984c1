"""Slices: the student against the teacher on kinds of texts.

Letters: N = rows of a task.
"""

import re
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import regex

from kd.report import charts
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.section import Figure, Part, Section, Table
from kd.report.wording import number, plain, with_interval
from kd.statistics import Estimate, compare_means

LEAST_ROWS = 20
RESAMPLES = 2_000
NEGATION = re.compile(
    r"\b(no|not|never|none|nobody|nothing|neither|nor|without|cannot)\b|n['’]t\b", re.I
)
# Signs that are text as often as pictures (©, ™, arrows) count with a variation selector only.
EMOJI = regex.compile(
    r"\p{Emoji_Presentation}|(?![©®™\u2190-\u21ff])\p{Extended_Pictographic}|\p{Emoji}\ufe0f"
    r"|(?<!\S)[:;=]-?[()DP](?!\w)"
)

Mask = npt.NDArray[np.bool_]


def slices_section(finished: FinishedRun) -> Section:
    """Of the tasks with classes that have a teacher."""
    parts, data = [], {}
    for name, answers in finished.tasks.items():
        if answers.spec.kind == "classification" and "teacher" in answers.models:
            data[name] = found = gaps(finished, answers)
            parts.append(_part(name, found))
    if not parts:
        none = "No task of this run has classes and a teacher to compare with."
        return Section("slices", "Slices", [Part("", [none])])
    sentences = [
        "Accuracy on kinds of test rows, student − teacher with 95 % intervals, where a kind has "
        f"at least {LEAST_ROWS} rows. Many intervals stand here: one in twenty leaves out the "
        "true difference by chance."
    ]
    return Section("slices", "Slices", [Part("", sentences), *parts], data)


def slices_of(texts: list[str], contexts: list[str]) -> dict[str, Mask]:
    """Name of a slice → (N,) whether a row belongs to it. Lengths are in words, by thirds."""
    words = np.array([len(text.split()) for text in texts])
    low, high = (int(np.quantile(words, share)) for share in (1 / 3, 2 / 3))
    has_context = np.array([bool(context) for context in contexts])
    question = np.array(["?" in text for text in texts])
    negation = np.array([NEGATION.search(text) is not None for text in texts])
    emoji = np.array([EMOJI.search(text) is not None for text in texts])
    return {
        f"up to {low} words": words <= low,
        f"{low + 1} to {high} words": (words > low) & (words <= high),
        f"over {high} words": words > high,
        "with a seeker's post": has_context,
        "without one": ~has_context,
        "with a question mark": question,
        "without a question mark": ~question,
        "with a negation": negation,
        "without a negation": ~negation,
        "with an emoji": emoji,
        "without an emoji": ~emoji,
    }


def gaps(finished: FinishedRun, answers: TaskAnswers) -> list[dict[str, Any]]:
    """A row a slice that some, but not all, rows belong to: rows, accuracies, difference."""
    test = finished.test.select(answers.rows)
    found = []
    hits = {m: (a.predicted == answers.gold).astype(float) for m, a in answers.models.items()}
    for name, mask in slices_of(list(test["text"]), list(test["context"])).items():
        if LEAST_ROWS <= mask.sum() < len(mask):
            compared = compare_means(
                hits["teacher"][mask], hits["student"][mask],
                resamples=RESAMPLES, seed=finished.config.seed,
            )  # fmt: skip
            assert compared is not None
            found.append({
                "slice": name,
                "rows": compared.rows,
                "teacher": compared.first.value,
                "student": compared.second.value,
                "difference": asdict(compared.difference),
            })  # fmt: skip
    return found


def _part(task: str, rows: list[dict[str, Any]]) -> Part:
    table = Table(
        "Accuracy",
        ("slice", "rows", "teacher", "student", "student − teacher"),
        [
            (row["slice"], f"{row['rows']:,}", number(row["teacher"]), number(row["student"]),
             with_interval(Estimate(**row["difference"]), sign=True))
            for row in rows
        ],
    )  # fmt: skip
    points = [{"slice": row["slice"], **row["difference"]} for row in rows]
    chart = charts.intervals(points, label="slice", title="student − teacher, accuracy")
    return Part(
        plain(task), (), [table], [Figure(f"{task}-slices", "Difference of accuracies.", chart)]
    )
