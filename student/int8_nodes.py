"""The nodes of an ONNX graph that compute linear layers and embeddings from bytes.

All are of ONNX itself or, INTEGER_MATMUL alone, of onnxruntime's own set.

Letters: V = rows of an embedding, H = hidden size, J = inputs of a layer, N = its outputs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from student.int8_weights import Moments, Steps, choose_steps, round_weights

INTEGER_MATMUL = "MatMulIntegerToFloat"
DOMAIN = "com.microsoft"
# Numbers of an embedding that share a scale, and what the largest of them is written as.
GROUP = 32
LARGEST = 127
SHARED = {"bytes.one": np.float32(1)}


class Linear(NamedTuple):
    """Where a graph uses a layer: what it writes and reads, its weights' name, (J, N), bias (N,).

    biased: what the node writes that adds the bias; the output itself where none does.
    """

    output: str
    source: str
    name: str
    weights: npt.NDArray[np.float32]
    biased: str
    bias: npt.NDArray[np.float32]


def add_constants(graph: Any, values: Mapping[str, Any]) -> None:
    """Add arrays to a graph by name."""
    from onnx import numpy_helper

    graph.initializer.extend(
        numpy_helper.from_array(np.asarray(each), name) for name, each in values.items()
    )


def add_layers(graph: Any, prefix: str, layers: Sequence[Linear], moments: Moments) -> Steps:
    """Add the constants of layers that read the same inputs, as one layer; the inputs' steps."""
    together = np.concatenate([layer.weights.T for layer in layers]).astype(np.float64)
    steps = choose_steps(moments, together)
    rounded, scale, constant = round_weights(moments, steps, together)
    widths = [layer.weights.shape[1] for layer in layers]
    constant += np.concatenate([layer.bias for layer in layers])
    constants: dict[str, Any] = {
        "inverse": (1 / steps.step).astype(np.float32),
        "zero": np.uint8(steps.zero),
        "bytes": np.ascontiguousarray(rounded.T),
        "scale": scale,
        "constant": constant,
        "widths": np.array(widths, dtype=np.int64),
        "more": steps.more,
        "parts": steps.parts.astype(np.float32),
    }
    add_constants(graph, {f"{prefix}.{name}": each for name, each in constants.items()})
    return steps


def count_inputs(source: str, prefix: str, steps: Steps) -> list[Any]:
    """Nodes that write a tensor's values in steps, SOURCE.bytes."""
    from onnx import helper

    def count(values: str, output: str) -> Any:
        return helper.make_node("QuantizeLinear", [values, "bytes.one", f"{prefix}.zero"], [output])

    scaled, counted = f"{source}.steps", f"{source}.bytes"
    nodes = [helper.make_node("Mul", [source, f"{prefix}.inverse"], [scaled])]
    if not len(steps.more):
        return [*nodes, count(scaled, counted)]
    again, moved = f"{source}.again", f"{source}.moved"
    once, more = f"{counted}.once", f"{counted}.more"
    return [
        *nodes,
        helper.make_node("Gather", [scaled, f"{prefix}.more"], [again], axis=-1),
        helper.make_node("Add", [again, f"{prefix}.parts"], [moved]),
        count(scaled, once),
        count(moved, more),
        helper.make_node("Concat", [once, more], [counted], axis=-1),
    ]


def multiply(source: str, prefix: str, layers: Sequence[Linear]) -> list[Any]:
    """Nodes of the layers that read a tensor that was counted, their biases included.

    What reads the same as a layer before it, and is of its weights, writes the same.
    """
    from onnx import helper

    names = [f"{prefix}.{name}" for name in ("bytes", "scale", "zero", "constant")]
    weights, scale, zero, constant = names
    inputs = [f"{source}.bytes", weights, "bytes.one", scale, zero, "", constant]
    written: dict[str, list[str]] = {}
    for layer in layers:
        written.setdefault(layer.name, []).append(layer.biased)
    outputs = [first for first, *_ in written.values()]
    all_of_them = outputs[0] if len(outputs) == 1 else f"{source}.products"
    nodes = [helper.make_node(INTEGER_MATMUL, inputs, [all_of_them], domain=DOMAIN)]
    if len(outputs) > 1:
        nodes.append(helper.make_node("Split", [all_of_them, f"{prefix}.widths"], outputs, axis=-1))
    again = [(first, other) for first, *others in written.values() for other in others]
    return nodes + [helper.make_node("Identity", [first], [other]) for first, other in again]


def add_embedding(graph: Any, name: str, table: npt.NDArray[np.float32]) -> None:
    """Add the constants of an embedding (V, H): bytes, and a scale for each GROUP of a row."""
    group = GROUP if table.shape[1] % GROUP == 0 else table.shape[1]
    parts = table.reshape(len(table), -1, group)
    largest = np.abs(parts).max(axis=-1, keepdims=True)
    scale = (largest / LARGEST).astype(np.float16)
    scale = np.maximum(scale, np.finfo(np.float16).smallest_subnormal)
    rounded = np.clip(np.round(parts / scale.astype(np.float32)), -LARGEST, LARGEST)
    constants = {"bytes": rounded.astype(np.int8), "scale": scale, "width": [table.shape[1]]}
    add_constants(graph, {f"{name}.{key}": each for key, each in constants.items()})


def look_up(name: str, ids: str, output: str) -> list[Any]:
    """Nodes of an embedding: rows of the table that `add_embedding` added, in float32."""
    from onnx import TensorProto, helper

    nodes = []
    for part in ("bytes", "scale"):
        nodes += [
            helper.make_node("Gather", [f"{name}.{part}", ids], [f"{output}.{part}"]),
            helper.make_node(
                "Cast", [f"{output}.{part}"], [f"{output}.{part}.wide"], to=TensorProto.FLOAT
            ),
        ]
    return [
        *nodes,
        helper.make_node(
            "Mul", [f"{output}.bytes.wide", f"{output}.scale.wide"], [f"{output}.parts"]
        ),
        helper.make_node("Shape", [ids], [f"{output}.ids"]),
        helper.make_node("Concat", [f"{output}.ids", f"{name}.width"], [f"{output}.size"], axis=0),
        helper.make_node("Reshape", [f"{output}.parts", f"{output}.size"], [output]),
    ]
