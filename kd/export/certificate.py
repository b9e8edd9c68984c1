"""The certificate of an export: how far each of its graphs is from the trained student.

Letters: N = rows, C = classes, T = tokens of all texts together.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.encoding import EncodedTable
from data.errors import InputError
from data.tasks import TaskSpec
from kd.evaluation import score
from student.inference import RATIONALE_THRESHOLD, Logits

CERTIFICATE = "CERTIFICATE.json"
# The float32 graph computes the same in another order: what remains is rounding.
LARGEST_DIFFERENCE = 1e-4
# The share of a regression's scale within which two values are the same answer.
VALUE_TOLERANCE = 0.02


def read_certificate(folder: Path) -> dict[str, Any]:
    """The certificate in a folder, empty where there is none.

    Raises InputError when it is no certificate.
    """
    path = folder / CERTIFICATE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise InputError(f"{path}: is no certificate: delete it, or give another folder") from None


def check_unchanged(path: Path) -> None:
    """Raise InputError for a file that is not as the certificate beside it has it; one that it does
    not list passes."""
    listed = read_certificate(path.parent).get("files", {}).get(path.name)
    if listed is not None and hashlib.sha256(path.read_bytes()).hexdigest() != listed["sha256"]:
        raise InputError(f"{path}: is not what kd export wrote: write it again with kd export RUN")


def compare(
    spec: TaskSpec, table: EncodedTable, trained: Logits, exported: Logits
) -> dict[str, Any]:
    """One task's differences between two models' answers to the rows of a table.

    largest_difference: of a logit, in any row. label_agreement: the share of the rows that the
    task is asked about, those with a context where it reads one, whose class is the same, or
    whose value differs by at most VALUE_TOLERANCE of the scale; None without such rows.
    rationale: the same of the log-odds, and of the decision of each token of those rows.
    """
    rows = asked_rows(spec, table)
    before, after = trained.labels[spec.name], exported.labels[spec.name]
    found: dict[str, Any] = {
        "rows": len(rows),
        "largest_difference": largest_distance(before, after),
        "label_agreement": _share(_same_answers(spec, before[rows], after[rows])),
    }
    if spec.has_rationale:
        real = np.isfinite(trained.tokens[spec.name])
        log_odds = trained.tokens[spec.name], exported.tokens[spec.name]
        asked = real & np.isin(np.repeat(np.arange(len(table)), table.texts.lengths), rows)
        chosen = [values[asked] > RATIONALE_THRESHOLD for values in log_odds]
        found["rationale"] = {
            "tokens": int(asked.sum()),
            "largest_difference": largest_distance(*log_odds),
            "token_agreement": _share(chosen[0] == chosen[1]),
        }
    return found


def asked_rows(spec: TaskSpec, table: EncodedTable) -> npt.NDArray[np.int64]:
    """Numbers of the rows that a task is asked about: those with a context where it reads one."""
    has_context = table.contexts.lengths > 0
    return np.flatnonzero(has_context if spec.has_context else np.ones_like(has_context))


def _same_answers(
    spec: TaskSpec, before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    if spec.kind == "regression":
        return np.abs(before[:, 0] - after[:, 0]) <= VALUE_TOLERANCE  # of a scale from 0 to 1
    return np.asarray(before.argmax(axis=1) == after.argmax(axis=1))


def largest_distance(trained: npt.NDArray[np.float32], exported: npt.NDArray[np.float32]) -> float:
    """The largest distance of two arrays of one shape where the first holds a number.

    Infinite where the second holds none there.
    """
    is_number = np.isfinite(trained)
    distances = np.abs(trained[is_number] - exported[is_number])
    return float(np.nan_to_num(distances, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _share(same: npt.NDArray[np.bool_]) -> float | None:
    return float(same.mean()) if same.size else None


def precision_report(
    specs: Sequence[TaskSpec], table: EncodedTable, trained: Logits, exported: Logits
) -> dict[str, Any]:
    """A graph's largest difference, and each task's differences and scores.

    macro_f1_change: of the exported graph's from the trained student's, on a scale of 1.
    """
    tasks: dict[str, Any] = {}
    for spec in specs:
        before, after = (score(spec, table, logits) for logits in (trained, exported))
        tasks[spec.name] = compare(spec, table, trained, exported) | {"scores": after}
        if "macro_f1" in before:
            tasks[spec.name]["macro_f1_change"] = after["macro_f1"] - before["macro_f1"]
    return {"largest_difference": largest_difference(tasks), "tasks": tasks}


def largest_difference(tasks: Mapping[str, Any]) -> float:
    """The largest of all tasks, rationales included."""
    parts = [part for task in tasks.values() for part in (task, task.get("rationale", {}))]
    return max(part.get("largest_difference", 0.0) for part in parts)


def check(precision: str, report: Mapping[str, Any], agreement: float) -> None:
    """Raise InputError when a graph is too far from the trained student.

    report: of `precision_report`. agreement: the least share of the labels, and of the tokens of
    rationales, that must be the same; see `is_enough`.
    """
    difference = report["largest_difference"]
    if not math.isfinite(difference):
        raise InputError(
            f"kd export: the {precision} graph gives logits that are no numbers: "
            f"leave {precision} out of --precision; nothing was written"
        )
    if precision == "fp32" and difference > LARGEST_DIFFERENCE:
        raise InputError(
            f"kd export: the fp32 graph is {difference:.1e} from the trained student in a logit, "
            f"where rounding explains {LARGEST_DIFFERENCE:g}: nothing was written"
        )
    short = first_short(report["tasks"], agreement)
    if short is not None:
        raise InputError(
            f"kd export: {precision} gives {short}, export.agreement asks for {agreement:.1%}: "
            f"leave {precision} out of --precision; nothing was written"
        )


def first_short(tasks: Mapping[str, Any], agreement: float) -> str | None:
    """What of the first task, of `compare`, agrees too little; None where all agree enough."""
    for name, task in tasks.items():
        if not is_enough(task["label_agreement"], task["rows"], agreement):
            return (
                f"{task['label_agreement']:.1%} of {task['rows']:,} dev rows the trained student's "
                f"answer to task {name!r}"
            )
        quoted = task.get("rationale")
        if quoted and not is_enough(quoted["token_agreement"], quoted["tokens"], agreement):
            return (
                f"{quoted['token_agreement']:.1%} of {quoted['tokens']:,} dev tokens the trained "
                f"student's place in or out of the rationale of task {name!r}"
            )
    return None


def is_enough(share: float | None, count: int, agreement: float) -> bool:
    """Whether so large a share of `count` answers agrees. One may always differ: of few rows it
    would be more than the rest, and a tie is broken by the last bit. A share of nothing agrees."""
    return share is None or share >= agreement or round((1 - share) * count) <= 1
