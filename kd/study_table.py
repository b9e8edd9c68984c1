"""The table of a study: precision, recall and F1 of each arm, tests, and what others report.

Averages over classes are macro: the mean of the classes' values, each class's F1 of its own
precision and recall. Averages over seeds are means.
"""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import InputError
from data.tasks import TaskSpec
from kd.atomic import new_file, write_text
from kd.config import Config, Published
from kd.evaluation import baseline_scores
from kd.prediction_files import Labels, read_predictions
from kd.report.answers import read_run
from kd.report.wording import chance, number, spread, with_interval
from kd.run_folder import RunFolder
from kd.statistics import Comparison, Spread, compare_macro_f1, holm
from kd.study import StudyScore

MEASURES = ("precision", "recall", "f1")
BASELINES = {"constant": "constant", "tfidf": "TF-IDF"}
# So much more than 2PR / (P + R), in percent, is no rounding.
ROUNDED = 0.02


@dataclass(frozen=True)
class ArmRow:
    """A line of the table.

    seeds: 0 of a baseline and of the teachers. last: precision, recall and F1 of the last class, if
    there are two. token_f1: of rationales, on rows of a level above the lowest; legacy_f1: by the
    rules of Sharma et al. (2020), where others report that, of `constant` with every token marked.
    confusions: a matrix a seed, gold class by predicted class.

    difference: from the arm that all are compared with, over test rows, the seeds' scores averaged;
    p_value: its p, corrected for the number of arms (Holm).
    """

    arm: str
    seeds: int
    precision: Spread
    recall: Spread
    f1: Spread
    last: tuple[Spread, Spread, Spread] | None
    accuracy: Spread
    token_f1: Spread | None
    legacy_f1: Spread | None
    confusions: tuple[Any, ...]
    difference: Comparison | None = None
    p_value: float | None = None
    published: tuple[Published, ...] = ()


def study_tables(
    config: Config, run: RunFolder, scores: Sequence[StudyScore]
) -> dict[str, list[ArmRow]]:
    """task → its baselines, teachers and arms on test. Tasks of regression have no such table."""
    found = {}
    table, _ = run.load_splits()
    taught = _teachers_scores(run)
    for spec in config.specs:
        shown = [s for s in scores if s.split == "test" and s.task == spec.name]
        if spec.kind == "classification" and config.study.task in (None, spec.name) and shown:
            baselines = baseline_scores(spec, table["train"], table["test"], config.seed)
            rows = [_row(name, spec, [baselines[key]], seeds=0) for key, name in BASELINES.items()]
            rows[0] = replace(rows[0], legacy_f1=_all_marked(shown))
            if spec.name in taught:
                rows.append(_row("teacher", spec, [taught[spec.name]], seeds=0))
            found[spec.name] = rows + _arm_rows(config, spec, shown)
    return found


def _teachers_scores(run: RunFolder) -> dict[str, dict[str, Any]]:
    """task → what its teachers come to together, where kd evaluate has scored them."""
    try:
        tasks = read_run(run.path).metrics["tasks"]
    except InputError:  # a study needs no student of the run's own
        return {}
    tests = {task: found["test"] for task, found in tasks.items()}
    return {task: models["teacher"] for task, models in tests.items() if "teacher" in models}


def _all_marked(scores: Sequence[StudyScore]) -> Spread | None:
    """What marking every token comes to by the rules of 2020, which is the same for all."""
    found = next((one.scores["sharma2020"] for one in scores if "sharma2020" in one.scores), None)
    return None if found is None else Spread.of([found["all_tokens"]["token_f1"]])


def _arm_rows(config: Config, spec: TaskSpec, scores: Sequence[StudyScore]) -> list[ArmRow]:
    by_arm: dict[str, list[StudyScore]] = {}
    for score in scores:
        by_arm.setdefault(score.arm, []).append(score)
    against = by_arm.get(config.study.against or "", [])
    differences = {
        arm: _compare(spec, against, own, config.seed)
        for arm, own in by_arm.items()
        if against and own is not against
    }
    tested = {arm: found for arm, found in differences.items() if found is not None}
    p_values = holm([found.p_value for found in tested.values()]) if tested else []
    corrected = dict(zip(tested, p_values, strict=True))
    rows = []
    for arm, own in by_arm.items():
        row = _row(arm, spec, [score.scores for score in own], seeds=len(own))
        named = config.study.arms.get(arm)
        rows.append(
            replace(
                row,
                difference=tested.get(arm),
                p_value=corrected.get(arm),
                published=named.published_of(spec.name) if named else (),
            )
        )
    return rows


