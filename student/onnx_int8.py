"""The student's graph with its encoder's linear layers and embeddings in bytes.

The inputs of a layer are counted in steps that are measured once, on rows of the training data, so
that a row's answer does not depend on the other rows of its batch. The products inside attention,
the norms and the heads are still computed in float32.

Letters: J = inputs of a layer, N = its outputs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from data.batches import collate
from data.encoding import EncodedTable
from data.errors import InputError
from student.int8_nodes import (
    DOMAIN,
    SHARED,
    Linear,
    add_constants,
    add_embedding,
    add_layers,
    count_inputs,
    look_up,
    multiply,
)
from student.int8_weights import Moments, Steps
from student.model import StudentModel
from student.onnx_export import halve_weights, save_graph

# What has fewer outputs is no layer of an encoder, but a score a token.
LEAST_OUTPUTS = 16
# A table of fewer rows, of positions or types, is small beside that of the words and read sooner in
# float16.
LEAST_ROWS = 1_000
# So many rows' states are held at a time.
ROWS_AT_ONCE = 64
# Layers that read the same inputs, by their weights' names.
Names = tuple[str, ...]


def write_int8(source: Path, target: Path, model: StudentModel, rows: EncodedTable) -> None:
    """Write a student's float32 graph again, its encoder's linear layers and embeddings in bytes.

    rows: of the training data, a few hundred. Raises InputError when a linear layer of the
    encoder would stay in float32.
    """
    import onnx

    proto = onnx.load(source)
    graph = proto.graph
    linears = {linear.output: linear for linear in find_linears(graph)}
    groups = _groups(linears)
    moments = _measure(proto, groups, rows)
    by_name = {linear.name: linear for linear in linears.values()}
    add_constants(graph, SHARED)
    counted: dict[str, tuple[str, Steps]] = {}
    for number, (names, sources) in enumerate(groups.items()):
        layers = [by_name[name] for name in names]
        steps = add_layers(graph, f"{number}", layers, moments.pop(names))
        counted |= dict.fromkeys(sources, (f"{number}", steps))
    nodes: list[Any] = []
    ready: set[str] = set()
    written = {linear.biased for linear in linears.values()}
    for node in graph.node:
        if linear := linears.get(node.output[0]):
            if linear.source not in ready:
                ready.add(linear.source)
                readers = [each for each in linears.values() if each.source == linear.source]
                nodes += count_inputs(linear.source, *counted[linear.source])
                nodes += multiply(linear.source, counted[linear.source][0], readers)
        elif node.output[0] in written:
            pass  # the bias is among the layer's constants
        elif (table := _embedding(graph, node)) is not None:
            if node.input[0] not in ready:
                ready.add(node.input[0])
                add_embedding(graph, node.input[0], table)
            nodes += look_up(node.input[0], node.input[1], node.output[0])
        else:
            nodes.append(node)
    _replace(graph, nodes)
    check_layers(graph, linears, model)
    halve_weights(graph)
    proto.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    save_graph(proto, target)


def check_layers(graph: Any, linears: Mapping[str, Linear], model: StudentModel) -> None:
    """Raise InputError unless every linear layer of the encoder is integer in a graph.

    linears: those that were made so. What a rewriting of the graph overlooks stays in float32,
    and every answer is as right. Layers of the same weights are one.
    """
    from onnx import numpy_helper

    parts = [model.encoder, model.context_encoder, model.attention]
    modules = [each for part in parts if part is not None for each in part.modules()]
    layers = [each.weight.detach().cpu().numpy() for each in modules if isinstance(each, nn.Linear)]
    expected = {_digest(weights.T) for weights in layers}
    found = expected & {_digest(linear.weights) for linear in linears.values()}
    for each in graph.initializer:
        if len(each.dims) == 2:
            weights = numpy_helper.to_array(each)
            found -= {_digest(weights), _digest(weights.T)}
    if found != expected:
        raise InputError(
            f"kd export: int8 found {len(found)} of the {len(expected)} linear layers of the "
            f"student's encoder: leave int8 out of --precision; nothing was written"
        )


def find_linears(graph: Any) -> list[Linear]:
    """The products of a graph with constant weights, be they transposed or renamed on the way."""
    from onnx import numpy_helper

    constants = {each.name: each for each in graph.initializer}
    writers = {name: node for node in graph.node for name in node.output}
    found = []
    names: dict[bytes, str] = {}
    for node in graph.node:
        if node.op_type != "MatMul":
            continue
        name, is_turned = node.input[1], False
        while name in writers and writers[name].op_type in ("Transpose", "Identity"):
            is_turned ^= writers[name].op_type == "Transpose"
            name = writers[name].input[0]
        if name not in constants or len(constants[name].dims) != 2:
            continue
        weights = numpy_helper.to_array(constants[name])
        weights = weights.T if is_turned else weights
        if weights.shape[1] >= LEAST_OUTPUTS:
            # An exporter may write the weights anew for each use: they are one layer still.
            name = names.setdefault(_digest(weights), name)
            bias = _bias(graph, constants, node.output[0], weights.shape[1])
            found.append(Linear(node.output[0], node.input[0], name, weights, *bias))
    return found


def _bias(
    graph: Any, constants: Mapping[str, Any], output: str, width: int
) -> tuple[str, npt.NDArray[np.float32]]:
    """What the one node writes that reads a product, and the constant (N,) that it adds."""
    from onnx import numpy_helper

    readers = [node for node in graph.node if output in node.input]
    if len(readers) == 1 and readers[0].op_type == "Add":
        (other,) = (name for name in readers[0].input if name != output)
        if other in constants and list(constants[other].dims) == [width]:
            return readers[0].output[0], numpy_helper.to_array(constants[other])
    return output, np.zeros(width, dtype=np.float32)


def _digest(weights: npt.NDArray[np.float32]) -> bytes:
    return hashlib.sha256(weights.tobytes()).digest()


def _groups(linears: Mapping[str, Linear]) -> dict[Names, list[str]]:
    """Layers that read the same → what they read, which may be of the text and of the context."""
    readers: dict[str, dict[str, None]] = {}
    for linear in linears.values():
        readers.setdefault(linear.source, {})[linear.name] = None
    groups: dict[Names, list[str]] = {}
    for source, names in readers.items():
        groups.setdefault(tuple(names), []).append(source)
    return groups


def _measure(
    proto: Any, groups: Mapping[Names, Sequence[str]], rows: EncodedTable
) -> dict[Names, Moments]:
    """What layers read in the float32 graph, row by row, so that nothing is padding."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    sources = {source: names for names, each in groups.items() for source in each}
    watched = ModelProto()
    watched.CopyFrom(proto)
    del watched.graph.output[:]
    watched.graph.output.extend(
        helper.make_tensor_value_info(source, TensorProto.FLOAT, None) for source in sources
    )
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=providers)
    inputs = [node.name for node in session.get_inputs()]
    moments: dict[Names, Moments] = {}
    for start in range(0, len(rows), ROWS_AT_ONCE):
        tokens: dict[Names, list[npt.NDArray[np.float32]]] = {}
        for number in range(start, min(start + ROWS_AT_ONCE, len(rows))):
            batch = collate(rows, np.array([number]))
            given = {name: getattr(batch, name).numpy() for name in inputs}
            if "context_ids" in given and not given["context_mask"].any():
                # The states of an absent context are never read: those of a text stand for them.
                given |= {
                    "context_ids": given["input_ids"],
                    "context_mask": given["attention_mask"],
                }
            found = session.run(list(sources), given)
            for names, values in zip(sources.values(), found, strict=True):
                tokens.setdefault(names, []).append(values.reshape(-1, values.shape[-1]))
        for names, parts in tokens.items():
            if names not in moments:
                moments[names] = Moments(parts[0].shape[1])
            moments[names].add(np.concatenate(parts))
    return moments


def _embedding(graph: Any, node: Any) -> npt.NDArray[np.float32] | None:
    """The table of a node that looks rows up in one that is worth making smaller."""
    from onnx import numpy_helper

    if node.op_type != "Gather" or any(each.name == "axis" and each.i for each in node.attribute):
        return None
    for each in graph.initializer:
        if each.name == node.input[0] and len(each.dims) == 2 and each.dims[0] >= LEAST_ROWS:
            table = numpy_helper.to_array(each)
            return table if table.dtype == np.float32 else None
    return None


def _replace(graph: Any, nodes: list[Any]) -> None:
    """Give a graph other nodes, without those, and the constants, that nothing reads any more."""
    needed = {node.name for node in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    constants = [each for each in graph.initializer if each.name in needed]
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(constants)
