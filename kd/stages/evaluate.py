"""Stage evaluate: every model's scores and answers on dev and test, from the rows' ids."""

import csv
import json
from typing import Any

import numpy as np
from datasets import DatasetDict

from data.encoding import EncodedTable, encode_table
from data.rationales import spans_of_tokens
from data.tasks import TaskSpec
from kd.atomic import new_file, write_text
from kd.config import Config
from kd.evaluation import (
    RATIONALE_THRESHOLD,
    baseline_scores,
    known_rows,
    score,
    score_sharma2020,
)
from kd.hardware import new_accelerator, processes
from kd.run_folder import RunFolder, check_model, content_key, model_files
from kd.stages.distill import load_all_targets, needs_teachers
from student.encoders import load_tokenizer
from student.inference import Logits, compute_logits
from student.model import StudentModel
from teachers.soft_targets import SoftTargets, probabilities

SPLITS = ("dev", "test")


def evaluate_stage(config: Config, run: RunFolder, *, sharma2020: bool = False) -> bool:
    """Write metrics.json and predictions/ unless they are there already; True when it ran."""
    table, profile = run.load_splits()
    check_model(run.student, "kd distill")
    key = content_key(
        config.model_dump(mode="json"), profile["hash"], sharma2020, files=model_files(run.student)
    )

    def write() -> None:
        new_accelerator("fp32")
        if processes().is_main_process:
            _evaluate(config, run, table, profile, sharma2020)

    return run.once("evaluate", key, write, result=run.metrics)


def _evaluate(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    profile: dict[str, Any],
    sharma2020: bool,
) -> None:
    specs = config.specs
    student = StudentModel.from_pretrained(run.student)
    tokenizer = load_tokenizer(str(run.student))
    targets = load_all_targets(config, run, profile["hash"]) if needs_teachers(config) else {}
    scores: dict[str, Any] = {spec.name: {} for spec in specs}
    for split in SPLITS:
        encoded = encode_table(table[split], tokenizer, specs, max_tokens=config.data.max_tokens)
        logits = compute_logits(student, encoded, progress=f"student on {split}")
        for spec in specs:
            found = {"student": (encoded, logits)}
            for name, target in zip(
                config.teachers.of(spec.name), targets.get(spec.name, ()), strict=False
            ):
                found["teacher" if name == spec.name else name] = _as_logits(
                    config, run, name, spec, table, split, target
                )
            by_model: dict[str, Any] = {}
            for model, (rows, answers) in found.items():
                by_model[model] = score(spec, rows, answers)
                if sharma2020 and spec.has_rationale:
                    by_model[model]["sharma2020"] = score_sharma2020(spec, rows, answers)
                _write_predictions(run, f"{model}-{spec.name}-{split}", spec, rows, answers)
            by_model |= baseline_scores(spec, table["train"], table[split], config.seed)
            scores[spec.name][split] = by_model
    report = {
        "name": config.name,
        "seed": config.seed,
        "splits_hash": profile["hash"],
        "tasks": scores,
        "models": {
            "student": _size(student),
            **{
                name: _size(StudentModel.from_pretrained(run.teacher(name)))
                for task in targets
                for name in config.teachers.of(task)
            },
        },
    }
    write_text(run.metrics, json.dumps(report, indent=2) + "\n")


def _size(model: StudentModel) -> dict[str, int | float]:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": parameters,
        "megabytes": round(sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6, 1),
    }


def _as_logits(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    table: DatasetDict,
    split: str,
    targets: SoftTargets,
) -> tuple[EncodedTable, Logits]:
    """A teacher's soft targets of one split as logits on its own tokens: it need not run again."""
    tokenizer = load_tokenizer(str(run.teacher(name)))
    encoded = encode_table(table[split], tokenizer, [spec], max_tokens=config.data.max_tokens)
    place = {row_id: index for index, row_id in enumerate(targets.ids)}
    labels = np.full((len(encoded), spec.width), np.nan, dtype=np.float32)
    tokens = np.full(len(encoded.offsets), np.nan, dtype=np.float32)
    for row, row_id in enumerate(encoded.ids):
        index = place.get(row_id)
        if index is None:
            continue
        labels[row] = targets.logits[index]
        if targets.token_logits is not None:
            part = slice(encoded.texts.starts[row], encoded.texts.starts[row + 1])
            real = encoded.offsets[part, 1] > encoded.offsets[part, 0]
            tokens[part][real] = targets.token_logits[index]
    has_tokens = targets.token_logits is not None
    return encoded, Logits({spec.name: labels}, {spec.name: tokens} if has_tokens else {})


def _write_predictions(
    run: RunFolder, name: str, spec: TaskSpec, table: EncodedTable, logits: Logits
) -> None:
    """One CSV: id, gold, predicted, a probability a class, rationale as spans. No text."""
    classes = spec.classes if spec.kind == "classification" else ()
    header = ["id", "gold", "predicted", *(f"p({c})" for c in classes)]
    if spec.has_rationale:
        header += ["rationale"]
    chances = probabilities(logits.labels[spec.name], spec, 1.0)
    with new_file(run.predictions / f"{name}.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in known_rows(table.gold[spec.name]):
            cells: list[Any] = [
                table.ids[row],
                spec.decode(table.gold[spec.name][row]),
                spec.decode(logits.labels[spec.name][row]),
                *(f"{chance:.6f}" for chance in (chances[row] if classes else ())),
            ]
            if spec.has_rationale:
                part = slice(table.texts.starts[row], table.texts.starts[row + 1])
                chosen = np.nan_to_num(logits.tokens[spec.name][part], nan=-1.0)
                spans = spans_of_tokens(chosen > RATIONALE_THRESHOLD, table.offsets[part])
                cells.append(" ".join(f"{start}-{end}" for start, end in spans))
            writer.writerow(cells)
