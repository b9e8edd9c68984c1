"""Evaluation: a model's, and the baselines', scores on one split of one task.

Letters: N = rows, T = tokens of all texts together, C = classes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from accelerate import Accelerator
from datasets import Dataset
from scipy.special import softmax

from data.encoding import EncodedTable
from data.tables import gold_of, labelled
from data.tasks import TaskSpec
from kd.baselines import majority_predictions, mean_values, tfidf_predictions, tfidf_values
from kd.gathering import gather_logits
from kd.metrics import (
    classification_scores,
    rationale_report,
    rationale_scores,
    regression_scores,
    roc_auc,
)
from kd.sharma2020 import legacy_labels, legacy_rationale_scores
from student.inference import RATIONALE_THRESHOLD, Logits, inference_batches
from student.model import StudentModel

# Pairs of words grow with the texts: those of a million would not fit in memory.
TFIDF_ROWS = 100_000


def known_rows(gold: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Row numbers with a gold target, of (N, C) targets."""
    return np.flatnonzero(np.isfinite(gold).all(axis=1))


def rows_with_gold(specs: Sequence[TaskSpec], table: EncodedTable) -> npt.NDArray[np.int64]:
    """Row numbers with a gold target of any of the tasks: those that a score is made of."""
    return np.unique(np.concatenate([known_rows(table.gold[spec.name]) for spec in specs]))


def score(spec: TaskSpec, table: EncodedTable, logits: Logits) -> dict[str, Any]:
    """A model's scores on the rows of a table that have a gold target of the task.

    One that quotes no rationales has no scores of them.
    """
    rows = known_rows(table.gold[spec.name])
    predicted = logits.labels[spec.name][rows]
    gold = table.gold[spec.name][rows]
    scores = label_scores(spec, gold, predicted)
    if spec.kind == "classification":
        scores["roc_auc"] = None
        if np.isfinite(predicted).all():  # a broken graph is scored before it is refused
            # Rounded: rows that differ by rounding alone must not be ranked by the batch size.
            chances = softmax(predicted.astype(np.float64), axis=1).round(4)
            scores["roc_auc"] = roc_auc(gold.argmax(axis=1), chances)
    if spec.name in logits.tokens:
        gold_rows, predicted_rows, has_level, _ = rationale_rows(spec, table, logits, rows)
        scores["rationale"] = rationale_report(gold_rows, predicted_rows, has_level)
    return scores


def score_sharma2020(spec: TaskSpec, table: EncodedTable, logits: Logits) -> dict[str, Any]:
    """Rationale scores by the 2020 code's own rules, for comparison with published numbers only.

    all_tokens: those of the answer that every token is rationale, which beats the published models.
    Rows whose rationale is unknown (a level without a quotation, a part that is not in the text)
    are left out; the 2020 code marks all, or none, of their tokens.
    """
    rows = known_rows(table.gold[spec.name])
    gold_rows, predicted_rows, _, has_rationale = rationale_rows(spec, table, logits, rows)
    width = max((len(row) for row in gold_rows), default=0) + 2

    def padded(listed: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.int64]:
        # One special token stands before the text's own tokens and one after.
        grid = np.zeros((len(listed), max(64, width)), dtype=np.int64)
        for place, row in enumerate(listed):
            grid[place, 1 : len(row) + 1] = row
        return grid

    lengths = np.array([len(row) + 1 for row in gold_rows], dtype=np.int64)
    gold = legacy_labels(padded(gold_rows), lengths, has_rationale)
    everything = legacy_labels(np.zeros_like(gold), lengths, np.zeros_like(has_rationale))
    return {
        **legacy_rationale_scores(gold, padded(predicted_rows), lengths),
        "all_tokens": legacy_rationale_scores(gold, everything, lengths),
    }


def rationale_rows(
    spec: TaskSpec, table: EncodedTable, logits: Logits, rows: npt.NDArray[np.int64]
) -> tuple[
    list[npt.NDArray[np.bool_]],
    list[npt.NDArray[np.bool_]],
    npt.NDArray[np.bool_],
    npt.NDArray[np.bool_],
]:
    """Gold and predicted tokens of the rows whose rationale is known; which of them have a level
    above 0, and which have a rationale at all."""
    gold_rows, predicted_rows, has_level = [], [], []
    for row in rows:
        part = table.part(row)
        targets = table.gold_tokens[spec.name][part]
        real = np.isfinite(targets)
        if real.any():
            gold_rows.append(targets[real] > 0.5)
            predicted_rows.append(logits.tokens[spec.name][part][real] > RATIONALE_THRESHOLD)
            has_level.append(_has_level(spec, table.gold[spec.name][row]))
    has_rationale = np.array([bool(row.any()) for row in gold_rows], dtype=bool)
    return gold_rows, predicted_rows, np.array(has_level, dtype=bool), has_rationale


