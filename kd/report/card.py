"""The model card of a student: what it is for, what it scores, and what it must not do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from kd.report.answers import FinishedRun
from kd.report.pages import TEMPLATES
from kd.report.section import Table
from kd.report.verdict import RATIONALE
from kd.report.wording import METRICS, plain


def model_card(
    finished: FinishedRun, rows: Sequence[dict[str, Any]], tables: Sequence[Table]
) -> str:
    """A README.md with the metadata block that model hubs read.

    rows: those of the verdict. tables: to show as they are. No text of any row is in it.
    """
    config = finished.config
    metadata = ModelCardData(
        language="en",
        base_model=_base_model(config.student.encoder),
        tags=["knowledge-distillation", "multi-task", "text-classification", "empathy"],
        pipeline_tag="text-classification",
        model_name=config.name,
        eval_results=[
            _result(row) for row in rows if row["student"] and row["metric"] != RATIONALE
        ],
    )
    return TEMPLATES.get_template("card.md").render(
        metadata=metadata.to_yaml(),
        name=config.name,
        specs=config.specs,
        config=config,
        rows=finished.profile["rows"],
        tables=tables,
        splits_hash=finished.profile["hash"],
        has_teachers=finished.has_teachers,
        plain=plain,
    )


def _base_model(encoder: str) -> str | None:
    """The hub id of the encoder; a folder of this machine is nobody else's business."""
    return None if Path(encoder).exists() or encoder.count("/") != 1 else encoder


def _result(row: dict[str, Any]) -> EvalResult:
    return EvalResult(
        task_type="text-classification",
        dataset_type=row["task"],
        dataset_name=f"{plain(row['task'])}, {row['rows']} test rows",
        metric_type={"macro_f1": "f1", "pearson": "pearsonr"}[row["metric"]],
        metric_name=METRICS[row["metric"]],
        metric_value=round(row["student"]["value"], 4),
    )