def _compare(
    spec: TaskSpec, first: Sequence[StudyScore], second: Sequence[StudyScore], seed: int
) -> Comparison | None:
    """second − first over the seeds that both have; None without such a seed."""
    shared = {score.seed for score in first} & {score.seed for score in second}
    if not shared:
        return None
    ids, gold, _ = read_predictions(first[0].predictions, spec)
    sides = [
        np.stack([_predicted(one, spec, ids) for one in side if one.seed in shared])
        for side in (first, second)
    ]
    return compare_macro_f1(gold, sides[0], sides[1], len(spec.classes), seed=seed)


def _predicted(score: StudyScore, spec: TaskSpec, ids: Sequence[str]) -> Labels:
    """The answers to the rows of these ids, in their order.

    Raises InputError when the student was scored on others.
    """
    own, _, answers = read_predictions(score.predictions, spec)
    places = {name: place for place, name in enumerate(own)}
    if places.keys() != set(ids):
        raise InputError(f"{score.predictions}: holds other rows than those of the arm beside it")
    return answers.predicted[[places[name] for name in ids]]


def _row(arm: str, spec: TaskSpec, scores: Sequence[dict[str, Any]], *, seeds: int) -> ArmRow:
    classes = [[found["per_class"][name] for name in spec.classes] for found in scores]
    precision, recall, f1 = (
        Spread.of([float(np.mean([one[key] for one in each])) for each in classes])
        for key in MEASURES
    )
    last_precision, last_recall, last_f1 = (
        Spread.of([each[-1][key] for each in classes]) for key in MEASURES
    )
    last = (last_precision, last_recall, last_f1) if len(spec.classes) == 2 else None
    accuracy = Spread.of([found["accuracy"] for found in scores])
    quoted = [
        found["rationale"]["level>0"]["model"]["token_f1"]
        for found in scores
        if "rationale" in found
    ]
    legacy = [found["sharma2020"]["token_f1"] for found in scores if "sharma2020" in found]
    token_f1, legacy_f1 = (
        Spread.of(values) if values and None not in values else None for values in (quoted, legacy)
    )
    confusions = tuple(found["confusion"] for found in scores)
    return ArmRow(
        arm, seeds, precision, recall, f1, last, accuracy, token_f1, legacy_f1, confusions
    )


def most_f1(published: Published) -> float | None:
    """The F1 that the published precision and recall allow, in percent; None where they are not
    given.

    F1 is concave in precision and recall: no mean over runs or classes is above the F1 of their
    means.
    """
    precision, recall = published.precision, published.recall
    if precision is None or recall is None:
        return None
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


# Column → what it holds of published figures.
PUBLISHED: dict[str, Callable[[Published], float | None]] = {
    "P": lambda one: one.precision,
    "R": lambda one: one.recall,
    "F1": lambda one: one.f1,
    "2PR/(P+R)": most_f1,
    "accuracy": lambda one: one.accuracy,
    "rationale, 2020": lambda one: one.token_f1,
}


def cannot_be(published: Published) -> bool:
    """Whether a published F1 is more than its precision and recall allow."""
    most = most_f1(published)
    return most is not None and published.f1 > most + ROUNDED


def columns(
    rows: Sequence[ArmRow], spec: TaskSpec, against: str | None
) -> list[dict[str, list[str]]]:
    """The table as words: header → cells, in groups: the arms' own scores, tests, and what each of
    the others reports. Columns that hold nothing are left out."""
    groups: list[dict[str, list[str]]] = [
        {
            "seeds": [str(row.seeds or "") for row in rows],
            "precision": [spread(row.precision) for row in rows],
            "recall": [spread(row.recall) for row in rows],
            "macro-F1": [spread(row.f1) for row in rows],
            "accuracy": [spread(row.accuracy) for row in rows],
        },
        {
            f"{name} of {spec.classes[-1]}": [
                spread(row.last[place]) if row.last else "" for row in rows
            ]
            for place, name in enumerate(("precision", "recall", "F1"))
        },
        {
            "rationale": [spread(row.token_f1) for row in rows],
            "rationale, 2020": [spread(row.legacy_f1) for row in rows],
        },
        {
            f"macro-F1 − {against}": [
                with_interval(row.difference.difference, sign=True) if row.difference else ""
                for row in rows
            ],
            "p (Holm)": [chance(row.p_value) for row in rows],
        },
        *(
            {
                f"{by} {name}": [_shown(row.published, by, name) for row in rows]
                for name in PUBLISHED
            }
            for by in _reporters(rows)
        ),
    ]
    return [{name: cells for name, cells in group.items() if any(cells)} for group in groups]


