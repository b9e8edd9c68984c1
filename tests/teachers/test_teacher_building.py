"""Tests of teachers.building: a bi-encoder for tasks with context, a single encoder for others."""

import pytest
import torch

from data.errors import InputError
from data.tasks import TaskSpec
from student.encoders import load_encoder, load_tokenizer
from student.predictor import Predictor
from teachers.building import new_teacher

EMPATHY = TaskSpec("empathy", classes=("none", "some"), has_context=True, has_rationale=True)
SENTIMENT = TaskSpec("sentiment", classes=("negative", "positive"))


@pytest.fixture
def make_teacher(tiny_encoder):
    def make(spec, **settings):
        given = {
            "encoder": str(tiny_encoder),
            "layers": None,
            "seeker_is_frozen": False,
            "pooling": "cls",
            "head": "two_layer",
            "attention_heads": 1,
            "dropout": 0.1,
            "max_tokens": 24,
        }
        return new_teacher(spec, **{**given, **settings})

    return make


def test_a_task_with_context_gets_a_second_encoder_of_the_same_weights(make_teacher, tiny_encoder):
    teacher = make_teacher(EMPATHY)
    assert teacher.attention is not None
    for name, value in load_encoder(str(tiny_encoder)).state_dict().items():
        assert torch.equal(teacher.encoder.state_dict()[name], value), name
        assert torch.equal(teacher.context_encoder.state_dict()[name], value), name
    first, second = teacher.encoder.parameters(), teacher.context_encoder.parameters()
    assert {id(value) for value in first}.isdisjoint(id(value) for value in second)


def test_the_new_layers_of_word_vectors_are_the_same_in_both_encoders(make_teacher, tmp_path):
    (tmp_path / "vectors.txt").write_text("sad 1 2\nglad 3 4\n")
    teacher = make_teacher(EMPATHY, encoder=f"lstm:{tmp_path / 'vectors.txt'}")
    for name, value in teacher.encoder.state_dict().items():
        assert torch.equal(teacher.context_encoder.state_dict()[name], value), name


def test_a_task_without_context_gets_a_single_encoder(make_teacher):
    teacher = make_teacher(SENTIMENT)
    assert teacher.context_encoder is None
    assert teacher.attention is None
    assert list(teacher.heads) == ["sentiment"]


def test_the_chosen_layers_are_those_of_both_encoders(make_teacher, tiny_encoder):
    teacher = make_teacher(EMPATHY, layers=[1])
    full = load_encoder(str(tiny_encoder)).state_dict()["encoder.layer.1.output.dense.weight"]
    for encoder in (teacher.encoder, teacher.context_encoder):
        assert len(encoder.encoder.layer) == encoder.config.num_hidden_layers == 1
        assert torch.equal(encoder.encoder.layer[0].output.dense.weight, full)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_only_a_frozen_seeker_encoder_has_no_gradients(make_teacher, is_frozen):
    teacher = make_teacher(EMPATHY, seeker_is_frozen=is_frozen)
    frozen = {name for name, value in teacher.named_parameters() if not value.requires_grad}
    seeker = {name for name, _ in teacher.named_parameters() if name.startswith("context_encoder")}
    assert frozen == (seeker if is_frozen else set())


def test_freezing_the_seeker_of_a_task_without_context_freezes_nothing(make_teacher):
    teacher = make_teacher(SENTIMENT, seeker_is_frozen=True)
    assert all(value.requires_grad for value in teacher.parameters())


def test_a_teacher_on_an_encoder_that_is_not_there_is_an_error(make_teacher):
    with pytest.raises(InputError, match="encoder 'no/such/folder': is not there"):
        make_teacher(SENTIMENT, encoder="no/such/folder")


def test_a_bi_encoder_reads_a_batch_without_any_context(make_teacher):
    teacher = make_teacher(EMPATHY).eval()
    ids, mask = torch.full((2, 5), 7), torch.ones(2, 5, dtype=torch.long)
    nothing = torch.zeros(2, 1, dtype=torch.long)
    output = teacher(ids, mask, nothing, nothing)
    assert output.logits["empathy"].isfinite().all()


def test_a_bi_encoder_asked_without_contexts_answers_no_task(make_teacher, tiny_encoder, tmp_path):
    make_teacher(EMPATHY).save_pretrained(tmp_path)
    load_tokenizer(str(tiny_encoder)).save_pretrained(tmp_path)
    assert Predictor.load(tmp_path)(["good"]) == [{}]
