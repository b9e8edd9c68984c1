"""Controls: the same student without teachers, without sharing, without annealing, over seeds."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kd.metrics import classification_scores, regression_scores
from kd.report import charts
from kd.report.answers import FinishedRun, TaskAnswers, check_same_rows, read_answers
from kd.report.section import Figure, Mark, Part, Section, Table, Tone
from kd.report.verdict import compare_answers
from kd.report.wording import METRICS, number, plain, signed
from kd.statistics import Estimate, compare_over_seeds
from kd.study import ARMS, study_scores

RESAMPLES = 2_000
# What the difference second − first of two arms answers.
QUESTIONS = {
    ("multi", "annealed"): "Does distillation help? Annealed − multi-task on gold",
    ("single", "multi"): "Does sharing the encoder help? Multi-task on gold − single-task on gold",
    ("single", "annealed"): "Do both together help? Annealed − single-task on gold",
    ("mixed", "annealed"): "Does annealing help? Annealed − fixed mixture",
    ("soft", "annealed"): "Does gold help the student? Annealed − teachers alone",
}
TONES: dict[str, Tone] = {
    "better": "good",
    "worse": "bad",
    "negative transfer": "bad",
    "not decided": "open",
}


@dataclass(frozen=True)
class Training:
    """One student's answers: its arm, its seed, and task → answers."""

    arm: str
    seed: int
    tasks: dict[str, TaskAnswers]


def trainings_of(finished: FinishedRun, others: Sequence[FinishedRun]) -> list[Training]:
    """The run's own student, those of its study, and those of other runs by their names.

    Raises InputError when another run divides its rows otherwise.
    """
    number = {name: row for row, name in enumerate(finished.test["id"])}
    found: dict[tuple[str, int], dict[str, TaskAnswers]] = {}
    for one in study_scores(finished.run):
        if one.split == "test":
            spec = finished.tasks[one.task].spec
            answers = read_answers(one.folder.predictions, spec, number)
            found.setdefault((one.arm, one.seed), {})[one.task] = answers
    found.setdefault((own_arm(finished), finished.config.student_seed), finished.tasks)
    for other in others:
        check_same_rows(finished, other)
        found[other.config.name, other.config.student_seed] = other.tasks
    order = [*ARMS, *(other.config.name for other in others)]
    return sorted(
        (Training(arm, seed, tasks) for (arm, seed), tasks in found.items()),
        key=lambda training: (order.index(training.arm), training.seed),
    )


def own_arm(finished: FinishedRun) -> str:
    """The arm of the study that the run's own student belongs to."""
    objective = finished.config.training.objective
    return "multi" if objective == "gold" else objective


def controls_section(
    trainings: Sequence[Training], own: str, *, seed: int, command: str
) -> Section:
    """The arms' means and spreads, and their differences paired by seed and by row.

    own: the arm of the run's own student, which those of other runs are compared with.
    command: what runs the arms of a study.
    """
    arms = list(dict.fromkeys(training.arm for training in trainings))
    if len(trainings) < 2:
        sentence = (
            "This run trained one student. Whether its scores come from the teachers, from "
            f"sharing, or from the seed is what the control arms tell: {command}"
        )
        return Section("controls", "Controls", [Part("", [sentence])], {"arms": {}})
    tasks = list(dict.fromkeys(name for training in trainings for name in training.tasks))
    scores = {
        task: {
            arm: {
                t.seed: _score(t.tasks[task]) for t in trainings if t.arm == arm and task in t.tasks
            }
            for arm in arms
        }
        for task in tasks
    }
    sentences = [
        "Mean ± standard deviation over seeds, on the test rows. The arms share splits, teachers "
        "and soft targets; a seed changes the student's first heads, batches and dropout."
    ]
    parts = [Part("", sentences, [_means(scores, trainings)], _figures(scores, trainings))]
    differences = []
    pairs = [pair for pair in QUESTIONS if set(pair) <= set(arms)]
    pairs += [(own, arm) for arm in arms if arm not in ARMS]
    for first, second in pairs:
        found = [_difference(task, first, second, trainings, scores[task], seed) for task in tasks]
        differences += [row for row in found if row is not None]
    for pair in dict.fromkeys((row["first"], row["second"]) for row in differences):
        rows = [row for row in differences if (row["first"], row["second"]) == pair]
        title = QUESTIONS.get(pair, f"{pair[1]} − {pair[0]}")
        parts.append(Part(title, _remarks(rows), [_differences_table(rows)]))
    return Section("controls", "Controls", parts, {"arms": scores, "differences": differences})


def _score(answers: TaskAnswers) -> float:
    """The main metric; what is undefined counts 0."""
    predicted = answers.models["student"].predicted
    if answers.spec.kind == "regression":
        found = regression_scores(answers.gold.astype(float), predicted.astype(float))
    else:
        found = classification_scores(
            answers.gold.astype(int), predicted.astype(int), answers.spec.classes
        )
    return found[answers.spec.selection_metric] or 0.0


