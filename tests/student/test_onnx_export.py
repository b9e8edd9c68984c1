"""Tests of student.onnx_export and onnx_inference: the graph says what the student says."""

import importlib.util

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper, numpy_helper
from transformers import BertConfig, ModernBertConfig, MPNetConfig, RobertaConfig

from data.errors import InputError
from data.tasks import TaskSpec
from student import onnx_export
from student.encoders import is_unpadded, new_encoder
from student.inference import compute_logits
from student.model import new_student
from student.onnx_export import (
    halve_weights,
    input_names,
    output_names,
    write_graph,
    write_half,
)
from student.onnx_inference import compute_onnx_logits

EMPATHY = TaskSpec(
    "empathy", classes=("none", "weak", "strong"), has_context=True, has_rationale=True
)
QUOTED = TaskSpec("quoted", classes=("no", "yes"), has_rationale=True)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))
DISTRESS = TaskSpec("distress", kind="regression", low=1.0, high=7.0)
SIZES = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
# encoder, tasks, does the seeker have an encoder of its own, pooling, shares of talking heads and
# of a synthesizer in the attention. RoBERTa counts positions from the padding id on, ModernBERT
# has layers that see three tokens to either side.
CASES = {
    "bert": (BertConfig(**SIZES), [EMPATHY, SENTIMENT, DISTRESS], False, "attention", (0.0, 0.0)),
    "combined": (BertConfig(**SIZES), [EMPATHY, SENTIMENT], False, "last", (0.4, 0.3)),
    "roberta": (
        RobertaConfig(**SIZES, pad_token_id=1), [SENTIMENT, EMPATHY], True, "mean", (1.0, 0.0),
    ),
    "modernbert": (
        ModernBertConfig(
            **SIZES, local_attention=6, global_attn_every_n_layers=2,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
        ),
        [SENTIMENT, EMPATHY], False, "cls", (0.0, 0.0),
    ),
    "alone": (BertConfig(**SIZES), [SENTIMENT, QUOTED], False, "mean", (0.0, 0.0)),
    "mpnet": (MPNetConfig(**SIZES, pad_token_id=1), [EMPATHY], True, "mean", (0.0, 0.0)),
}  # fmt: skip


