"""The precisions of a run's export as systems of the report, scored on the test rows."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from data.encoding import encode_table
from kd.evaluation import score
from kd.export.certificate import CERTIFICATE
from kd.report.answers import FinishedRun
from kd.report.cost import System
from kd.run_folder import content_key, model_files
from student.encoders import load_tokenizer
from student.model import StudentModel
from student.onnx_inference import compute_onnx_logits


def exported_systems(finished: FinishedRun) -> list[System]:
    """The graphs in RUN/export, where kd export wrote them of this very student; else none.

    Their scores are the means of the tasks' main scores, as the other systems'.
    """
    folder = finished.run.export
    student = finished.run.student
    certificate = _certificate(folder)
    is_this = certificate.get("student_hash") == content_key(files=model_files(student))
    if not is_this or find_spec("onnxruntime") is None:
        return []
    model = StudentModel.from_pretrained(student)
    limit = model.config.max_tokens
    table = encode_table(finished.test, load_tokenizer(str(student)), model.specs, max_tokens=limit)
    found = []
    for precision, report in certificate["precisions"].items():
        graph = folder / report["file"]
        logits = compute_onnx_logits(graph, model.specs, table, progress=f"{precision} on test")
        scores = [score(spec, table, logits)[spec.selection_metric] for spec in model.specs]
        mean = None if None in scores else float(np.mean(scores))
        found.append(System(f"student {precision}", [student], mean, graph))
    return found


def _certificate(folder: Path) -> dict[str, Any]:
    path = folder / CERTIFICATE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
