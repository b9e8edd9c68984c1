"""Stage teach: one fine-tuned teacher a task."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import DatasetDict
from transformers import ASTFeatureExtractor, PreTrainedTokenizerBase

from data.encoding import EncodedTable
from data.plan import BatchPlan, Sampling, make_plan
from data.tasks import TaskSpec
from kd.annealing import constant
from kd.atomic import new_folder
from kd.checkpoints import Checkpoints
from kd.config import Config, StudentTraining, Teacher, Training
from kd.evaluation import dev_scorer
from kd.hardware import new_accelerator
from kd.losses import TaskLoss
from kd.run_folder import RunFolder, content_key, model_files, settings_key
from kd.run_log import RunLog
from kd.target_loss import target_loss
from kd.teacher_rows import check_speaker, rows_to_teach
from kd.tokens import by_split
from kd.training import Recipe, Trained, train
from student.encoders import (
    RANDOM_PIECES,
    load_encoder_config,
    locate,
    sentence_encoder,
)
from student.model import StudentModel
from student.word_names import named_vectors


def teach_stage(config: Config, run: RunFolder) -> list[str]:
    """Fine-tune each teacher that is not there already; the names of those that ran."""
    table, profile = run.load_splits()
    for spec in config.specs:
        for name, hearing in config.teachers.hearing(spec.name).items():
            key = teach_key(config, spec, hearing, profile["hash"])
            if not run.has_finished(f"teach-{name}", key):  # before others are trained
                check_speaker(config, hearing)
    ran = []
    for spec in config.specs:
        for name, settings in config.teachers.trained(spec.name).items():
            key = teach_key(config, spec, settings, profile["hash"])
            action = partial(_teach, config, run, name, spec, settings, table, profile["hash"], key)
            if run.once(
                f"teach-{name}", key, action, result=run.teacher(name) / "model.safetensors"
            ):
                ran.append(name)
    return ran


def teach_key(config: Config, spec: TaskSpec, settings: Teacher, table_hash: str) -> str:
    """What a teacher depends on: its rows, its settings, and its encoder's files."""
    task = config.tasks[spec.name]
    return content_key(
        spec,
        settings_key(settings, without={"weight"}),
        task.class_weights,
        config.data.max_tokens,
        config.seed,
        table_hash,
        files=encoder_files(config.data.encoder(settings.encoder)),
    )


def encoder_files(encoder: str) -> list[Path]:
    """The files of a local encoder; none for one that the hub's cache holds.

    Raises InputError when the encoder is not there.
    """
    load_encoder_config(encoder)
    encoder = sentence_encoder(encoder) or encoder
    named = named_vectors(encoder)
    if named is not None:
        return [named.file] if named.file is not None else encoder_files(RANDOM_PIECES)
    place = Path(locate(encoder))
    return model_files(place) if place.is_dir() else []


def _teach(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    settings: Teacher,
    table: DatasetDict,
    table_hash: str,
    key: str,
) -> None:
    accelerator = new_accelerator(settings.training.precision)
    taught = rows_to_teach(config, run, spec, settings, table, table_hash)
    spec, encoded = taught.spec, by_split(taught.table, table)
    dev = encoded["dev"].take(np.flatnonzero(encoded["dev"].known(spec.name)))
    set_seed(config.seed)
    model = taught.new_model()
    training = settings.training
    plan = plan_of(training, encoded["train"], [spec], config.seed)
    losses = {spec.name: teacher_loss(config, spec, training, encoded["train"])}
    checkpoints = new_checkpoints(config, run, f"teach-{name}", key)
    log = new_log(config, run, f"teach-{name}", accelerator)
    with closing(log):
        trained = train(
            model,
            encoded["train"],
            plan,
            target_loss(
                model,
                encoded["train"],
                losses,
                constant(1.0),
                accelerator,
                steps=plan.steps,
                comparisons=log.gradients,
            ),
            dev_scorer([spec], dev, accelerator, batch_rows=taught.batch_rows),
            recipe(training, plan),
            accelerator,
            checkpoints=checkpoints,
            log=log,
            title=f"teacher {name}",
        )
    save_model(model, taught.reader, run.teacher(name), trained, accelerator)