def _difference(
    task: str,
    first: str,
    second: str,
    trainings: Sequence[Training],
    scores: dict[str, dict[int, float]],
    seed: int,
) -> dict[str, Any] | None:
    """second − first on a task over the seeds that both have; None where they share none."""
    seeds = sorted(set(scores[first]) & set(scores[second]))
    if not seeds:
        return None
    answers = {
        (t.arm, t.seed): t.tasks[task] for t in trainings if task in t.tasks and t.seed in seeds
    }
    one, two = ([scores[arm][s] for s in seeds] for arm in (first, second))
    told = answers[first, seeds[0]]
    compared = compare_answers(
        told.spec,
        told.gold,
        np.stack([answers[first, s].models["student"].predicted for s in seeds]),
        np.stack([answers[second, s].models["student"].predicted for s in seeds]),
        resamples=RESAMPLES,
        seed=seed,
    )
    over_seeds = compare_over_seeds(one, two)
    intervals = {
        "over_seeds": over_seeds.difference if over_seeds else None,
        "over_rows": compared.difference if compared else None,
    }
    return {
        "task": task, "first": first, "second": second, "seeds": seeds,
        "first_mean": float(np.mean(one)), "second_mean": float(np.mean(two)),
        "difference": float(np.mean(two) - np.mean(one)),
        **{key: asdict(found) if found else None for key, found in intervals.items()},
        "word": _word(first, second, [found for found in intervals.values() if found]),
    }  # fmt: skip


def _word(first: str, second: str, intervals: Sequence[Estimate]) -> str:
    """A difference counts when every interval leaves out 0 on the same side."""
    if intervals and all(interval.low > 0 for interval in intervals):
        return "better"
    if intervals and all(interval.high < 0 for interval in intervals):
        return "negative transfer" if (first, second) == ("single", "multi") else "worse"
    return "not decided"


def _remarks(rows: Sequence[dict[str, Any]]) -> list[str]:
    found = []
    lost = [plain(row["task"]) for row in rows if row["word"] == "negative transfer"]
    if lost:
        found.append(
            f"Negative transfer on {', '.join(lost)}: the task does better alone. Give it less "
            "weight, or a student of its own."
        )
    if all(row["over_seeds"] is None for row in rows):
        found.append("One seed: the spread over seeds is unknown, so only the rows speak here.")
    return found


def _differences_table(rows: Sequence[dict[str, Any]]) -> Table:
    def interval(found: dict[str, float] | None) -> str:
        return f"{signed(found['low'])} to {signed(found['high'])}" if found else ""

    return Table(
        "A difference counts when each 95 % interval leaves out 0",
        ("task", "seeds", "first", "second", "difference", "interval over seeds (t)",
         "interval over rows (bootstrap)", "verdict"),
        [
            (
                plain(row["task"]), str(len(row["seeds"])), number(row["first_mean"]),
                number(row["second_mean"]), signed(row["difference"]),
                interval(row["over_seeds"]), interval(row["over_rows"]),
                Mark(row["word"], TONES[row["word"]]),
            )
            for row in rows
        ],
    )  # fmt: skip


def _means(scores: dict[str, dict[str, dict[int, float]]], trainings: Sequence[Training]) -> Table:
    arms = list(dict.fromkeys(training.arm for training in trainings))
    metric = {name: a.spec.selection_metric for t in trainings for name, a in t.tasks.items()}

    def cell(values: dict[int, float]) -> str:
        found = list(values.values())
        if not found:
            return ""
        spread = f" ± {number(float(np.std(found, ddof=1)))}" if len(found) > 1 else ""
        return number(float(np.mean(found))) + spread

    seeds = (str(len({t.seed for t in trainings if t.arm == arm})) for arm in arms)
    rows = [("seeds", "", *seeds)]
    rows += [
        (plain(task), METRICS[metric[task]], *(cell(by_arm[arm]) for arm in arms))
        for task, by_arm in scores.items()
    ]
    return Table("Scores of the arms", ("task", "metric", *arms), rows)


def _figures(
    scores: dict[str, dict[str, dict[int, float]]], trainings: Sequence[Training]
) -> list[Figure]:
    arms = list(dict.fromkeys(training.arm for training in trainings))
    figures = []
    for task, by_arm in scores.items():
        points = [
            {"arm": arm, "seed": seed, "score": score}
            for arm, values in by_arm.items()
            for seed, score in values.items()
        ]
        chart = charts.arms(points, title="score", order=arms)
        caption = f"{plain(task)}: a point a seed, the mean marked."
        figures.append(Figure(f"{task}-arms", caption, chart))
    return figures
