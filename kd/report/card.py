"""The model card of a student: what it is for, what it scores, and what it must not do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import EvalResult, ModelCardData

from kd.report.answers import FinishedRun
from kd.report.measures import NAMES, RATIONALE
from kd.report.section import Table
from kd.report.template_files import TEMPLATES
from kd.report.wording import plain
from kd.statistics import Comparison

if TYPE_CHECKING:  # its charts take seconds to import
    from kd.report.verdict import TaskVerdict

INTERVALS = (
    "Brackets hold 95 % intervals over the test rows, for this one training; checkpoints were "
    "chosen on dev."
)


def model_card(
    finished: FinishedRun,
    rows: Sequence["TaskVerdict"],
    table: Table,
    parameters: int,
    *,
    note: str = INTERVALS,
) -> str:
    """A README.md with the metadata block that model hubs read.

    rows: the verdicts, which `table` shows. note: what stands above it. No text of any row is in
    the card.
    """
    config = finished.config
    metadata = ModelCardData(
        base_model=_base_model(config.student.encoder),
        tags=["knowledge-distillation", "multi-task", "text-classification", "empathy"],
        model_name=config.name,
        eval_results=[
            _result(row, row.compared)
            for row in rows
            if row.compared is not None and row.measure != RATIONALE
        ]
        or None,
    )
    return TEMPLATES.get_template("card.md").render(
        metadata=metadata.to_yaml(),
        name=config.name,
        specs=config.specs,
        config=config,
        rows=finished.profile["rows"],
        table=table,
        note=note,
        parameters=parameters,
        splits_hash=finished.profile["hash"],
        plain=plain,
    )


def _base_model(encoder: str) -> str | None:
    """The hub id of the encoder; a folder of this machine is nobody else's business."""
    return None if Path(encoder).exists() or encoder.count("/") != 1 else encoder


def _result(row: "TaskVerdict", compared: Comparison) -> EvalResult:
    return EvalResult(
        task_type="text-classification",
        dataset_type=row.task,
        dataset_name=f"{plain(row.task)}, {compared.rows} test rows",
        metric_type={"macro_f1": "f1", "pearson": "pearsonr"}[row.measure],
        metric_name=NAMES[row.measure],
        metric_value=round(compared.second.value, 4),
    )