def lively(model):
    """The model with larger weights: those of a fresh one answer every row almost alike."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "mix_" in name:  # the identity, from which no head hears another
                parameter.normal_()
            elif parameter.dim() > 1:
                parameter.mul_(8)
    return model.eval()


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory):
    """(the student, its float32 graph's path), once for each case."""
    config, tasks, separate, pooling, (talking, dense) = CASES[request.param]
    torch.manual_seed(3)
    model = new_student(
        new_encoder(config),
        tasks,
        context_encoder=new_encoder(config) if separate else None,
        pooling=pooling,
        head="two_layer",
        attention_heads=2,
        attention_talking=talking,
        attention_dense=dense,
        dropout=0.1,
        max_tokens=48,
    )
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    write_graph(lively(model), path)
    return model, path


def batch(rows, tokens, context_tokens):
    """Random ids and masks; the last row has no context, the others 1 to all tokens."""
    generator = torch.Generator().manual_seed(rows * 100 + tokens)

    def padded(width, lengths):
        mask = (torch.arange(width) < lengths[:, None]).long()
        return torch.randint(0, 200, (rows, width), generator=generator) * mask, mask

    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    lengths[0] = tokens
    context_lengths = torch.randint(1, context_tokens + 1, (rows,), generator=generator)
    context_lengths[-1] = 0
    return [*padded(tokens, lengths), *padded(context_tokens, context_lengths)]


def answers_of(path, values):
    """Output → values of the graph for a batch, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = dict(zip(onnx_export.INPUTS, values, strict=True))
    feed = {node.name: given[node.name].numpy() for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    return dict(zip(names, session.run(names, feed), strict=True))


def assert_equal(model, path, values, atol):
    with torch.no_grad():
        expected = model(*values)
    found = answers_of(path, values)
    real = values[1].bool().numpy()
    assert list(found) == output_names(model.specs)
    for task, logits in expected.logits.items():
        assert found[task].dtype == np.float32
        np.testing.assert_allclose(found[task], logits.numpy(), rtol=0, atol=atol)
    for task, log_odds in expected.rationale_logits.items():
        mine = found[f"{task}.rationale"]
        np.testing.assert_allclose(mine[real], log_odds.numpy()[real], rtol=0, atol=atol)
    return found


@pytest.mark.parametrize(
    "size",
    [(1, 3, 1), (1, 40, 9), (2, 5, 1), (5, 12, 30), (16, 31, 16), (4, 1, 2), (3, 9, 60)],
    ids=str,
)
def test_the_graph_gives_the_students_logits_at_any_size(exported, size):
    """One row and one token too: an exporter may take the sizes of its example for fixed. A
    synthesizer has scores for 48 seeker tokens."""
    found = assert_equal(*exported, batch(*size), 1e-5)
    if size == (16, 31, 16):  # else two models that say nothing would be equal
        assert all(np.std(found[spec.name], axis=0).max() > 0.05 for spec in exported[0].specs)


def test_padding_changes_no_answer_of_the_graph(exported):
    model, path = exported
    values = batch(3, 9, 7)
    wider = [torch.nn.functional.pad(each, (0, 6)) for each in values]
    # What stands on padding must not matter.
    wider[0][:, 9:], wider[2][:, 7:] = 77, 88
    before, after = answers_of(path, values), answers_of(path, wider)
    for name in output_names(model.specs):
        cut = after[name][:, :9] if name.endswith(".rationale") else after[name]
        real = values[1].bool().numpy() if name.endswith(".rationale") else slice(None)
        np.testing.assert_allclose(cut[real], before[name][real], rtol=0, atol=1e-5)


def test_a_batch_without_any_context_is_answered_like_no_context(exported):
    model, path = exported
    values = batch(3, 9, 1)
    values[3][:] = 0
    for noise in (0, 55):
        values[2][:] = noise
        assert_equal(model, path, values, 1e-5)


def test_half_the_bytes_give_almost_the_same_logits(exported, tmp_path):
    model, path = exported
    half = tmp_path / "half.onnx"
    write_half(path, half)
    with torch.no_grad():
        spread = max(float(each.std()) for each in model(*batch(16, 31, 16)).logits.values())
    assert_equal(model, half, batch(16, 31, 16), 2e-2 * max(1.0, spread))
    assert half.stat().st_size < 0.75 * path.stat().st_size
    large = [each for each in onnx.load(half).graph.initializer if np.prod(each.dims) >= 1024]
    assert {each.data_type for each in large} == {onnx.TensorProto.FLOAT16}


def test_of_large_constants_only_matrices_are_halved():
    """Scales of a layer in bytes are vectors, and some of them are nothing in float16."""
    sizes = {"matrix": (40, 40), "vector": (2000,), "small": (4, 4)}
    constants = [numpy_helper.from_array(np.full(size, 1e-9, "f4"), name)
                 for name, size in sizes.items()]  # fmt: skip
    graph = helper.make_graph([], "student", [], [], constants)
    halve_weights(graph)
    kinds = {each.name: each.data_type for each in graph.initializer}
    assert kinds["matrix.half"] == onnx.TensorProto.FLOAT16
    assert kinds["vector"] == kinds["small"] == onnx.TensorProto.FLOAT


def test_inputs_and_outputs_are_named_typed_and_of_any_size(exported):
    model, path = exported
    graph = onnx.load(path).graph
    assert [node.name for node in graph.input] == input_names(model)
    assert ("context_ids" in input_names(model)) == any(spec.has_context for spec in model.specs)
    for node in graph.input:
        assert node.type.tensor_type.elem_type == onnx.TensorProto.INT64
        axes = [axis.dim_param for axis in node.type.tensor_type.shape.dim]
        assert axes[0] == "batch"
        assert axes[1].endswith("length")
    for node in graph.output:
        assert node.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_the_file_names_no_path_of_the_machine_and_no_line_of_the_code(exported):
    content = exported[1].read_bytes()
    for part in (b".py", b"forward", b"site-packages", b"/home", b"/root", b"/tmp"):
        assert part not in content


def test_the_student_itself_is_left_as_it_was(exported):
    model, _ = exported
    assert is_unpadded(model.encoder)
    assert not [name for name, value in model.named_parameters() if not value.requires_grad]


def test_a_tables_logits_are_those_of_the_torch_student(make_student, table, tmp_path):
    """Two rows of the table have no context; batches, offsets and special tokens are at stake."""
    model = lively(make_student(dense=1.0))
    write_graph(model.train(), tmp_path / "model.onnx")
    expected = compute_logits(model, table)
    found = compute_onnx_logits(tmp_path / "model.onnx", model.specs, table)
    assert found.labels.keys() == expected.labels.keys()
    assert found.tokens.keys() == expected.tokens.keys() == {"empathy"}
    for task, values in expected.labels.items():
        assert np.std(values) > 0.05
        np.testing.assert_allclose(found.labels[task], values, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.tokens["empathy"], expected.tokens["empathy"], atol=1e-5)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(
    make_student, monkeypatch, tmp_path
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    expected = r"onnxscript is not installed: pip install 'kd-empathy\[export\]'"
    with pytest.raises(InputError, match=expected):
        write_graph(make_student(), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
