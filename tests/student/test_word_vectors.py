"""Tests of student.word_vectors: encoders on word vectors, and what students on them can do."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from data.batches import collate
from data.errors import InputError
from data.tasks import TaskSpec
from student.encoders import encode, load_encoder, new_encoder, set_dropout
from student.inference import compute_logits
from student.model import StudentModel, new_student
from student.onnx_export import write_graph
from student.onnx_inference import compute_onnx_logits
from student.shrinking import feed_forward_of, keep_layers, keep_pieces
from student.word_names import KINDS
from student.word_vectors import RECURRENT, Convolution, Recurrence, WordVectorConfig

EMPATHY = TaskSpec("empathy", classes=("none", "weak"), has_context=True, has_rationale=True)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))
LENGTHS = [5, 1, 9, 3]
POOLINGS = {"cnn": "max", "lstm": "last", "bilstm": "last", "conv_lstm": "last", "mlp": "flat"}


@pytest.fixture(params=KINDS)
def encoder(request):
    """An encoder of each kind on 40 random vectors of 6 values."""
    torch.manual_seed(0)
    return new_encoder(WordVectorConfig(request.param, vocab_size=40, vector_size=6)).eval()


@pytest.fixture(params=KINDS)
def student(request):
    """A student on each kind that reads contexts."""
    return student_of(request.param)


def student_of(kind):
    """A student that knows as many words as the tiny encoder's tokenizer has pieces, and more."""
    torch.manual_seed(1)
    return new_student(
        new_encoder(WordVectorConfig(kind, vocab_size=400, vector_size=6)),
        [EMPATHY, SENTIMENT],
        pooling=POOLINGS[kind],
        head="two_layer",
        attention_heads=1,
        dropout=0.5,
        max_tokens=24,
    ).eval()


