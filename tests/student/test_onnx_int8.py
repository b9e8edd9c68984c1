"""Tests of student.onnx_int8: the graph in bytes says what the student says."""

import copy
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from transformers import BertConfig, DebertaV2Config, ModernBertConfig

from data.encoding import EncodedTable
from data.errors import InputError
from data.ragged import Ragged
from data.tasks import TaskSpec
from student.encoders import new_encoder
from student.inference import compute_logits
from student.model import new_student
from student.onnx_export import INPUTS, output_names, write_graph
from student.onnx_inference import compute_onnx_logits
from student.onnx_int8 import find_linears, write_int8

EMPATHY = TaskSpec(
    "empathy", classes=("none", "weak", "strong"), has_context=True, has_rationale=True
)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))
SIZES = {
    "vocab_size": 2000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
# encoder, tasks, does the seeker have an encoder of its own, and the linear layers of a block.
CASES = {
    "bert": (BertConfig(**SIZES), [EMPATHY, SENTIMENT], False, 6),
    "two encoders": (BertConfig(**SIZES), [EMPATHY, SENTIMENT], True, 6),
    "modernbert": (
        ModernBertConfig(
            **SIZES, local_attention=6, global_attn_every_n_layers=2,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        ),
        [SENTIMENT], False, 4,
    ),
    # Keys and queries are projections of the relative positions, too.
    "deberta": (
        DebertaV2Config(
            **SIZES, relative_attention=True, position_buckets=16, norm_rel_ebd="layer_norm",
            share_att_key=True, pos_att_type=["c2p", "p2c"], position_biased_input=False,
        ),
        [EMPATHY, SENTIMENT], False, 6,
    ),
}  # fmt: skip


def rows_of(count, seed):
    """An encoded table of random tokens; every third row has no context."""
    random = np.random.default_rng(seed)
    texts = [random.integers(5, 2000, random.integers(3, 30)).tolist() for _ in range(count)]
    contexts = [random.integers(5, 2000, 9 * (row % 3)).tolist() for row in range(count)]
    offsets = np.concatenate([[[n, n + 1] for n in range(len(text))] for text in texts])
    ids = tuple(f"row-{row}" for row in range(count))
    return EncodedTable(
        ids, Ragged.of(texts), offsets.astype(np.int32), Ragged.of(contexts), 0, {}, {}
    )


@pytest.fixture(scope="module", params=CASES)
def written(request, tmp_path_factory):
    """(case, the student, its float32 graph's path, its path in bytes), once for each case."""
    config, tasks, separate, _ = CASES[request.param]
    torch.manual_seed(3)
    model = new_student(
        new_encoder(config),
        tasks,
        context_encoder=new_encoder(config) if separate else None,
        pooling="attention",
        head="two_layer",
        attention_heads=2,
        dropout=0.1,
        max_tokens=48,
    ).eval()
    with torch.no_grad():  # a fresh one answers every row almost alike
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
        for module in model.encoder.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight[:, 5].mul_(8)  # an input that is felt far more than others
    folder = tmp_path_factory.mktemp(request.param)
    write_graph(model, folder / "model.onnx")
    write_int8(folder / "model.onnx", folder / "int8.onnx", model, rows_of(60, 1))
    return request.param, model, folder / "model.onnx", folder / "int8.onnx"


def answers_of(path, values):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = dict(zip(INPUTS, values, strict=True))
    feed = {node.name: given[node.name] for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def test_every_linear_layer_of_the_encoder_is_integer_in_the_file(written):
    case, _, source, path = written
    _, tasks, separate, layers = CASES[case]
    has_context = EMPATHY in tasks
    expected = 2 * layers * (1 + separate) + 4 * has_context
    graph = onnx.load(path).graph
    products = [node for node in graph.node if node.op_type == "MatMulIntegerToFloat"]
    weights = {each.name: each for each in graph.initializer}
    assert {weights[node.input[1]].data_type for node in products} == {onnx.TensorProto.INT8}
    assert not find_linears(graph)
    before = find_linears(onnx.load(source).graph)
    assert len({each.name for each in before}) == expected
    # Once for all that the float32 graph lets it read.
    widths = [weights[node.input[1]].dims[1] for node in products]
    read = {(each.name, each.source): each.weights.shape[1] for each in before}
    assert sum(read.values()) == sum(widths)
    # DeBERTa reads text and context one after the other, and in each its positions' projections.
    uses = {"deberta": 2 * (expected - 4) + 2 * 2 * 2 + 4}
    assert len(before) == uses.get(case, expected)


def test_this_processor_computes_the_products_exactly(written):
    """One without VNNI adds the products of two neighbours in 16 bits, and would stop at 32,767."""
    proto = onnx.load(written[3])
    arrays = {each.name: numpy_helper.to_array(each) for each in proto.graph.initializer}
    products = [node for node in proto.graph.node if node.op_type == "MatMulIntegerToFloat"]
    for name in {node.input[1] for node in products}:
        weights = arrays[name].astype(int)
        # The largest sums: the highest count where the weight is of the one sign, 0 elsewhere.
        for sign in (1, -1):
            counts = np.where(sign * weights > 0, 255, 0).T
            graph = helper.make_graph(
                [
                    helper.make_node(
                        "MatMulIntegerToFloat",
                        ["counts", "weights", "one", "one", "zero"],
                        ["found"],
                        domain="com.microsoft",
                    )
                ],
                "product",
                [helper.make_tensor_value_info("counts", onnx.TensorProto.UINT8, None)],
                [helper.make_tensor_value_info("found", onnx.TensorProto.FLOAT, None)],
                [
                    numpy_helper.from_array(arrays[name], "weights"),
                    numpy_helper.from_array(np.float32(1), "one"),
                    numpy_helper.from_array(np.uint8(0), "zero"),
                ],
            )
            model = helper.make_model(graph, opset_imports=proto.opset_import)
            model.ir_version = proto.ir_version
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), providers=["CPUExecutionProvider"]
            )
            (found,) = session.run(None, {"counts": counts.astype(np.uint8)})
            assert (found == counts @ weights).all()


