"""What a person sees in the terminal: the data profile, results, a study, one prediction."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kd.compare import RunComparison
from kd.config import Config
from kd.report.measures import NAMES, RATIONALE
from kd.report.wording import chance, number, spread, with_interval
from kd.selfcheck import Check
from kd.statistics import Spread
from kd.study import StudyScore
from kd.study_table import ArmRow, columns, notes
from student.predictions import Prediction


def print_profile(out: Console, profile: Mapping[str, Any]) -> None:
    """Rows and label shares a task, and whatever a person should look at."""
    rows = profile["rows"]
    out.print(
        f"{sum(rows.values()):,} texts: "
        + ", ".join(f"{split} {count:,}" for split, count in rows.items())
        + f"; splits hash {profile['hash']}"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("task", "train", "dev", "test", "classes (share of train)"):
        table.add_column(column, justify="right" if column in ("train", "dev", "test") else "left")
    for name, task in profile["tasks"].items():
        counts = task["rows"]
        total = max(1, sum(counts["train"].values()))
        shares = escape(" · ".join(f"{c} {n / total:.0%}" for c, n in counts["train"].items()))
        table.add_row(
            name,
            *(f"{sum(counts[split].values()):,}" for split in ("train", "dev", "test")),
            shares,
        )
    out.print(table)
    for name, task in profile["tasks"].items():
        notes = []
        if task["duplicates"]:
            notes.append(f"{task['duplicates']} repeated rows merged")
        if task["conflicts"]:
            notes.append(
                f"{len(task['conflicts'])} with conflicting labels (the more frequent counts, "
                f"then the first): {_some(task['conflicts'])}"
            )
        if task["unmatched"]:
            notes.append(
                f"{len(task['unmatched'])} of {task['parts']} rationale parts not in the text: "
                f"{_some(task['unmatched'])}"
            )
        elif task["parts"]:
            notes.append(f"all {task['parts']} rationale parts found")
        if task["left_out_by_limit"]:
            notes.append(f"{task['left_out_by_limit']:,} train rows beyond the limit")
        if task["moved"]:
            notes.append(
                f"{task['moved']} rows moved from their file's split to that of a text or writer "
                f"they share"
            )
        if task["unlabelled"]:
            notes.append(f"{task['unlabelled']:,} rows without a label")
        if notes:
            out.print(f"{name}: {'; '.join(notes)}", markup=False)
    cut = ", ".join(f"{share:.1%} of {column}s" for column, share in profile["truncated"].items())
    out.print(f"cut at max_tokens: {cut}")
    found = sum(profile["overlaps"].values())
    out.print(f"texts, posts or writers in two splits: {found or 'none'}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" …" if len(names) > 5 else "")


def print_results(out: Console, metrics: Path) -> None:
    """Teachers against the student on test, the baselines beside, and the sizes."""
    report = json.loads(metrics.read_text(encoding="utf-8"))
    table = Table(box=None, pad_edge=False, title="test", title_justify="left")
    for column in ("task", "metric", "constant", "TF-IDF", "teacher", "student"):
        table.add_column(column, justify="left" if column in ("task", "metric") else "right")
    for name, splits in report["tasks"].items():
        scores = splits["test"]
        main = "macro_f1" if "macro_f1" in scores["student"] else "pearson"
        second = "accuracy" if main == "macro_f1" else "mse"
        for place, metric in enumerate((main, second)):
            table.add_row(
                name if place == 0 else "",
                metric.replace("_", "-"),
                *(
                    number(scores.get(model, {}).get(metric))
                    for model in ("constant", "tfidf", "teacher", "student")
                ),
            )
        if "rationale" in scores["student"]:
            rationale = scores["student"]["rationale"]["level>0"]
            teacher = scores.get("teacher", {}).get("rationale", {}).get("level>0", {})
            table.add_row(
                "",
                "rationale token-F1, level > 0",
                number(rationale["all_tokens"]["token_f1"]),
                "",
                number(teacher.get("model", {}).get("token_f1")),
                number(rationale["model"]["token_f1"]),
            )
    out.print(table)
    models = dict(report["models"])
    weights = report.get("teacher_weights", {})
    outside = [name for found in weights.values() for name in found if name not in models]
    student = models.pop("student")
    line = f"student: {student['parameters'] / 1e6:.1f} M parameters, {student['megabytes']:.0f} MB"
    if models:
        parameters = sum(model["parameters"] for model in models.values())
        line += (
            f"; {len(models)} teachers: {parameters / 1e6:.1f} M, "
            f"{sum(model['megabytes'] for model in models.values()):.0f} MB "
            f"({parameters / student['parameters']:.1f} times the student)"
        )
    if outside:
        line += f"; outside: {', '.join(outside)}"
    out.print(line)


def print_study(out: Console, scores: Sequence[StudyScore]) -> None:
    """Test scores, a row a task and a column an arm: mean ± standard deviation over its seeds.

    The deviation is the sample's (divided by seeds - 1); a score that is undefined leaves it empty.
    """
    shown = [score for score in scores if score.split == "test"]
    seeds = {arm: len({s.seed for s in shown if s.arm == arm}) for arm in [s.arm for s in shown]}
    out.print("test: macro-F1 (regression: Pearson's r) and rationale token-F1, level > 0;")
    out.print("mean ± standard deviation over (seeds)")
    table = Table(box=None, pad_edge=False)
    table.add_column("task")
    for arm, count in seeds.items():
        table.add_column(f"{arm} ({count})", justify="right")
    for task in dict.fromkeys(score.task for score in shown):
        by_arm = [[s for s in shown if (s.arm, s.task) == (arm, task)] for arm in seeds]
        table.add_row(task, *(_mean_and_deviation([s.label_score for s in o]) for o in by_arm))
        cells = [_mean_and_deviation([s.rationale_score for s in o]) for o in by_arm]
        if any(cells):
            table.add_row("  rationale", *cells)
    out.print(table)


def print_study_tables(
    out: Console, config: Config, tables: Mapping[str, Sequence[ArmRow]]
) -> None:
    """Each task's table of the arms of study.arms, and what has to be known to read it."""
    for spec in config.specs:
        if spec.name not in tables:
            continue
        rows = tables[spec.name]
        arms = [row.arm for row in rows]
        for group in filter(None, columns(rows, spec, config.study.against)):
            table = Table(box=None, pad_edge=False, title=spec.name, title_justify="left")
            table.add_column("arm", no_wrap=True)
            for name in group:
                table.add_column(name, justify="right", no_wrap=True)
            for arm, *line in zip(arms, *group.values(), strict=True):
                if any(line):
                    table.add_row(*map(escape, (arm, *line)))
            out.print(table)
        for note in notes(rows):
            out.print(note, markup=False)


