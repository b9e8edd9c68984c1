"""Stage label: each teacher's soft targets of every row of its task, after an audit."""

import logging
from functools import partial

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets

from data.encoding import Floats
from data.sources import SPLITS
from data.tables import gold_of
from data.tasks import TaskSpec
from kd.atomic import new_file
from kd.audit import findings
from kd.config import Config, OutsideTeacher, SpeechTeacher, Teacher
from kd.evaluation import known_rows
from kd.gathering import gather_logits
from kd.hardware import by_main_process, new_accelerator
from kd.run_folder import RunFolder, check_model, content_key, settings_key
from kd.stages.teach import teach_key
from kd.teacher_rows import asked_of, rows_to_label
from kd.teacher_weights import check_covers_dev, covered
from student.inference import inference_batches
from teachers.compatibility import check_classes
from teachers.outside import file_fingerprint, outside_targets
from teachers.soft_targets import SoftTargets, fingerprint, from_logits, save_soft_targets

logger = logging.getLogger(__name__)


def label_stage(config: Config, run: RunFolder) -> list[str]:
    """Write each teacher's soft targets that are not there already; the names of those that ran."""
    table, profile = run.load_splits()
    ran = []
    for spec in config.specs:
        for name, settings in config.teachers.of(spec.name).items():
            mark = teacher_mark(config, run, name, settings, profile["hash"])
            if isinstance(settings, OutsideTeacher):
                write = partial(_label_from_file, config, run, name, spec, settings, table, mark)
                action = partial(by_main_process, write)
            else:
                key = teach_key(config, spec, settings, profile["hash"])
                run.require(f"teach-{name}", key, "kd teach")
                check_model(run.teacher(name), "kd teach")
                check_classes(run.teacher(name), spec)
                action = partial(
                    _label, config, run, name, spec, settings, table, profile["hash"], mark
                )
            if run.once(f"label-{name}", mark, action, result=run.soft_targets(name)):
                ran.append(name)
    return ran


def teacher_mark(
    config: Config, run: RunFolder, name: str, settings: Teacher | OutsideTeacher, table_hash: str
) -> str:
    """The fingerprint of what a teacher says of these rows.

    Raises InputError when a teacher's file is gone.
    """
    if isinstance(settings, OutsideTeacher):
        return file_fingerprint(config.data.root_path / settings.file, table_hash)
    mark = fingerprint(run.teacher(name), table_hash, config.data.max_tokens)
    if isinstance(settings, SpeechTeacher):
        return content_key(mark, settings_key(settings.speech))
    return mark


def check_outside_teachers(config: Config, run: RunFolder) -> None:
    """Read the files of teachers that run elsewhere, unless that was done, before others are
    trained. Raises InputError like `check_outside_teacher`.
    """
    table, profile = run.load_splits()
    for spec in config.specs:
        for name, settings in config.teachers.outside(spec.name).items():
            mark = teacher_mark(config, run, name, settings, profile["hash"])
            if not (run.has_finished(f"label-{name}", mark) and run.soft_targets(name).is_file()):
                check_outside_teacher(config, spec, name, settings, table)


def check_outside_teacher(
    config: Config, spec: TaskSpec, name: str, settings: OutsideTeacher, table: DatasetDict
) -> None:
    """Read the file of a teacher that runs elsewhere and keep nothing.

    Raises InputError like `outside_targets`, and where the teacher is to count by its dev score and
    its file leaves dev rows out.
    """
    targets, _ = _read_file(config, spec, settings, table, "")
    if config.teachers.weights == "dev" and len(config.teachers.of(spec.name)) > 1:
        dev = table["dev"]
        check_covers_dev(name, spec, targets, dev["id"], gold_of(dev, spec.name))


def _label(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    settings: Teacher,
    table: DatasetDict,
    table_hash: str,
    mark: str,
) -> None:
    accelerator = new_accelerator("fp32")
    asked = rows_to_label(config, run, name, spec, settings, table, table_hash)
    spec, encoded, rows = asked.spec, asked.table, asked.rows
    model = asked.model.to(accelerator.device)  # type: ignore[arg-type]
    batches = inference_batches(encoded, rows, batch_rows=asked.batch_rows)
    logits = gather_logits(model, encoded, accelerator, batches=batches, progress=f"label {name}")
    if accelerator.is_main_process:
        dev = len(table["train"]) + np.arange(len(table["dev"]))
        dev = dev[encoded.known(spec.name, dev)]
        _audit(name, spec, encoded.gold[spec.name][dev], logits.labels[spec.name][dev], "dev")
        targets = from_logits(spec, encoded, logits, rows, mark)
        with new_file(run.soft_targets(name)) as temporary:
            save_soft_targets(targets, temporary)


def _audit(name: str, spec: TaskSpec, gold: Floats, logits: Floats, where: str) -> None:
    for finding in findings(spec, gold, logits):
        logger.warning("teacher %s on %s: %s", name, where, finding)


def _read_file(
    config: Config, spec: TaskSpec, settings: OutsideTeacher, table: DatasetDict, mark: str
) -> tuple[SoftTargets, int]:
    """What a teacher's file says of the rows that its task asks about, and how many other ids."""
    rows = concatenate_datasets([table[split] for split in SPLITS])
    asked = asked_of(config, spec, rows)
    is_known = np.isfinite(gold_of(rows, spec.name)).all(axis=1)
    is_train = is_known & (np.arange(len(rows)) < len(table["train"]))
    return outside_targets(
        config.data.root_path / settings.file, spec, list(rows["id"]),
        asked=asked, required=np.flatnonzero(is_train), fingerprint=mark,
    )  # fmt: skip


def _label_from_file(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    settings: OutsideTeacher,
    table: DatasetDict,
    mark: str,
) -> None:
    targets, unknown = _read_file(config, spec, settings, table, mark)
    if unknown:
        logger.warning(
            "teacher %s: %s of its ids are no rows of this run: they are left out", name, unknown
        )
    for split in ("dev", "test"):
        here, all_of_them = _coverage(targets, spec, table[split])
        if here < all_of_them:
            logger.warning(
                "teacher %s: its file has %s of the %s %s rows of its task: it has no score there",
                name, here, all_of_them, split,
            )  # fmt: skip
    here, all_of_them = _coverage(targets, spec, table["dev"])
    # By dev rows, as of other teachers; by train rows where the file lacks some of those.
    split = "dev" if here == all_of_them else "train"
    gold = gold_of(table[split], spec.name)
    logits, rows = covered(targets, table[split]["id"], gold)
    _audit(name, spec, gold[rows], logits[rows], split)
    with new_file(run.soft_targets(name)) as temporary:
        save_soft_targets(targets, temporary)


def _coverage(targets: SoftTargets, spec: TaskSpec, rows: Dataset) -> tuple[int, int]:
    """How many of a split's rows with gold a teacher labelled, and how many there are."""
    gold = gold_of(rows, spec.name)
    return len(covered(targets, rows["id"], gold)[1]), len(known_rows(gold))
