"""Stage evaluate: every model's scores and answers on dev and test, from the rows' ids."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from datasets import DatasetDict
from scipy.special import logit
from tqdm.auto import tqdm

from data.encoding import EncodedTable
from data.errors import InputError
from data.sources import Split
from data.tasks import TaskSpec
from kd.atomic import new_folder, write_text
from kd.config import Config
from kd.evaluation import (
    baseline_scores,
    rows_with_gold,
    score,
    score_sharma2020,
)
from kd.faithfulness import FAITHFULNESS_ROWS, faithfulness_by_model
from kd.gathering import gather_logits
from kd.hardware import by_main_process, new_accelerator
from kd.metrics import Scores
from kd.prediction_files import write_predictions
from kd.run_folder import (
    WITHOUT_EFFECT,
    RunFolder,
    check_model,
    content_key,
    model_files,
    settings_key,
)
from kd.stages.distill import (
    load_all_targets,
    needs_teachers,
    student_key,
)
from kd.teacher_weights import covers, teacher_weights
from kd.tokens import by_split, encoded_rows
from student.encoders import load_tokenizer
from student.inference import Logits, inference_batches
from student.model import StudentModel
from teachers.soft_targets import SoftTargets, load_soft_targets, soft_columns

SPLITS: tuple[Split, ...] = ("dev", "test")


def evaluate_stage(
    config: Config, run: RunFolder, *, sharma2020: bool = False, batch_size: int | None = None
) -> bool:
    """Write metrics.json and predictions/ unless they are there already; True when it ran.

    Where the run shares another's teachers its student is scored alone: the other run holds the
    scores of the teachers and baselines.

    batch_size: rows the student reads at once; by default as many as about 8,000 tokens.
    """
    table, profile = run.load_splits()
    check_model(run.student, "kd distill")
    run.require("distill", student_key(config, run, profile["hash"]), "kd distill")
    key = evaluate_key(config, run, profile["hash"], sharma2020=sharma2020, batch_size=batch_size)

    def write() -> None:
        targets: dict[str, list[SoftTargets]] = {}
        is_alone = run.shared is not None
        if not is_alone:
            find = partial(_targets_at_hand, config, run, profile["hash"])
            by_main_process(lambda: targets.update(find()))
        # The main process looked for them; all run the teachers together.
        with_teachers = broadcast_object_list([bool(targets)])[0]
        accelerator = new_accelerator("fp32")
        student, encoded, answers = _answers(
            config, run, table, profile["hash"], accelerator, batch_size
        )
        faithful = {} if is_alone else faithfulness_by_model(
            config, run, table, profile["hash"], student, encoded["test"], answers["test"],
            accelerator, with_teachers=with_teachers, batch_rows=batch_size,
        )  # fmt: skip
        by_main_process(
            partial(
                _evaluate, config, run, table, profile, student, encoded, answers, targets,
                faithful, sharma2020,
            )
        )  # fmt: skip

    return run.once("evaluate", key, write, result=run.metrics)


def evaluate_key(
    config: Config,
    run: RunFolder,
    table_hash: str,
    *,
    sharma2020: bool = False,
    batch_size: int | None = None,
) -> str:
    """What metrics.json depends on."""
    inputs = inputs_key(config, run, table_hash)
    return content_key(inputs, sharma2020, batch_size, FAITHFULNESS_ROWS)


def inputs_key(config: Config, run: RunFolder, table_hash: str) -> str:
    """What the scores depend on: settings, rows, the student's files, and what teachers that run
    elsewhere said: theirs may change where the student's do not."""
    return content_key(
        settings_key(config, without=WITHOUT_EFFECT),
        table_hash,
        *_outside_marks(config, run),
        files=model_files(run.student),
    )


def _outside_marks(config: Config, run: RunFolder) -> list[str]:
    """The fingerprints of the soft targets of teachers that run elsewhere, of those that are
    there."""
    names = [name for task in config.tasks for name in config.teachers.outside(task)]
    paths = [run.soft_targets(name) for name in names]
    return [load_soft_targets(path).fingerprint for path in paths if path.is_file()]


