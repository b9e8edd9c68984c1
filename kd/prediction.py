"""Predictions of a whole CSV file."""

import csv
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from data.errors import InputError, shown_header
from data.readers.record import Row, csv_rows
from kd.atomic import new_file
from student.predictor import Prediction, Predictor

TEXT_COLUMNS = ("text", "response_post")
CONTEXT_COLUMNS = ("context", "seeker_post")
CHUNK = 1024


def predict_file(predictor: Predictor, source: Path, target: Path) -> int:
    """Answer every row of a CSV; the number of rows.

    The answers hold the row's id (its column `id`, else its number), and for each task the class,
    its probability and the rationale with its offsets. Raises InputError naming file and line of
    an empty text, or when the columns are missing.
    """
    rows = csv_rows(source, ())
    count = 0
    with new_file(target) as path, path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_header(predictor))
        with tqdm(desc=str(source.name), unit=" rows", disable=None, delay=2) as bar:
            while chunk := list(islice(rows, CHUNK)):
                answers = predictor(
                    [_text(row) for row in chunk], [_cell(row, CONTEXT_COLUMNS) for row in chunk]
                )
                for row, answer in zip(chunk, answers, strict=True):
                    count += 1
                    name = row.cells.get("id") or str(count)
                    writer.writerow([name, *_cells(predictor, answer)])
                bar.update(len(chunk))
    return count


def _text(row: Row) -> str:
    if not any(column in row.cells for column in TEXT_COLUMNS):
        raise InputError(
            f"{row.where}: no column {' or '.join(map(repr, TEXT_COLUMNS))}: "
            f"{shown_header(list(row.cells))}"
        )
    text = _cell(row, TEXT_COLUMNS)
    if not text.strip():
        raise InputError(f"{row.where}: the text is empty: write a text or delete the row")
    return text


def _cell(row: Row, columns: tuple[str, ...]) -> str:
    return next((row.cells[column] for column in columns if column in row.cells), "")


def _header(predictor: Predictor) -> list[str]:
    header = ["id"]
    for spec in predictor.model.specs:
        header.append(spec.name)
        if spec.kind == "classification":
            header += [f"{spec.name}_probability"]
        if spec.has_rationale:
            header += [f"{spec.name}_rationale", f"{spec.name}_offsets"]
    return header


def _cells(predictor: Predictor, answer: dict[str, Prediction]) -> list[str]:
    cells: list[str] = []
    for spec in predictor.model.specs:
        found = answer.get(spec.name)
        cells.append("" if found is None else str(found.label))
        if spec.kind == "classification":
            cells.append("" if found is None else f"{max(found.probabilities.values()):.6f}")
        if spec.has_rationale:
            rationale = found.rationale if found is not None else ()
            cells.append("|".join(part.words for part in rationale))
            cells.append(" ".join(f"{part.start}-{part.end}" for part in rationale))
    return cells