def rows():
    """Ids (4, 9), padded on the right, and their mask."""
    mask = (torch.arange(9)[None] < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(1, 40, (4, 9), generator=torch.Generator().manual_seed(1))
    return ids * mask, mask


@torch.no_grad()
def test_states_do_not_depend_on_padding_or_on_other_rows(encoder):
    ids, mask = rows()
    together = encoder(ids, mask).last_hidden_state
    assert together.shape == (4, 9, encoder.config.hidden_size)
    assert not together[mask == 0].any()
    encoded = encode(encoder, ids, LENGTHS)
    wider = encoder(nn.functional.pad(ids, (0, 7), value=3), nn.functional.pad(mask, (0, 7)))
    for number, length in enumerate(LENGTHS):
        alone = encoder(ids[number : number + 1, :length]).last_hidden_state[0]
        for found in (together, encoded, wider.last_hidden_state):
            torch.testing.assert_close(found[number, :length], alone, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_row_without_tokens_has_states_of_zero(encoder):
    ids, mask = rows()
    mask[1] = 0
    assert not encoder(ids, mask).last_hidden_state[1].any()


@torch.no_grad()
def test_order_counts_for_all_but_the_vectors_alone(encoder):
    ids = torch.tensor([[4, 5, 6, 7]])
    one, other = (encoder(row).last_hidden_state for row in (ids, ids.flip(1)))
    is_same = torch.allclose(one, other.flip(1), atol=1e-6)
    assert is_same is (encoder.config.kind == "mlp")


@torch.no_grad()
def test_a_convolution_adds_up_its_window_and_cuts_at_zero():
    convolution = Convolution(1, (3, 4))
    for layer in convolution.of_width.values():
        layer.weight.fill_(1.0)
        layer.bias.fill_(-2.0)
    states = torch.tensor([[[1.0], [2.0], [4.0], [8.0], [99.0]]])
    found = convolution(states, torch.tensor([[1, 1, 1, 1, 0]]))[0, :4]
    assert found.shape == (4, 200)
    # Of 3 tokens: one before and one after. Of 4: one before and two after.
    assert found[:, 0].tolist() == [1.0, 5.0, 12.0, 10.0]
    assert found[:, 199].tolist() == [5.0, 13.0, 12.0, 10.0]


@torch.no_grad()
@pytest.mark.parametrize("both_ways", [False, True])
def test_a_recurrence_is_torchs_own_on_each_row_alone(both_ways):
    torch.manual_seed(0)
    recurrence = Recurrence(6, both_ways=both_ways)
    _, mask = rows()
    states = torch.randn(4, 9, 6)
    found = recurrence(states, mask)
    for number, length in enumerate(LENGTHS):
        alone, (last, _) = recurrence.cells(states[number : number + 1, :length])
        torch.testing.assert_close(found[number, :length], alone[0])
        torch.testing.assert_close(found[number, length - 1, :128], last[0, 0])
        if both_ways:
            torch.testing.assert_close(found[number, 0, 128:], last[1, 0])


def test_a_saved_student_gives_the_same_logits_when_it_is_loaded(student, table, tmp_path):
    student.save_pretrained(tmp_path)
    loaded = StudentModel.from_pretrained(tmp_path).eval()
    one, other = compute_logits(student, table), compute_logits(loaded, table)
    for spec in (EMPATHY, SENTIMENT):
        np.testing.assert_allclose(
            one.labels[spec.name], other.labels[spec.name], rtol=0, atol=1e-7
        )
    about = json.loads((tmp_path / "config.json").read_text())["encoder"]
    assert about["model_type"] == "kd_word_vectors"
    assert about["kind"] == student.config.encoder.kind
    shared = load_encoder(str(tmp_path)).state_dict()
    for name, values in student.encoder.state_dict().items():
        assert torch.equal(values, shared[name])


def test_a_students_answer_does_not_depend_on_its_batch(student, table):
    one = compute_logits(student, table)
    for number in range(len(table)):
        alone = compute_logits(student, table.take(np.array([number])))
        for spec in (EMPATHY, SENTIMENT):
            np.testing.assert_allclose(
                alone.labels[spec.name][0], one.labels[spec.name][number], rtol=0, atol=1e-6
            )


@torch.no_grad()
def test_a_students_last_state_is_where_each_direction_of_its_lstm_ends():
    model = student_of("bilstm")
    ids, mask = rows()
    head = model.heads["sentiment"]
    found = model(ids, mask, ids, mask).logits["sentiment"]
    for number, length in enumerate(LENGTHS):
        states = model.encoder.words(ids[number : number + 1, :length])
        _, (last, _) = model.encoder.layers[0].cells(states)
        label = head.label(torch.relu(head.dense(torch.cat([last[0, 0], last[1, 0]]))))
        torch.testing.assert_close(found[number], label)


def test_every_weight_of_a_student_learns(student, table):
    output = student.train()(*collate(table, np.arange(len(table))).inputs())
    sum(values.square().sum() for part in output for values in part.values()).backward()
    for name, values in student.named_parameters():
        assert values.grad is not None, name
        assert values.grad.any(), name


def test_the_encoders_dropout_is_on_the_vectors(encoder):
    config = encoder.config
    set_dropout(config, 0.5)
    model = new_encoder(config).train()
    assert model.dropout.p == 0.5
    ids, mask = rows()
    assert not torch.equal(model(ids, mask).last_hidden_state, model(ids, mask).last_hidden_state)


def test_a_student_on_word_vectors_can_not_be_cut_but_in_its_vocabulary(student, table):
    with pytest.raises(InputError, match="an encoder on word vectors"):
        keep_layers(student, [0])
    with pytest.raises(InputError, match="an encoder of kind 'kd_word_vectors' is none of"):
        feed_forward_of(student)
    kept = sorted({0, *table.texts.values.tolist(), *table.contexts.values.tolist()})
    small = keep_pieces(student, kept)
    assert small.config.encoder.vocab_size == len(kept)
    ids = torch.from_numpy(table.texts.row(0)).long()[None]
    numbers = torch.tensor([[kept.index(number) for number in ids[0].tolist()]])
    mask = torch.ones_like(ids)
    one = student(ids, mask, ids, mask).logits["empathy"]
    torch.testing.assert_close(small(numbers, mask, numbers, mask).logits["empathy"], one)


@pytest.mark.parametrize("kind", RECURRENT)
def test_an_lstm_can_not_be_exported(kind, tmp_path):
    with pytest.raises(InputError, match=f"kd export: a student on {kind} can't be exported"):
        write_graph(student_of(kind), tmp_path / "model.onnx")


def test_a_cnn_can_be_exported(table, tmp_path):
    student = student_of("cnn")
    write_graph(student, tmp_path / "model.onnx")
    one = compute_logits(student, table)
    other = compute_onnx_logits(tmp_path / "model.onnx", student.specs, table)
    for spec in (EMPATHY, SENTIMENT):
        assert abs(one.labels[spec.name] - other.labels[spec.name]).max() < 1e-5
