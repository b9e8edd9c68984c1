"""Stage distill: the student, trained on gold and soft targets."""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Literal

from accelerate.utils import set_seed
from datasets import DatasetDict
from transformers import PreTrainedTokenizerBase

from data.encoding import EncodedTable
from data.tasks import TaskSpec
from kd.annealing import SCHEDULES, Schedule, constant
from kd.config import Config, StudentTraining
from kd.evaluation import dev_scorer
from kd.hardware import new_accelerator
from kd.losses import TaskLoss
from kd.run_folder import RunFolder, check_model, content_key, model_files, settings_key
from kd.stages.label import teacher_mark
from kd.stages.teach import (
    encoder_files,
    new_checkpoints,
    new_log,
    plan_of,
    recipe,
    save_model,
    task_loss,
)
from kd.target_loss import target_loss
from kd.teacher_weights import mean_trust, teacher_weights
from kd.tokens import by_split, encoded_rows
from kd.training import train
from student.encoders import check_length, cut_layers, load_encoder, load_tokenizer
from student.model import StudentModel, new_student
from teachers.compatibility import check_fresh
from teachers.soft_targets import SoftTargets, load_soft_targets, soft_columns


def distill_stage(
    config: Config, run: RunFolder, watch: Callable[[float], None] | None = None
) -> bool:
    """Train the student unless it is there already; True when it ran.

    watch: told each dev score as it comes; what it raises ends the training.
    """
    table, profile = run.load_splits()
    key = student_key(config, run, profile["hash"])
    targets = load_all_targets(config, run, profile["hash"]) if needs_teachers(config) else {}
    action = partial(_distill, config, run, table, profile["hash"], targets, key, watch)
    return run.once("distill", key, action, result=run.student / "model.safetensors")


def needs_teachers(config: Config) -> bool:
    """Whether the student learns from soft targets."""
    return config.training.objective != "gold"


def student_key(config: Config, run: RunFolder, table_hash: str) -> str:
    """What the student depends on: rows, soft targets, settings, and the weights it starts from.

    Raises InputError when teachers it needs are missing or were made from other settings or data.
    """
    marks = _marks(config, run, table_hash) if needs_teachers(config) else {}
    for name, mark in marks.items():
        run.require(f"label-{name}", mark, "kd label")
    start = config.student.start
    if start:
        check_model(run.teacher(start), "kd teach")
    return content_key(
        config.specs,
        settings_key(config.student),
        settings_key(config.training, without={"seed"}),
        config.data.max_tokens,
        config.student_seed,
        table_hash,
        {
            name: (task.weight, task.temperature, task.class_weights)
            for name, task in config.tasks.items()
        },
        _weights(config) if marks else None,
        list(marks.values()),
        files=model_files(run.teacher(start))
        if start
        else encoder_files(config.data.encoder(config.student.encoder)),
    )


def _weights(config: Config) -> list[object]:
    """How much the teachers of each task count."""
    given = [[one.weight for one in config.teachers.of(task).values()] for task in config.tasks]
    return [config.teachers.weights, given]


def _marks(config: Config, run: RunFolder, table_hash: str) -> dict[str, str]:
    """Teacher → the fingerprint of what it says."""
    return {
        name: teacher_mark(config, run, name, settings, table_hash)
        for task in config.tasks
        for name, settings in config.teachers.of(task).items()
    }


def load_all_targets(
    config: Config, run: RunFolder, table_hash: str
) -> dict[str, list[SoftTargets]]:
    """task → soft targets of each of its teachers.

    Raises InputError when they are missing or stale.
    """
    marks = _marks(config, run, table_hash)
    found: dict[str, list[SoftTargets]] = {}
    for task in config.tasks:
        found[task] = []
        for name in config.teachers.of(task):
            path = run.soft_targets(name)
            targets = load_soft_targets(path)
            check_fresh(targets, path, marks[name])
            found[task].append(targets)
    return found


def schedule_of(training: StudentTraining) -> Schedule:
    """The gold weight over a run's progress; `gold` is 1 and `soft` is 0 throughout.

    Of `ce+kl` it is 1 too: gold counts whole, and the teachers' part is added to it.
    """
    if training.objective == "annealed" and training.schedule != "constant":
        return SCHEDULES[training.schedule]
    fixed = {"gold": 1.0, "soft": 0.0, "ce+kl": 1.0}
    return constant(fixed.get(training.objective, training.gold_weight))


