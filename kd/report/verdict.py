"""The verdict: student against teachers, a row a task, with intervals and paired tests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kd.report import charts
from kd.report.answers import FinishedRun, TaskAnswers
from kd.report.measures import NAMES, RATIONALE, compare_on, mcnemar_of, measures_of
from kd.report.section import Figure, Mark, Part, Section, Table, Tone
from kd.report.wording import chance, listed, number, plain, share, with_interval
from kd.statistics import Comparison, Verdict, holm, rows_to_decide, verdict

TONES: dict[str, Tone] = {
    "better": "good",
    "no worse within margin": "good",
    "worse": "bad",
    "not decided at this size": "open",
}


@dataclass(frozen=True)
class TaskVerdict:
    """What is known of a task on one measure.

    compared: teacher and student; without a teacher, or for rationales one that quotes none, the
    student with itself. None where the measure is undefined. accuracies: of teacher and student.
    What a run without teachers, or a regression, has none of is None.
    """

    task: str
    measure: str
    compared: Comparison | None
    constant: float | None
    tfidf: float | None = None
    word: Verdict | None = None
    p_holm: float | None = None
    accuracies: tuple[float, float] | None = None
    p_mcnemar: float | None = None

    @property
    def name(self) -> str:
        """The task, and whether its rationale is meant."""
        return plain(self.task) + (", rationale" if self.measure == RATIONALE else "")


def verdicts(finished: FinishedRun) -> list[TaskVerdict]:
    """A verdict a task and measure, the p-values corrected for all of them."""
    found = [
        _verdict(finished, task, measure)
        for task in finished.tasks.values()
        for measure in measures_of(task)
    ]
    tested = [row for row in found if row.word is not None and row.compared is not None]
    if not tested:
        return found
    corrected = holm([row.compared.p_value for row in tested if row.compared])
    by_row = {(row.task, row.measure): p for row, p in zip(tested, corrected, strict=True)}
    return [
        TaskVerdict(**{**vars(row), "p_holm": by_row.get((row.task, row.measure))}) for row in found
    ]


def _verdict(finished: FinishedRun, task: TaskAnswers, measure: str) -> TaskVerdict:
    name = task.spec.name
    scores = finished.metrics["tasks"][name]["test"]
    student = task.models["student"]
    teacher = task.models.get("teacher", student)
    has_teacher = "teacher" in task.models
    if measure == RATIONALE and teacher.token_f1 is None:  # it quotes nothing
        teacher, has_teacher = student, False
    compared = compare_on(measure, task, [teacher], [student], seed=finished.config.seed)
    if measure == RATIONALE:
        constant = scores["student"]["rationale"]["level>0"]["all_tokens"]["token_f1"]
        found = TaskVerdict(name, measure, compared, constant)
    else:
        constant, tfidf = (scores[model].get(measure) for model in ("constant", "tfidf"))
        found = TaskVerdict(name, measure, compared, constant, tfidf)
    if not has_teacher or compared is None:
        return found
    about: dict[str, Any] = {"word": verdict(compared.difference, finished.config.report.margin)}
    if measure == "macro_f1":
        about["accuracies"] = (scores["teacher"]["accuracy"], scores["student"]["accuracy"])
        about["p_mcnemar"] = mcnemar_of(task, teacher, student)
    return TaskVerdict(**{**vars(found), **about})


def verdict_section(
    finished: FinishedRun, rows: Sequence[TaskVerdict], cost: dict[str, Any]
) -> Section:
    """The first screen: the answer in a sentence, the table, the cost."""
    margin = finished.config.report.margin
    parts = [
        Part("", headline(rows, cost, margin), [_table(rows, margin)]),
        Part("", (), [_cost_table(cost)]),
    ]
    shown = [row for row in rows if row.word is not None and row.compared is not None]
    if shown:
        points = [
            {"name": row.name, **asdict(row.compared.difference)} for row in shown if row.compared
        ]
        figure = Figure(
            "differences",
            f"Student − teacher with 95 % intervals; the band is the margin of {margin:g}.",
            charts.intervals(points, label="name", title="student − teacher", margin=margin),
        )
        parts.append(Part("", _notes(margin), [_tests_table(shown, margin)], [figure]))
    data = {"rows": [{**asdict(row), "name": row.name} for row in rows], "margin": margin}
    return Section("verdict", "Verdict", parts, data)


def _notes(margin: float) -> list[str]:
    return [
        f"The words, the first that holds: “better”, the 95 % interval lies above 0; “no worse "
        f"within {margin:g}”, it lies above −{margin:g} (report.margin); “worse”, it lies below 0; "
        "else the rows are too few to say. The intervals come from 10,000 paired resamples of the "
        "test rows. Checkpoints were chosen on dev; if settings were chosen by looking at these "
        "rows, the intervals are too narrow. They speak of one training: what other seeds give "
        "stands under Controls.",
        "p: paired bootstrap, two-sided; Holm: the same, corrected for all rows of the table; "
        "McNemar: exact, of the accuracies. The last column is about how many test rows would "
        f"bring the interval's half width down to {margin:g}.",
    ]


def headline(rows: Sequence[TaskVerdict], cost: dict[str, Any], margin: float) -> list[str]:
    """The whole answer in a few sentences."""
    decided = [row for row in rows if row.word is not None]
    main = [row.compared for row in decided if row.measure != RATIONALE and row.compared]
    if not main:
        return ["Without teachers' scores the student stands alone, with its 95 % intervals."]
    teacher = float(np.mean([compared.first.value for compared in main]))
    student = float(np.mean([compared.second.value for compared in main]))
    kept = f"keeps {share(student / teacher)} of" if teacher > 0 else "stands beside"
    counts = {word: sum(row.word == word for row in decided) for word in TONES}
    shown = [f"{phrase(word, margin)} on {n}" for word, n in counts.items() if n]
    found = [
        f"The student {kept} the teachers' mean score over {len(main)} tasks ({number(student)} "
        f"against {number(teacher)}){_against_teachers(cost)}. Of {len(decided)} scores it is "
        f"{listed(shown)}."
    ]
    firm = [row for row in decided if row.word in ("better", "worse")]
    if firm:
        kept_rows = [row for row in firm if row.p_holm is not None and row.p_holm < 0.05]
        found.append(
            f"Each word rests on its own interval. Corrected for {len(decided)} tests at once, "
            f"{len(kept_rows)} of the {len(firm)} “better” and “worse” stay"
            + (f": {listed([row.name for row in kept_rows])}." if kept_rows else ".")
        )
    lost = [row.name for row in rows if row.compared is None]
    if lost:
        found.append(f"Undefined on these rows, and left out: {listed(lost)}.")
    return found


def _against_teachers(cost: dict[str, Any]) -> str:
    """What the student costs of what its teachers do; nothing where that is unknown."""
    models = {row["name"]: row for row in cost["systems"]}
    if "teachers" not in models:
        return ""
    size = models["student"]["parameters"] / models["teachers"]["parameters"]
    took = models["student"]["latency_ms"]["p50"] / models["teachers"]["latency_ms"]["p50"]
    return f"; it has {share(size)} of their parameters and takes {share(took)} of their time"


def phrase(word: str, margin: float) -> str:
    """A verdict with its margin named."""
    return word.replace("margin", f"{margin:g}")


def _table(rows: Sequence[TaskVerdict], margin: float) -> Table:
    metrics = list(dict.fromkeys(NAMES[row.measure] for row in rows))
    return Table(
        f"Test rows; {listed(metrics)}",
        ("task", "verdict", "student − teacher", "student", "teacher", "TF-IDF", "constant",
         "rows"),
        [
            (
                row.name,
                Mark(phrase(row.word, margin), TONES[row.word]) if row.word else "",
                with_interval(row.compared.difference if row.word and row.compared else None,
                              sign=True),
                with_interval(row.compared.second if row.compared else None) or "undefined",
                with_interval(row.compared.first if row.word and row.compared else None),
                number(row.tfidf),
                number(row.constant),
                f"{row.compared.rows:,}" if row.compared else "",
            )
            for row in rows
        ],
    ).filled()  # fmt: skip


def _tests_table(rows: Sequence[TaskVerdict], margin: float) -> Table:
    return Table(
        "The tests behind the verdict",
        ("task", "p", "p, Holm", "accuracy, teacher", "student", "p, McNemar",
         f"rows for ±{margin:g}"),
        [
            (
                row.name,
                chance(row.compared.p_value),
                chance(row.p_holm),
                *(number(accuracy) for accuracy in row.accuracies or (None, None)),
                chance(row.p_mcnemar),
                f"{rows_to_decide(row.compared.difference, row.compared.rows, margin):,}",
            )
            for row in rows if row.compared is not None
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
        ]
        + [(f"teacher {plain(name)}", where, *5 * [""])
           for where in ("outside", "hearing") for name in cost.get(where, ())],
    )  # fmt: skip
