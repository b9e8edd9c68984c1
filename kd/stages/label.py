"""Stage label: each teacher's soft targets of every row of its task, after an audit."""

import logging
from functools import partial

import numpy as np
from datasets import Dataset, DatasetDict, concatenate_datasets

from data.encoding import encode_table
from data.sources import SPLITS
from data.tables import gold_of
from data.tasks import TaskSpec
from kd.atomic import new_file
from kd.config import Config
from kd.gathering import gather_logits
from kd.hardware import new_accelerator
from kd.run_folder import RunFolder, check_model
from kd.stages.teach import teach_key
from student.encoders import load_tokenizer
from student.model import StudentModel
from teachers.audit import check_classes, findings
from teachers.soft_targets import fingerprint, from_logits, save_soft_targets

logger = logging.getLogger(__name__)


def label_stage(config: Config, run: RunFolder) -> list[str]:
    """Write each teacher's soft targets that are not there already; the names of those that ran."""
    table, profile = run.load_splits()
    ran = []
    for spec in config.specs:
        for name, settings in config.teachers.of(spec.name).items():
            run.require(
                f"teach-{name}", teach_key(config, spec, settings, profile["hash"]), "kd teach"
            )
            check_model(run.teacher(name), "kd teach")
            check_classes(run.teacher(name), spec)
            mark = fingerprint(run.teacher(name), profile["hash"], config.data.max_tokens)
            action = partial(_label, config, run, name, spec, table, mark)
            if run.once(f"label-{name}", mark, action, result=run.soft_targets(name)):
                ran.append(name)
    return ran


def rows_of(table: DatasetDict, spec: TaskSpec) -> Dataset:
    """The rows of all splits that have a gold target of the task, or that no task labels."""
    chosen = []
    for split in SPLITS:
        rows = table[split]
        names = [column.removeprefix("gold/") for column in rows.column_names if "gold/" in column]
        known = {name: np.isfinite(gold_of(rows, name)).all(axis=1) for name in names}
        unlabelled = ~np.any(list(known.values()), axis=0)
        if spec.has_context:
            unlabelled &= np.array([bool(context) for context in rows["context"]], dtype=bool)
        wanted = known[spec.name] | unlabelled
        chosen.append(rows.select(np.flatnonzero(wanted)))
    return concatenate_datasets(chosen)


def _label(
    config: Config, run: RunFolder, name: str, spec: TaskSpec, table: DatasetDict, mark: str
) -> None:
    accelerator = new_accelerator("fp32")
    tokenizer = load_tokenizer(str(run.teacher(name)))
    encoded = encode_table(
        rows_of(table, spec), tokenizer, [spec], max_tokens=config.data.max_tokens
    )
    model = StudentModel.from_pretrained(run.teacher(name)).to(accelerator.device)
    logits = gather_logits(model, encoded, accelerator, progress=f"label {name}")
    if accelerator.is_main_process:
        dev = set(table["dev"]["id"])
        is_dev = np.array([row_id in dev for row_id in encoded.ids])
        rows = np.flatnonzero(is_dev & np.isfinite(encoded.gold[spec.name]).all(axis=1))
        for finding in findings(
            spec, encoded.gold[spec.name][rows], logits.labels[spec.name][rows]
        ):
            logger.warning("teacher %s on dev: %s", name, finding)
        targets = from_logits(spec, encoded, logits, range(len(encoded)), mark)
        with new_file(run.soft_targets(name)) as temporary:
            save_soft_targets(targets, temporary)
