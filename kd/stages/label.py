"""Stage label: each teacher's soft targets of every row of its task, after an audit."""

import logging
from functools import partial

import numpy as np
from datasets import Dataset, concatenate_datasets

from data.encoding import encode_table
from data.sources import SPLITS
from data.tasks import TaskSpec
from kd.atomic import new_file
from kd.config import Config
from kd.evaluation import known_rows
from kd.hardware import new_accelerator
from kd.run_folder import RunFolder
from student.encoders import load_tokenizer
from student.inference import compute_logits
from student.model import StudentModel
from teachers.audit import check_classes, findings
from teachers.soft_targets import fingerprint, from_logits, save_soft_targets

logger = logging.getLogger(__name__)


def label_stage(config: Config, run: RunFolder) -> list[str]:
    """Write each teacher's soft targets that are not there already; the names of those that ran."""
    table, profile = run.load_splits()
    ran = []
    for spec in config.specs:
        rows = rows_of(table, spec)
        for name in config.teachers.of(spec.name):
            check_classes(run.teacher(name), spec)
            mark = fingerprint(run.teacher(name), profile["hash"], config.data.max_tokens)
            if run.once(
                f"label-{name}", mark, partial(_label, config, run, name, spec, rows, mark)
            ):
                ran.append(name)
    return ran


def rows_of(table: dict[str, Dataset], spec: TaskSpec) -> Dataset:
    """The rows of all splits that have a gold target of the task, or that no task labels."""
    chosen = []
    for split in SPLITS:
        rows = table[split]
        golds = [
            np.isfinite(np.asarray(list(rows[column]), dtype=np.float32))
            .reshape(len(rows), -1)
            .all(1)
            for column in rows.column_names
            if column.startswith("gold/")
        ]
        mine = np.asarray(list(rows[f"gold/{spec.name}"]), dtype=np.float32).reshape(len(rows), -1)
        wanted = np.isfinite(mine).all(axis=1) | ~np.any(golds, axis=0)
        if spec.has_context:
            wanted &= np.array([bool(context) for context in rows["context"]], dtype=bool)
        chosen.append(rows.select(np.flatnonzero(wanted)))
    return concatenate_datasets(chosen)


def _label(
    config: Config, run: RunFolder, name: str, spec: TaskSpec, rows: Dataset, mark: str
) -> None:
    accelerator = new_accelerator("fp32")
    tokenizer = load_tokenizer(str(run.teacher(name)))
    encoded = encode_table(rows, tokenizer, [spec], max_tokens=config.data.max_tokens)
    model = StudentModel.from_pretrained(run.teacher(name)).to(accelerator.device)
    if accelerator.is_main_process:
        logits = compute_logits(model, encoded, progress=f"label {name}")
        known = known_rows(encoded.gold[spec.name])
        for finding in findings(
            spec, encoded.gold[spec.name][known], logits.labels[spec.name][known]
        ):
            logger.warning("teacher %s: %s", name, finding)
        targets = from_logits(spec, encoded, logits, range(len(encoded)), mark)
        with new_file(run.soft_targets(name)) as temporary:
            save_soft_targets(targets, temporary)
