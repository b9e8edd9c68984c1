"""Stage label: each teacher's soft targets of every row of its task, after an audit."""

import logging
from functools import partial

import numpy as np
import numpy.typing as npt
from datasets import DatasetDict

from data.encoding import EncodedTable
from data.tasks import TaskSpec
from kd.atomic import new_file
from kd.config import Config
from kd.gathering import gather_logits
from kd.hardware import new_accelerator
from kd.run_folder import RunFolder, check_model
from kd.stages.teach import teach_key
from kd.tokens import encoded_rows
from student.encoders import load_tokenizer
from student.inference import inference_batches
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
            action = partial(_label, config, run, name, spec, table, profile["hash"], mark)
            if run.once(f"label-{name}", mark, action, result=run.soft_targets(name)):
                ran.append(name)
    return ran


def rows_of(table: EncodedTable, spec: TaskSpec) -> npt.NDArray[np.int64]:
    """The rows of a table of all tasks that have gold of this one, or that no task labels."""
    unlabelled = ~np.any([table.known(name) for name in table.gold], axis=0)
    if spec.has_context:
        unlabelled &= table.contexts.lengths > 0
    return np.flatnonzero(table.known(spec.name) | unlabelled)


def _label(
    config: Config,
    run: RunFolder,
    name: str,
    spec: TaskSpec,
    table: DatasetDict,
    table_hash: str,
    mark: str,
) -> None:
    accelerator = new_accelerator("fp32")
    tokenizer = load_tokenizer(str(run.teacher(name)))
    encoded = encoded_rows(config, run, table, table_hash, tokenizer, config.specs)
    model = StudentModel.from_pretrained(run.teacher(name)).to(accelerator.device)
    rows = rows_of(encoded, spec)
    batches = inference_batches(encoded, rows)
    logits = gather_logits(model, encoded, accelerator, batches=batches, progress=f"label {name}")
    if accelerator.is_main_process:
        dev = len(table["train"]) + np.arange(len(table["dev"]))
        dev = dev[encoded.known(spec.name, dev)]
        for finding in findings(spec, encoded.gold[spec.name][dev], logits.labels[spec.name][dev]):
            logger.warning("teacher %s on dev: %s", name, finding)
        targets = from_logits(spec, encoded, logits, rows, mark)
        with new_file(run.soft_targets(name)) as temporary:
            save_soft_targets(targets, temporary)
