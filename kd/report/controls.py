"""Controls: the same student without teachers, without sharing, without annealing, over seeds."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from kd.report import charts
from kd.report.measures import NAMES, RATIONALE, compare_on, measures_of, score_on
from kd.report.section import Figure, Mark, Part, Section, Table, Tone
from kd.report.trainings import Training
from kd.report.wording import listed, number, plain, signed, spread
from kd.statistics import Estimate, Spread, compare_over_seeds
from kd.study_arms import ARMS

RESAMPLES = 2_000
# What the difference second − first of two arms answers.
QUESTIONS = {
    ("multi", "annealed"): "Does distillation help? annealed − multi",
    ("single", "multi"): "Does sharing the encoder help? multi − single",
    ("single", "annealed"): "Do both together help? annealed − single",
    ("multi", "soft"): "Do the teachers alone help? soft − multi",
    ("multi", "mixed"): "Does a fixed mixture help? mixed − multi",
    ("mixed", "annealed"): "Does annealing help? annealed − mixed",
    ("soft", "annealed"): "Does gold help the student? annealed − soft",
    ("multi", "ce+kl"): "Does distillation as a sum of losses help? ce+kl − multi",
    ("annealed", "ce+kl"): "Is a sum of losses better than annealing? ce+kl − annealed",
}
TONES: dict[str, Tone] = {
    "better": "good",
    "worse": "bad",
    "negative transfer": "bad",
    "not decided": "open",
}
# (task, measure) → arm → seed → score
Scores = dict[tuple[str, str], dict[str, dict[int, float]]]


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
        return Section("controls", "Controls", [Part("", [sentence])], {"scores": []})
    scores = _scores(trainings, arms)
    sentences = [
        "Mean ± standard deviation over seeds, on the test rows. The arms share splits, teachers "
        "and soft targets; a seed changes the student's first heads, batches and dropout. "
        "single: a student a task on gold; multi: all tasks on gold; soft: the teachers alone; "
        "mixed: a fixed mixture; annealed: teacher to gold; ce+kl: the cross-entropy with gold "
        "plus the divergence from the teachers.",
        "A difference counts when each of its 95 % intervals leaves out 0.",
    ]
    parts = [Part("", sentences, [_means(scores, arms)], _figures(scores, arms))]
    pairs = [pair for pair in QUESTIONS if set(pair) <= set(arms)]
    pairs += [(own, arm) for arm in arms if arm not in ARMS]
    differences = []
    for pair in pairs:
        found = [_difference(place, pair, trainings, scores[place], seed) for place in scores]
        rows = [row for row in found if row is not None]
        title = QUESTIONS.get(pair, f"{pair[1]} − {pair[0]}")
        parts.append(Part(title, _remarks(rows), [_differences_table(rows)]))
        differences += rows
    listed_scores = [
        {"task": task, "measure": measure, "arm": arm, "seed": s, "score": score}
        for (task, measure), by_arm in scores.items()
        for arm, by_seed in by_arm.items()
        for s, score in by_seed.items()
    ]
    data = {"scores": listed_scores, "differences": differences}
    return Section("controls", "Controls", parts, data)


def _scores(trainings: Sequence[Training], arms: Sequence[str]) -> Scores:
    """What is undefined is left out."""
    found: Scores = {}
    for training in trainings:
        for name, task in training.tasks.items():
            for measure in measures_of(task):
                by_arm = found.setdefault((name, measure), {arm: {} for arm in arms})
                score = score_on(measure, task)
                if score is not None:
                    by_arm[training.arm][training.seed] = score
    return found


def _difference(
    place: tuple[str, str],
    pair: tuple[str, str],
    trainings: Sequence[Training],
    scores: dict[str, dict[int, float]],
    seed: int,
) -> dict[str, Any] | None:
    """second − first on a task's measure over the seeds that both have.

    Another run, with a seed of its own, is compared unpaired; None where a side has no score.
    """
    task, measure = place
    seeds = [sorted(scores[arm]) for arm in pair]
    shared = sorted(set(seeds[0]) & set(seeds[1]))
    if shared:
        seeds = [shared, shared]
    elif set(pair) <= set(ARMS) or not all(seeds):
        return None
    one, two = ([scores[arm][s] for s in own] for arm, own in zip(pair, seeds, strict=True))
    answers = {(t.arm, t.seed): t.tasks[task] for t in trainings if task in t.tasks}
    sides = [
        [answers[arm, s].models["student"] for s in own[: min(map(len, seeds))]]
        for arm, own in zip(pair, seeds, strict=True)
    ]
    told = answers[pair[0], seeds[0][0]]
    compared = compare_on(measure, told, *sides, seed=seed, resamples=RESAMPLES)
    over_seeds = compare_over_seeds(one, two) if shared else None
    intervals = {
        "over_seeds": over_seeds.difference if over_seeds else None,
        "over_rows": compared.difference if compared else None,
    }
    return {
        "task": task, "measure": measure, "first": pair[0], "second": pair[1],
        "seeds": shared, "first_mean": float(np.mean(one)), "second_mean": float(np.mean(two)),
        "difference": float(np.mean(two) - np.mean(one)),
        **{key: asdict(found) if found else None for key, found in intervals.items()},
        "word": _word(pair, [found for found in intervals.values() if found]),
    }  # fmt: skip


def _word(pair: tuple[str, str], intervals: Sequence[Estimate]) -> str:
    """A difference counts when every interval leaves out 0 on the same side."""
    if intervals and all(interval.low > 0 for interval in intervals):
        return "better"
    if intervals and all(interval.high < 0 for interval in intervals):
        return "negative transfer" if pair == ("single", "multi") else "worse"
    return "not decided"


def _remarks(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return ["They have no seed in common: run the same seeds of both."]
    found = []
    lost = dict.fromkeys(plain(row["task"]) for row in rows if row["word"] == "negative transfer")
    if lost:
        found.append(
            f"Negative transfer on {listed(list(lost))}: it does better alone. Give it more "
            "weight, other sampling, or a student of its own."
        )
    if all(len(row["seeds"]) == 1 for row in rows):
        found.append("One seed: the spread over seeds is unknown, so only the rows speak here.")
    if not any(row["seeds"] for row in rows):
        found.append("Other seeds on each side: not paired, and only the rows speak here.")
    return found


def _name(task: str, measure: str) -> str:
    return plain(task) + (", rationale" if measure == RATIONALE else "")


def _differences_table(rows: Sequence[dict[str, Any]]) -> Table:
    def interval(found: dict[str, float] | None) -> str:
        return f"[{signed(found['low'])}, {signed(found['high'])}]" if found else ""

    return Table(
        "Second − first",
        ("task", "seeds", "first", "second", "difference", "over seeds (t)",
         "over rows (bootstrap)", "verdict"),
        [
            (
                _name(row["task"], row["measure"]), str(len(row["seeds"])),
                number(row["first_mean"]), number(row["second_mean"]), signed(row["difference"]),
                interval(row["over_seeds"]), interval(row["over_rows"]),
                Mark(row["word"], TONES[row["word"]]),
            )
            for row in rows
        ],
    ).filled()  # fmt: skip


def _means(scores: Scores, arms: Sequence[str]) -> Table:
    def cell(values: dict[int, float]) -> str:
        return spread(Spread.of(list(values.values())) if values else None)

    seeds = (str(max(len(by_arm[arm]) for by_arm in scores.values())) for arm in arms)
    rows = [("seeds", "", *seeds)]
    rows += [
        (plain(task), NAMES[measure], *(cell(by_arm[arm]) for arm in arms))
        for (task, measure), by_arm in scores.items()
    ]
    return Table("Scores of the arms", ("task", "metric", *arms), rows)


def _figures(scores: Scores, arms: Sequence[str]) -> list[Figure]:
    figures = []
    for (task, measure), by_arm in scores.items():
        points = [
            {"arm": arm, "seed": seed, "score": score}
            for arm, values in by_arm.items()
            for seed, score in values.items()
        ]
        if points and measure != RATIONALE:
            chart = charts.arms(points, title=NAMES[measure], order=arms)
            caption = f"{plain(task)}: a point a seed, the mean marked."
            figures.append(Figure(f"{task}-arms", caption, chart))
    return figures