def _mean_and_deviation(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return spread(Spread.of(known) if known and len(known) == len(values) else None)


def print_comparison(out: Console, found: RunComparison) -> None:
    """The settings that differ, each task's scores with their difference, and the flips."""
    for key, first, second in found.settings:
        out.print(f"{key}: {first!r} → {second!r}", markup=False)
    scores, flips = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    for table, names in (
        (scores, ("task", "metric", "first", "second", "second − first", "p")),
        (flips, ("answers", "won", "lost", "both wrong", "McNemar p")),
    ):
        for name in names:
            is_word = name in ("task", "metric", "answers")
            table.add_column(name, justify="left" if is_word else "right", no_wrap=True)
    for task in found.tasks:
        if task.scores is not None:
            scores.add_row(
                task.task,
                "rationale" if task.measure == RATIONALE else NAMES[task.measure],
                number(task.scores.first.value),
                number(task.scores.second.value),
                with_interval(task.scores.difference, sign=True),
                chance(task.scores.p_value),
            )
        if task.flips is not None:
            counts = (task.flips.won, task.flips.lost, task.flips.both_wrong)
            flips.add_row(task.task, *map(str, counts), chance(task.p_mcnemar))
    out.print(scores)
    out.print(
        "test rows; 95 % interval and p of paired resamples; rationale: token-F1, level > 0\n"
    )
    out.print(flips)
    out.print("won: rows that the second alone has right; lost: that the first alone has")


def print_prediction(out: Console, answer: Mapping[str, Prediction], text: str) -> None:
    """One line a task: class, probability, rationale."""
    table = Table(box=None, pad_edge=False)
    for column in ("task", "answer", "probability", "rationale"):
        table.add_column(column, justify="right" if column == "probability" else "left")
    for name, prediction in answer.items():
        label = prediction.label
        table.add_row(
            name,
            escape(label) if isinstance(label, str) else f"{label:.3f}",
            f"{max(prediction.probabilities.values()):.2f}" if prediction.probabilities else "",
            escape(
                " … ".join(
                    f"“{part.words}” [{part.start}:{part.end}]" for part in prediction.rationale
                )
            ),
        )
    out.print(table)


def print_checks(out: Console, checks: Iterable[Check]) -> bool:
    """A line a comparison as soon as it is known; True when all are within their tolerance."""
    held = []
    for check in checks:
        held.append(check.holds)
        mark = "[green]same[/]" if check.holds else "[bold red]APART[/]"
        out.print(f"{mark}  {check.difference:<9.2g} of {check.tolerance:<7.2g} {check.name}")
    out.print(f"{sum(held)} of {len(held)} comparisons within their tolerance")
    return all(held)