def test_few_inputs_are_counted_by_more_than_one_byte(written):
    graph = onnx.load(written[3]).graph
    more = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    more = {name: values for name, values in more.items() if name.endswith(".more")}
    shapes = {each.name: list(each.dims) for each in graph.initializer}
    assert more
    for name, values in more.items():
        columns = shapes[name.replace(".more", ".bytes")][0]
        assert 0 < len(values) <= (columns - len(values)) // 24
        assert (np.diff(values) >= 0).all()


def test_layers_that_read_the_same_are_one_product_with_their_biases_in_it(written):
    """Queries, keys and values of a text are one, so are keys and values of a context."""
    case, _, source, path = written
    before, after = onnx.load(source).graph, onnx.load(path).graph
    sources = {each.source for each in find_linears(before)}
    counted = [node.input[0] for node in after.node if node.op_type == "MatMulIntegerToFloat"]
    assert len(set(counted)) == len(sources)
    if case == "bert":
        gone = {each.output for each in find_linears(before)}
        assert not gone & {name for node in after.node for name in node.input}


def test_the_answers_are_nearly_the_students_on_rows_that_were_not_measured(written):
    _, model, _, path = written
    table = rows_of(50, 2)
    expected = compute_logits(model, table)
    found = compute_onnx_logits(path, model.specs, table)
    for task, values in expected.labels.items():
        spread = values.std(axis=0).max()
        assert spread > 0.05
        assert np.abs(found.labels[task] - values).max() < 0.25 * spread
        assert np.abs(found.labels[task] - values).std() < 0.05 * spread
        assert (found.labels[task].argmax(1) == values.argmax(1)).mean() >= 0.94


def test_an_answer_does_not_depend_on_the_rows_and_the_padding_beside_it(written):
    _, model, _, path = written
    random = np.random.default_rng(4)
    texts, contexts = random.integers(5, 2000, (2, 6, 11))
    texts[0] = contexts[0] = 7  # a neighbour that is nothing like the others
    ones = np.ones_like(texts)
    together = answers_of(path, [texts, ones, contexts, ones])
    for row in range(6):
        alone = answers_of(path, [each[row : row + 1] for each in (texts, ones, contexts, ones)])
        for name in output_names(model.specs):
            np.testing.assert_allclose(alone[name][0], together[name][row], rtol=0, atol=2e-5)
    padded = [np.pad(each, ((0, 0), (0, 8))) for each in (texts, ones, contexts, ones)]
    padded[0][:, 11:], padded[2][:, 11:] = 77, 88
    for name, values in answers_of(path, padded).items():
        kept = values[:, :11] if name.endswith(".rationale") else values
        np.testing.assert_allclose(kept, together[name], rtol=0, atol=2e-5)


