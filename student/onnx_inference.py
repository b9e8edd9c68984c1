"""A student's ONNX file at work: its answers to a batch, and its logits on every row of a table."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from data.batches import Batch
from data.encoding import EncodedTable, Floats
from data.tasks import TaskSpec
from student.inference import Answer, Logits, collect_logits
from student.onnx_export import rationale_output


def open_graph(path: Path) -> Callable[[Batch], dict[str, Floats]]:
    """A function from a batch to the graph's outputs by name, on the processor.

    It takes as many threads as torch does now.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = [each.name for each in session.get_inputs()]
    outputs = [each.name for each in session.get_outputs()]

    def answer(batch: Batch) -> dict[str, Floats]:
        values = session.run(outputs, {name: getattr(batch, name).numpy() for name in inputs})
        return dict(zip(outputs, values, strict=True))

    return answer


def compute_onnx_logits(
    path: Path, specs: Sequence[TaskSpec], table: EncodedTable, *, progress: str | None = None
) -> Logits:
    """Logits of all rows; progress names the bar shown in a terminal, None shows none."""
    graph = open_graph(path)

    def answer(batch: Batch) -> Answer:
        found = graph(batch)
        quoting = [spec.name for spec in specs if spec.has_rationale]
        return (
            {spec.name: found[spec.name] for spec in specs},
            {name: found[rationale_output(name)] for name in quoting},
        )

    return collect_logits(answer, specs, table, progress=progress)