def _shown(published: Sequence[Published], by: str, name: str) -> str:
    """What somebody reports; an F1 that can't be is marked."""
    found = next((one for one in published if one.by == by), None)
    if found is None:
        return ""
    mark = "!" if name == "F1" and cannot_be(found) else ""
    return number(PUBLISHED[name](found), 2) + mark


def notes(rows: Sequence[ArmRow]) -> list[str]:
    """What a reader of the table has to know."""
    found = [
        "Test rows. Precision, recall and F1 are macro: means over the classes, each class's F1 of "
        "its own precision and recall; mean ± standard deviation over seeds. constant: always the "
        "most frequent class of train.",
        "Seeds vary the students alone: splits, teachers and soft targets are one. A student's "
        "checkpoint is that of the best mean dev score over the tasks that it has.",
    ]
    if any(row.difference for row in rows):
        found.append(
            "Differences: paired bootstrap over the test rows, the scores of the seeds that both "
            "arms have averaged, 95 % intervals; p-values corrected for all arms (Holm). They say "
            "how far other test rows could change them, not other seeds."
        )
    if any(row.token_f1 for row in rows):
        found.append("rationale: token-F1 on rows of a level above the lowest.")
    if any(row.legacy_f1 for row in rows):
        found.append(
            "rationale, 2020: token-F1 by the rules of Sharma et al. (2020), as it is published; "
            "all of a row of the lowest level is gold there, so quoting nothing of it, which is "
            "right, scores 0. constant: every token marked."
        )
    if any(row.published for row in rows):
        found.append(
            "Published figures are in percent, of other rows, and averaged as their authors did."
        )
    if any(row.last and one.precision is not None for row in rows for one in row.published):
        found.append(
            "Published precision and recall of two classes far from each other are those of the "
            "one class, not means over both."
        )
    if any(cannot_be(one) for row in rows for one in row.published):
        found.append(
            "!: more than 2PR/(P+R) of the figures beside it, which no average over runs or "
            "classes can be."
        )
    return found


def write_study_tables(config: Config, folder: Path, tables: dict[str, list[ArmRow]]) -> None:
    """Write table-TASK.md, to be read, and table-TASK.csv, which holds the numbers."""
    for spec in config.specs:
        if spec.name not in tables:
            continue
        rows = tables[spec.name]
        named = {"arm": [row.arm for row in rows]}
        for group in columns(rows, spec, config.study.against):
            named |= group
        lines = [list(named), *map(list, zip(*named.values(), strict=True))]
        place = folder / f"table-{spec.name}"
        text = [f"| {' | '.join(line)} |" for line in (lines[0], ["---"] * len(named), *lines[1:])]
        write_text(place.with_suffix(".md"), "\n".join([*text, "", *notes(rows)]) + "\n")
        with (
            new_file(place.with_suffix(".csv")) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(numbers_of(rows[0], rows))
            writer.writerows(numbers_of(row, rows).values() for row in rows)


def numbers_of(row: ArmRow, rows: Sequence[ArmRow]) -> dict[str, Any]:
    """A row as unrounded numbers by column, the same ones for all rows of a table; None where it
    has none. Published ones are in percent, confusions in JSON."""
    last = row.last or (None, None, None)
    measured = {
        "precision": row.precision,
        "recall": row.recall,
        "macro_f1": row.f1,
        "accuracy": row.accuracy,
        **{f"last_class_{name}": found for name, found in zip(MEASURES, last, strict=True)},
        "rationale_token_f1": row.token_f1,
        "rationale_token_f1_2020": row.legacy_f1,
    }
    found: dict[str, Any] = {"arm": row.arm, "seeds": row.seeds}
    for name, values in measured.items():
        found[name] = values.mean if values else None
        found[f"{name}_sd"] = values.deviation if values else None
    estimate = row.difference.difference if row.difference else None
    found |= {
        "difference": estimate.value if estimate else None,
        "difference_low": estimate.low if estimate else None,
        "difference_high": estimate.high if estimate else None,
        "p_holm": row.p_value,
    }
    for by in _reporters(rows):
        report = next((one for one in row.published if one.by == by), None)
        for name, read in PUBLISHED.items():
            found[f"{by} {name}"] = read(report) if report else None
    return found | {"confusions": json.dumps(row.confusions)}


def _reporters(rows: Sequence[ArmRow]) -> list[str]:
    return list(dict.fromkeys(one.by for row in rows for one in row.published))