def _has_level(spec: TaskSpec, gold: npt.NDArray[np.float32]) -> bool:
    """Whether the gold is above the lowest class or value."""
    return int(np.argmax(gold)) > 0 if spec.kind == "classification" else float(gold[0]) > 0.0


def label_scores(
    spec: TaskSpec, gold: npt.NDArray[np.float32], predicted: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """Scores of (N, C) logits against (N, C) gold; of a regression on the task's own scale."""
    if spec.kind == "regression":
        scale = spec.high - spec.low
        return dict(
            regression_scores(
                spec.low + gold[:, 0].astype(np.float64) * scale,
                spec.low + predicted[:, 0].astype(np.float64) * scale,
            )
        )
    return classification_scores(gold.argmax(axis=1), predicted.argmax(axis=1), spec.classes)


def baseline_scores(
    spec: TaskSpec, train: Dataset, split: Dataset, seed: int
) -> dict[str, dict[str, Any]]:
    """Scores on a split of the constant answer and of a linear model on TF-IDF of the text.

    The linear model learns from at most TFIDF_ROWS train rows, drawn by the seed.
    """
    train, split = labelled(train, spec.name), labelled(split, spec.name)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(train))[:TFIDF_ROWS])
    train_gold, train_texts = gold_of(train, spec.name), list(train.select(drawn)["text"])
    gold, texts = gold_of(split, spec.name), list(split["text"])
    if spec.kind == "regression":
        values, rows = train_gold[:, 0].astype(np.float64), len(gold)
        answers = {
            "constant": mean_values(values, rows),
            "tfidf": tfidf_values(train_texts, values[drawn], texts, seed),
        }
        return {
            key: label_scores(spec, gold, answer[:, None].astype(np.float32))
            for key, answer in answers.items()
        }
    classes = train_gold.argmax(axis=1)
    found = {
        "constant": majority_predictions(classes, len(gold)),
        "tfidf": tfidf_predictions(train_texts, classes[drawn], texts, seed),
    }
    return {
        key: classification_scores(gold.argmax(axis=1), predicted, spec.classes)
        for key, predicted in found.items()
    }


def selection_score(specs: Sequence[TaskSpec], table: EncodedTable, logits: Logits) -> float:
    """The one number that picks a checkpoint, the mean over tasks.

    A task gives its selection metric (macro-F1, or Pearson's r); with rationales, the mean of that
    and of the token-F1 on rows above the lowest level, so that the extraction head is not left
    behind. What is undefined (a constant regression) counts 0; a task without gold is left out.
    """
    values = []
    for spec in specs:
        rows = known_rows(table.gold[spec.name])
        if not len(rows):
            continue
        gold, predicted = table.gold[spec.name][rows], logits.labels[spec.name][rows]
        value = label_scores(spec, gold, predicted)[spec.selection_metric] or 0.0
        if spec.has_rationale:
            gold_rows, predicted_rows, has_level, _ = rationale_rows(spec, table, logits, rows)
            above = np.flatnonzero(has_level)
            scores = rationale_scores(
                [gold_rows[row] for row in above], [predicted_rows[row] for row in above]
            )
            if scores["token_f1"] is not None:
                value = (value + scores["token_f1"]) / 2
        values.append(value)
    return float(np.mean(values)) if values else 0.0


def dev_scorer(
    specs: Sequence[TaskSpec],
    table: EncodedTable,
    accelerator: Accelerator,
    *,
    batch_rows: int | None = None,
) -> Callable[[StudentModel], float]:
    """The function that scores a model on the dev rows during training, in its precision.

    All processes must call it; each computes its share of the rows. batch_rows: read at once; by
    default as many as about 8,000 tokens.
    """
    batches = inference_batches(table, rows_with_gold(specs, table), batch_rows=batch_rows)
    return lambda model: selection_score(
        specs,
        table,
        gather_logits(model, table, accelerator, batches=batches, autocast=accelerator.autocast),
    )