def new_checkpoints(config: Config, run: RunFolder, training: str, key: str) -> Checkpoints:
    """The checkpoints of a training; `key` is what it depends on."""
    settings = config.checkpoints
    return Checkpoints(run.checkpoints(training), key, settings.every, settings.keep)


def new_log(
    config: Config,
    run: RunFolder,
    training: str,
    accelerator: Accelerator,
    *,
    about: Mapping[str, float] | None = None,
) -> RunLog:
    """The log of a training; about: numbers of all of it."""
    settings = config.logs
    return RunLog(
        run.logs,
        training,
        accelerator,
        every=settings.every,
        gradients=settings.gradients,
        with_rows=settings.rows,
        about=about,
    )


def plan_of(
    training: Training, table: EncodedTable, specs: Sequence[TaskSpec], seed: int
) -> BatchPlan:
    """The batches of a training on the rows that have a target of one of its tasks."""
    sampling: Sampling = "proportional"
    alpha = 1.0
    if isinstance(training, StudentTraining):
        sampling, alpha = training.sampling, training.alpha
    return make_plan(
        np.stack([table.known(spec.name) for spec in specs], axis=1),
        batch_size=training.batch_size,
        epochs=training.epochs,
        max_steps=training.max_steps,
        seed=seed,
        sampling=sampling,
        alpha=alpha,
    )


def task_loss(config: Config, spec: TaskSpec, training: Training, table: EncodedTable) -> TaskLoss:
    """How a task counts, its class and token weights taken from the gold of the train rows."""
    task = config.tasks[spec.name]
    weights = token_weights = None
    if spec.kind == "classification":
        weights = class_weights(np.nansum(table.gold[spec.name], axis=0), task.class_weights)
    if spec.has_rationale:
        tokens = table.gold_tokens[spec.name]
        counts = np.array([np.sum(tokens == 0.0), np.sum(tokens == 1.0)], dtype=np.float64)
        outside_inside = class_weights(counts, task.class_weights)
        if outside_inside is not None:
            token_weights = (outside_inside[0], outside_inside[1])
    return TaskLoss(
        spec=spec,
        weight=task.weight,
        level_weight=training.level_weight,
        rationale_weight=training.rationale_weight,
        class_weights=weights,
        token_weights=token_weights,
    )


def teacher_loss(
    config: Config, spec: TaskSpec, training: Training, table: EncodedTable
) -> TaskLoss:
    """The same for a teacher: its task's weight among the student's tasks is not its own."""
    return replace(task_loss(config, spec, training, table), weight=1.0)


def class_weights(
    counts: npt.NDArray[np.floating], kind: Literal["none", "sqrt", "balanced"]
) -> tuple[float, ...] | None:
    """total / (classes * count) for each class's count (classes,), its square root, or None.

    A class that never occurs never stands in a gold target; it counts 1 to keep its weight finite.
    """
    if kind == "none":
        return None
    shares = counts.sum() / (len(counts) * np.maximum(counts, 1.0))
    return tuple(float(w) for w in shares ** (1.0 if kind == "balanced" else 0.5))


def recipe(training: Training, plan: BatchPlan) -> Recipe:
    """The loop's numbers from a training's settings."""
    rows = sum(len(pool) for pool in plan.pools)
    epochs = plan.steps * training.batch_size / rows
    return Recipe(
        learning_rate=training.learning_rate,
        layer_decay=training.layer_decay,
        weight_decay=training.weight_decay,
        warmup=training.warmup,
        clip=training.clip,
        accumulation=training.accumulation,
        evaluations=max(1, round(epochs * training.evaluations)),
        patience=training.patience,
        plateau=training.plateau,
    )


def save_model(
    model: StudentModel,
    reader: PreTrainedTokenizerBase | ASTFeatureExtractor,
    folder: Path,
    trained: Trained,
    accelerator: Accelerator,
) -> None:
    """Write a model's folder atomically, with its best weights and how its training ended.

    reader: what makes of texts, or of clips, what the model sees.
    """
    if accelerator.is_main_process:
        with new_folder(folder) as temporary:
            model.save_pretrained(temporary, state_dict=trained.weights)
            reader.save_pretrained(temporary)
            (temporary / "training.json").write_text(trained.as_json(), encoding="utf-8")