def _answers(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    table_hash: str,
    accelerator: Accelerator,
    batch_size: int | None,
) -> tuple[StudentModel, dict[Split, EncodedTable], dict[Split, Logits]]:
    """The student, each split as it reads it, and what it says; every process takes a share."""
    student = StudentModel.from_pretrained(run.student).to(accelerator.device)
    tokenizer = load_tokenizer(str(run.student))
    rows = encoded_rows(config, run, table, table_hash, tokenizer, config.specs)
    encoded, answers = by_split(rows, table), {}
    for split in SPLITS:
        answers[split] = gather_logits(
            student,
            encoded[split],
            accelerator,
            batches=inference_batches(
                encoded[split], rows_with_gold(config.specs, encoded[split]), batch_rows=batch_size
            ),
            progress=f"student on {split}",
        )
    return student, encoded, answers


def _evaluate(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    profile: dict[str, Any],
    student: StudentModel,
    encoded: dict[Split, EncodedTable],
    answers: dict[Split, Logits],
    targets: dict[str, list[SoftTargets]],
    faithful: dict[str, dict[str, Scores]],
    sharma2020: bool,
) -> None:
    specs = config.specs
    is_alone = run.shared is not None
    weights = teacher_weights(config, targets, encoded["dev"])
    scores: dict[str, Any] = {spec.name: {} for spec in specs}
    with new_folder(run.predictions) as folder:
        for split in SPLITS:
            bar = tqdm(specs, desc=f"score {split}", disable=None, leave=False, delay=2)
            for spec in bar:
                found = {"student": answers[split]} | _teachers_answers(
                    spec, targets.get(spec.name, []), weights[spec.name], encoded[split]
                )
                by_model: dict[str, Any] = {}
                for model, logits in found.items():
                    by_model[model] = score(spec, encoded[split], logits)
                    if sharma2020 and spec.name in logits.tokens:
                        by_model[model]["sharma2020"] = score_sharma2020(
                            spec, encoded[split], logits
                        )
                    path = folder / f"{model}-{spec.name}-{split}.csv"
                    write_predictions(path, spec, encoded[split], logits)
                if not is_alone:
                    by_model |= baseline_scores(spec, table["train"], table[split], config.seed)
                scores[spec.name][split] = by_model
    for task, models in faithful.items():
        for model, means in models.items():
            scores[task]["test"][model]["rationale"]["faithfulness"] = means
    report = {
        "name": config.name,
        "seed": config.seed,
        "student_seed": config.student_seed,
        "splits_hash": profile["hash"],
        "inputs": inputs_key(config, run, profile["hash"]),
        "tasks": scores,
        "models": {
            "student": _size(student),
            **{
                name: _size(StudentModel.from_pretrained(run.teacher(name)))
                for task in targets
                for name in config.teachers.trained(task)
            },
        },
        "teacher_weights": {task: weights[task] for task in targets},
    }
    write_text(run.metrics, json.dumps(report, indent=2) + "\n")


def _targets_at_hand(
    config: Config, run: RunFolder, table_hash: str
) -> dict[str, list[SoftTargets]]:
    """task → its teachers' soft targets; for gold alone, where fresh ones happen to be there."""
    try:
        return load_all_targets(config, run, table_hash)
    except InputError:
        if needs_teachers(config):
            raise
        return {}


def _teachers_answers(
    spec: TaskSpec,
    members: Sequence[SoftTargets],
    weights: Mapping[str, float],
    table: EncodedTable,
) -> dict[str, Logits]:
    """teacher → logits; where a task has several, each by its name beside their average.

    A teacher whose file leaves out rows with gold has none, nor has an average with it.
    """
    whole = [covers(member, table, spec) for member in members]
    found = {}
    if members and all(whole):
        found["teacher"] = _teachers_logits(spec, members, list(weights.values()), table)
    if len(members) > 1:
        for name, member, is_whole in zip(weights, members, whole, strict=True):
            if is_whole:
                found[name] = _teachers_logits(spec, [member], [1.0], table)
    return found


def _size(model: StudentModel) -> dict[str, int | float]:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return {
        "parameters": parameters,
        "megabytes": round(sum(p.numel() * p.element_size() for p in model.parameters()) / 1e6, 1),
    }


def _teachers_logits(
    spec: TaskSpec,
    targets: Sequence[SoftTargets],
    weights: Sequence[float],
    table: EncodedTable,
) -> Logits:
    """What teachers said, as logits on the student's tokens: they need not run again.

    Several teachers' probabilities are averaged, as the student learns them.
    """
    labels, tokens = soft_columns(targets, weights, table, spec, 1.0)
    if spec.kind == "classification":
        labels = np.log(np.maximum(labels, np.finfo(np.float32).tiny))
    return Logits(
        {spec.name: labels}, {} if tokens is None else {spec.name: logit(tokens).astype(np.float32)}
    )
