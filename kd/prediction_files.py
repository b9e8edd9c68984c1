"""Prediction files: what a model answers to each row of a split, as a CSV without any text.

Letters: N = rows, C = classes.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data.encoding import EncodedTable, Floats
from data.errors import InputError
from data.rationales import Span, spans_of_tokens
from data.tasks import TaskSpec
from kd.evaluation import known_rows
from kd.metrics import token_f1_of_row
from student.inference import RATIONALE_THRESHOLD, Logits
from teachers.soft_targets import probabilities

# Class indices, or values of a regression.
Labels = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """One model's answers to one task.

    predicted: (N,) class indices, or values of a regression. chances: (N, C). spans: what it
    quotes of each text, and token_f1: (N,) that quotation's token-F1, NaN where gold is unknown;
    both None for a task without rationales and for a model that quotes none.
    """

    predicted: Labels
    chances: Values
    spans: list[list[Span]] | None
    token_f1: Values | None


def write_predictions(path: Path, spec: TaskSpec, table: EncodedTable, logits: Logits) -> None:
    """Write a line for each row with gold: id, gold, predicted, a probability a class, the
    rationale as spans, and its token-F1, empty where the gold rationale is unknown.

    A teacher that quotes no rationales has no columns of them.
    """
    classes = spec.classes if spec.kind == "classification" else ()
    header = ["id", "gold", "predicted", *(f"p({c})" for c in classes)]
    quotes = spec.name in logits.tokens
    if quotes:
        header += ["rationale", "rationale_token_f1"]
    chances = probabilities(logits.labels[spec.name], spec, 1.0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in known_rows(table.gold[spec.name]):
            cells: list[Any] = [
                table.ids[row],
                spec.decode(table.gold[spec.name][row]),
                spec.decode(logits.labels[spec.name][row]),
                *(f"{chance:.6f}" for chance in (chances[row] if classes else ())),
            ]
            if quotes:
                part = table.part(row)
                chosen = logits.tokens[spec.name][part]
                spans = spans_of_tokens(chosen > RATIONALE_THRESHOLD, table.offsets[part])
                cells.append(" ".join(f"{start}-{end}" for start, end in spans))
                cells.append(_token_f1(table.gold_tokens[spec.name][part], chosen))
            writer.writerow(cells)


def _token_f1(gold: Floats, log_odds: Floats) -> str:
    """A row's rationale token-F1, of its (tokens,) targets and log-odds; empty where unknown."""
    real = np.isfinite(gold)
    if not real.any():
        return ""
    chosen = log_odds[real] > RATIONALE_THRESHOLD
    return f"{token_f1_of_row(gold[real] > 0.5, chosen, both_empty=1.0):.6f}"


def read_predictions(path: Path, spec: TaskSpec) -> tuple[tuple[str, ...], Labels, Answers]:
    """The rows' ids, their gold (N,), and the model's answers.

    Raises InputError when the file is not there.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: run kd evaluate with this config again")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    chances = np.array([[float(row[f"p({c})"]) for c in spec.classes] for row in rows])
    if not np.isfinite(chances).all():
        raise InputError(f"{path}: holds a chance that is no number: the model diverged")
    spans = token_f1 = None
    if spec.has_rationale and all("rationale" in row for row in rows):
        spans = [_spans(row["rationale"]) for row in rows]
        token_f1 = np.array([float(row["rationale_token_f1"] or "nan") for row in rows])
    answers = Answers(
        predicted=_indices([row["predicted"] for row in rows], spec),
        chances=chances.reshape(len(rows), len(spec.classes)),
        spans=spans,
        token_f1=token_f1,
    )
    return tuple(row["id"] for row in rows), _indices([row["gold"] for row in rows], spec), answers


def _indices(cells: list[str], spec: TaskSpec) -> Labels:
    if spec.kind == "regression":
        return np.array([float(cell) for cell in cells])
    place = {name: index for index, name in enumerate(spec.classes)}
    return np.array([place[cell] for cell in cells], dtype=np.int64)


def _spans(cell: str) -> list[Span]:
    pairs = (part.split("-") for part in cell.split())
    return [(int(start), int(end)) for start, end in pairs]