def test_the_file_is_about_a_third_and_its_operators_are_of_two_sets(written):
    _, _, source, path = written
    assert path.stat().st_size < 0.4 * source.stat().st_size
    proto = onnx.load(path)
    assert {each.domain for each in proto.opset_import} == {"", "com.microsoft"}
    others = Counter(node.op_type for node in proto.graph.node if node.domain)
    assert set(others) == {"MatMulIntegerToFloat"}
    kinds = [each.data_type for each in proto.graph.initializer if np.prod(each.dims) >= 1024]
    assert onnx.TensorProto.FLOAT not in kinds
    # That of the words is in bytes, those of 64 positions are not.
    tables = {each.dims[0] for each in proto.graph.initializer if list(each.dims[1:]) == [2, 32]}
    assert tables == {2000}


def hide(source, target, operator, uses=None):
    """Write a graph in which an operator stands before the weights of some uses of a layer."""
    proto = onnx.load(source)
    graph = proto.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(1), "unit"))
    linears = find_linears(graph)
    outputs = {each.output for each in linears if each.name == linears[1].name}
    nodes = [node for node in graph.node if node.output[0] in outputs]
    for number, node in enumerate(nodes[:uses]):
        given = [node.input[1], "unit"] if operator == "Mul" else [node.input[1]]
        node.input[1] = f"hidden.{number}"
        place = list(graph.node).index(node)
        graph.node.insert(place, helper.make_node(operator, given, [f"hidden.{number}"]))
    onnx.save(proto, target)


def test_a_layer_whose_weights_are_renamed_is_found(written, tmp_path):
    _, model, source, _ = written
    hide(source, tmp_path / "hidden.onnx", "Identity")
    write_int8(tmp_path / "hidden.onnx", tmp_path / "int8.onnx", model, rows_of(6, 1))
    assert len(find_linears(onnx.load(tmp_path / "hidden.onnx").graph)) == len(
        find_linears(onnx.load(source).graph)
    )


def test_a_layer_that_would_stay_in_float32_is_refused(written, tmp_path):
    """All answers are as right with it: nothing else would tell."""
    _, model, source, _ = written
    hide(source, tmp_path / "hidden.onnx", "Mul")
    with pytest.raises(InputError, match=r"int8 found \d+ of the \d+ linear layers"):
        write_int8(tmp_path / "hidden.onnx", tmp_path / "int8.onnx", model, rows_of(6, 1))


@pytest.mark.parametrize("written", ["deberta"], indirect=True)
def test_one_use_of_a_layer_that_would_stay_in_float32_is_refused(written, tmp_path):
    """The other uses, of the context and of positions, make the layer an integer one."""
    _, model, source, _ = written
    hide(source, tmp_path / "hidden.onnx", "Mul", uses=1)
    with pytest.raises(InputError, match=r"int8 found \d+ of the \d+ linear layers"):
        write_int8(tmp_path / "hidden.onnx", tmp_path / "int8.onnx", model, rows_of(6, 1))


def test_zeros_and_outliers_among_weights_and_ids_never_seen_give_numbers(written, tmp_path):
    _, model, source, _ = written
    proto = onnx.load(source)
    for each in proto.graph.initializer:
        values = numpy_helper.to_array(each).copy()
        if values.ndim == 2 and min(values.shape) > 2 and values.dtype == np.float32:
            values[:, 1], values[1] = 0, 0
            values[0, 0] = 1000
            each.CopyFrom(numpy_helper.from_array(values, each.name))
    onnx.save(proto, tmp_path / "odd.onnx")
    model = copy.deepcopy(model)
    for weights in model.parameters():
        if weights.dim() == 2 and min(weights.shape) > 2:
            weights.data[:, 1], weights.data[1] = 0, 0
            weights.data[0, 0] = 1000
    write_int8(tmp_path / "odd.onnx", tmp_path / "int8.onnx", model, rows_of(6, 1))
    found = compute_onnx_logits(tmp_path / "int8.onnx", model.specs, rows_of(9, 5))
    assert all(np.isfinite(values).all() for values in found.labels.values())
