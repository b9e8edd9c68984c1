"""The logits of a student's ONNX file on every row of an encoded table."""

from collections.abc import Sequence
from pathlib import Path

import torch

from data.batches import Batch
from data.encoding import EncodedTable
from data.tasks import TaskSpec
from student.inference import Answer, Logits, collect_logits
from student.onnx_export import rationale_output


def compute_onnx_logits(
    path: Path, specs: Sequence[TaskSpec], table: EncodedTable, *, progress: str | None = None
) -> Logits:
    """Logits of all rows, on the processor, by as many threads as torch uses.

    progress names the bar shown in a terminal; None shows none.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [each.name for each in session.get_inputs()]
    outputs = [each.name for each in session.get_outputs()]

    def answer(batch: Batch) -> Answer:
        values = session.run(outputs, {name: getattr(batch, name).numpy() for name in inputs})
        found = dict(zip(outputs, values, strict=True))
        quoting = [spec.name for spec in specs if spec.has_rationale]
        return (
            {spec.name: found[spec.name] for spec in specs},
            {name: found[rationale_output(name)] for name in quoting},
        )

    return collect_logits(answer, specs, table, progress=progress)
