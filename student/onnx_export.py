"""The ONNX graph of a student: one file that onnxruntime runs without any code of ours.

Letters: B = rows, L = text tokens, M = context tokens, C = classes.
"""

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.errors import InputError
from data.tasks import TaskSpec
from student.dialogue import DIALOGUE_TYPE
from student.model import StudentModel
from student.padded import PaddedStudent
from student.word_vectors import RECURRENT

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUTS = ("input_ids", "attention_mask", "context_ids", "context_mask")
# The newest set of operators that onnxruntime has had since 1.17 (2024).
OPSET = 20
# Smaller tensors (shapes, norms, biases of heads) would save nothing.
HALVED_FROM = 1024
HALF_MAX = float(np.finfo(np.float16).max)


def check_packages() -> None:
    """Raise InputError where the packages of the export are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"kd export: {', '.join(missing)} is not installed: pip install 'kd-empathy[export]'"
        )


def check_encoder(model: StudentModel) -> None:
    """Raise InputError when a student's encoder can't be traced."""
    about = model.config.encoder
    kind = getattr(about, "kind", about.model_type)
    if kind in (*RECURRENT, DIALOGUE_TYPE):
        raise InputError(
            f"kd export: a student on {kind} can't be exported, its recurrence runs over packed "
            f"rows: answer with kd predict, or train a cnn or a pretrained encoder"
        )


def input_names(model: StudentModel) -> list[str]:
    """The graph's inputs, all int64: ids and mask of the texts and, where read, of the contexts."""
    return list(INPUTS if model.attention is not None else INPUTS[:2])


def rationale_output(task: str) -> str:
    """The name of a task's output of log-odds (B, L)."""
    return f"{task}.rationale"


def output_names(specs: list[TaskSpec]) -> list[str]:
    """The graph's outputs, all float32: TASK (B, C), and TASK.rationale (B, L) where it has one."""
    names = []
    for spec in specs:
        names.append(spec.name)
        if spec.has_rationale:
            names.append(rationale_output(spec.name))
    return names


def write_graph(model: StudentModel, path: Path) -> None:
    """Write a student's float32 graph, B, L and M dynamic.

    A row without context has a context mask of zeros. Raises InputError where a package of the
    extra `export` is missing, or the encoder is an LSTM.
    """
    check_packages()
    check_encoder(model)
    names = input_names(model)
    is_context = {name: name.startswith("context") for name in names}
    # Any sizes but 0 and 1, which would be taken for fixed ones; a tensor of its own for each
    # input, as one tensor given twice would become one input of the graph.
    sizes = {name: (2, 5) if is_context[name] else (2, 6) for name in names}
    example = {name: torch.ones(size, dtype=torch.int64) for name, size in sizes.items()}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # Of torch's own: deprecated calls, and axes that share a name as they are meant to.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                PaddedStudent(model),
                kwargs=example,
                input_names=names,
                output_names=output_names(model.specs),
                dynamic_shapes={
                    name: {0: "batch", 1: "context_length" if is_context[name] else "length"}
                    for name in names
                },
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    save_graph(program.model_proto, path)


def write_half(source: Path, target: Path) -> None:
    """Write a float32 graph again with its weights in float16, half the bytes.

    onnxruntime widens them when it loads the file: all is computed in float32 still, so norms
    and softmax cannot overflow, and only the rounding of the weights is lost.
    """
    import onnx

    model = onnx.load(source)
    halve_weights(model.graph)
    save_graph(model, target)


def halve_weights(graph: Any) -> None:
    """Store the large float32 matrices of a graph in float16, and widen them where it begins.

    Vectors stay: they are small, and the scales of an int8 layer are too small for float16.
    """
    from onnx import TensorProto, helper, numpy_helper

    widened = []
    for weights in graph.initializer:
        values = numpy_helper.to_array(weights)
        if values.dtype == np.float32 and values.ndim > 1 and values.size >= HALVED_FROM:
            name = weights.name
            # A weight beyond float16 would become infinite.
            values = np.clip(values, -HALF_MAX, HALF_MAX).astype(np.float16)
            weights.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            widened.append(
                helper.make_node(
                    "Cast", [f"{name}.half"], [name], f"{name}.widened", to=TensorProto.FLOAT
                )
            )
    nodes = [*widened, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def save_graph(model: Any, path: Path) -> None:
    """Write a model without what says where and from which lines it was made."""
    import onnx

    graph = model.graph
    # Shapes that were inferred for the float32 graph stand in the way of quantization.
    del graph.value_info[:]
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for part in parts:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    onnx.checker.check_model(model)
    onnx.save(model, path)