def student_loss(config: Config, spec: TaskSpec, table: EncodedTable) -> TaskLoss:
    """How a task counts in the student's loss; the gold of the train rows gives class weights."""
    training = config.training
    return replace(
        task_loss(config, spec, training, table),
        temperature=config.tasks[spec.name].temperature,
        kl_weight=training.kl_weight if training.objective == "ce+kl" else None,
    )


def with_targets(
    config: Config,
    table: EncodedTable,
    targets: dict[str, list[SoftTargets]],
    weights: Mapping[str, Mapping[str, float]],
) -> EncodedTable:
    """The student's train rows with the targets that the objective uses.

    weights: task → teacher → its weight. With teachers.weights `trust` the teachers count row by
    row; what they lose goes to gold, or, under the objective that forgets gold, to each other.
    """
    is_soft = config.training.objective == "soft"
    trust: Literal["among", "gold"] | None = None
    if config.teachers.weights == "trust":
        trust = "among" if is_soft else "gold"
    soft, soft_tokens = {}, {}
    for spec in config.specs:
        if spec.name in targets:
            labels, tokens = soft_columns(
                targets[spec.name],
                list(weights[spec.name].values()),
                table,
                spec,
                config.tasks[spec.name].temperature,
                trust,
            )
            soft[spec.name] = labels
            if tokens is not None:
                soft_tokens[spec.name] = tokens
    table = table.with_soft(soft, soft_tokens)
    return table.without_gold() if is_soft else table


def student_tokenizer(config: Config, run: RunFolder) -> PreTrainedTokenizerBase:
    """The tokenizer of the encoder that the student starts from."""
    start = config.student.start
    own = config.data.encoder(config.student.encoder)
    return load_tokenizer(str(run.teacher(start)) if start else own)


def start_model(config: Config, run: RunFolder) -> StudentModel:
    """The untrained student: a pretrained encoder or a teacher's, cut to its layers."""
    settings = config.student
    if settings.start is not None:
        encoder = StudentModel.from_pretrained(run.teacher(settings.start)).encoder
        if settings.layers is not None:
            encoder = cut_layers(encoder, settings.layers)
    else:
        name = config.data.encoder(settings.encoder)
        check_length(name, config.data.max_tokens)
        encoder = load_encoder(name, settings.layers)
    return new_student(encoder, config.specs, **settings.shape(config.data))


def _distill(
    config: Config,
    run: RunFolder,
    table: DatasetDict,
    table_hash: str,
    targets: dict[str, list[SoftTargets]],
    key: str,
    watch: Callable[[float], None] | None,
) -> None:
    training = config.training
    specs = config.specs
    accelerator = new_accelerator(training.precision)
    tokenizer = student_tokenizer(config, run)
    encoded = by_split(encoded_rows(config, run, table, table_hash, tokenizer, specs), table)
    weights = teacher_weights(config, targets, encoded["dev"])
    rows = with_targets(config, encoded["train"], targets, weights)
    set_seed(config.student_seed)
    model = start_model(config, run)
    plan = plan_of(training, rows, specs, config.student_seed)
    losses = {spec.name: student_loss(config, spec, encoded["train"]) for spec in specs}
    checkpoints = new_checkpoints(config, run, "distill", key)
    dev_score = dev_scorer(specs, encoded["dev"], accelerator)

    def watched(trained: StudentModel) -> float:
        score = dev_score(trained)
        if watch is not None:
            watch(score)
        return score

    about = _about_teachers(config, targets, weights, encoded["train"])
    log = new_log(config, run, "distill", accelerator, about=about)
    with closing(log):
        trained = train(
            model,
            rows,
            plan,
            target_loss(
                model,
                rows,
                losses,
                schedule_of(training),
                accelerator,
                steps=plan.steps,
                comparisons=log.gradients,
            ),
            watched,
            recipe(training, plan),
            accelerator,
            checkpoints=checkpoints,
            log=log,
            title="student",
        )
    save_model(model, tokenizer, run.student, trained, accelerator)


def _about_teachers(
    config: Config,
    targets: Mapping[str, list[SoftTargets]],
    weights: Mapping[str, Mapping[str, float]],
    train_rows: EncodedTable,
) -> dict[str, float]:
    """For the log: each teacher's weight, unless it was given, and the trust in it on train."""
    found: dict[str, float] = {}
    for spec in config.specs if targets and config.teachers.weights != "given" else ():
        for name, said in zip(weights[spec.name], targets[spec.name], strict=True):
            found[f"teacher_weight/{name}"] = weights[spec.name][name]
            trust = mean_trust(said, train_rows, spec)
            if config.teachers.weights == "trust" and trust is not None:
                found[f"teacher_trust/{name}"] = trust
    return found
