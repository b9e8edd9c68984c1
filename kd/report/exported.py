"""A run's export as a system of the report, scored on the test rows."""

from importlib.util import find_spec

import numpy as np

from data.encoding import encode_table
from kd.evaluation import score
from kd.export.certificate import read_certificate
from kd.report.answers import FinishedRun
from kd.report.cost import System
from kd.run_folder import content_key, model_files
from student.encoders import load_tokenizer
from student.model import StudentModel
from student.onnx_inference import compute_onnx_logits


def exported_systems(finished: FinishedRun) -> list[System]:
    """The smallest graph in RUN/export, where kd export wrote it of this very student; else none.

    Its score is the mean of the tasks' main scores, as the other systems'. The larger graphs give
    the student's own labels, and would take this long each.
    """
    folder = finished.run.export
    student = finished.run.student
    certificate = read_certificate(folder)
    is_this = certificate.get("student_hash") == content_key(files=model_files(student))
    if not is_this or find_spec("onnxruntime") is None:
        return []
    precisions = certificate["precisions"]
    smallest = min(precisions, key=lambda name: int(precisions[name]["bytes"]))
    graph = folder / precisions[smallest]["file"]
    model = StudentModel.from_pretrained(student)
    limit = model.config.max_tokens
    table = encode_table(finished.test, load_tokenizer(str(student)), model.specs, max_tokens=limit)
    logits = compute_onnx_logits(graph, model.specs, table, progress=f"{smallest} on test")
    scores = [score(spec, table, logits)[spec.selection_metric] for spec in model.specs]
    mean = None if None in scores else float(np.mean(scores))
    return [System(f"student {smallest}", [student], mean, graph)]
