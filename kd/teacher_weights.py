"""Teacher weights: how much each of a task's teachers counts among them, as given or by dev score.

Letters: N = rows, C = classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.encoding import EncodedTable, Floats
from data.errors import InputError
from data.ragged import RowNumbers
from data.tasks import TaskSpec
from kd.config import Config
from kd.evaluation import known_rows, label_scores
from teachers.soft_targets import SoftTargets, probabilities
from teachers.trust import trust_in


def covered(targets: SoftTargets, ids: Sequence[str], gold: Floats) -> tuple[Floats, RowNumbers]:
    """(N, C) a teacher's logits of the rows of a split, and those rows with gold that it labelled.

    ids: (N,); gold: (N, C). Logits of rows that it did not label are NaN.
    """
    place = pc.index_in(pa.array(ids, pa.string()), targets.ids).fill_null(-1).to_numpy()
    logits = np.where(place[:, None] >= 0, targets.logits[place], np.float32(np.nan))
    return logits, np.flatnonzero((place >= 0) & np.isfinite(gold).all(axis=1))


def covers(targets: SoftTargets, table: EncodedTable, spec: TaskSpec) -> bool:
    """Whether a teacher labelled every row of a split that has gold of its task."""
    gold = table.gold[spec.name]
    return len(covered(targets, table.ids, gold)[1]) == len(known_rows(gold))


def teacher_weights(
    config: Config, targets: Mapping[str, Sequence[SoftTargets]], dev: EncodedTable
) -> dict[str, dict[str, float]]:
    """task → teacher → its weight among the task's teachers; they add up to 1.

    Of teachers.weights `dev` it is the given one times the teacher's macro-F1, or Pearson's r, on
    dev, or 0 where that is below or undefined; where all are, the given ones. Of `trust` they are
    the given ones too, before what each row does to them.
    Raises InputError where a dev score is asked for and a file leaves dev rows out.
    """
    found = {}
    for spec in config.specs:
        teachers = config.teachers.of(spec.name)
        given = np.array([teacher.weight for teacher in teachers.values()])
        weights = given
        if config.teachers.weights == "dev" and len(given) > 1 and targets.get(spec.name):
            scores = [
                dev_score(name, spec, one, dev)
                for name, one in zip(teachers, targets[spec.name], strict=True)
            ]
            weights = given * scores if any(scores) else given
        shares = (weights / weights.sum()).tolist()
        found[spec.name] = dict(zip(teachers, shares, strict=True))
    return found


def dev_score(name: str, spec: TaskSpec, targets: SoftTargets, dev: EncodedTable) -> float:
    """A teacher's macro-F1 or Pearson's r on the dev rows, at least 0.

    Raises InputError where its file leaves some of them out.
    """
    gold = dev.gold[spec.name]
    check_covers_dev(name, spec, targets, dev.ids, gold)
    logits, rows = covered(targets, dev.ids, gold)
    score = label_scores(spec, gold[rows], logits[rows])[spec.selection_metric]
    return max(0.0, score or 0.0)


def check_covers_dev(
    name: str, spec: TaskSpec, targets: SoftTargets, ids: Sequence[str], gold: Floats
) -> None:
    """Raise InputError when a teacher has no dev score, because its file leaves dev rows out."""
    here, all_of_them = len(covered(targets, ids, gold)[1]), len(known_rows(gold))
    if here < all_of_them:
        raise InputError(
            f"teachers.weights: dev needs each teacher's score on dev, and teacher {name!r} has "
            f"{here} of the {all_of_them} dev rows of task {spec.name!r}: add them to its file, or "
            f"use given or trust"
        )


def mean_trust(targets: SoftTargets, table: EncodedTable, spec: TaskSpec) -> float | None:
    """How far a teacher is trusted on the rows with gold that it labelled; None without any."""
    logits, rows = covered(targets, table.ids, table.gold[spec.name])
    if not len(rows):
        return None
    said = probabilities(logits[rows], spec, 1.0)
    return float(trust_in(said, table.gold[spec.name][rows], spec).mean())
