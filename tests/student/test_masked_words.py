"""Tests of student.masked_words: the parts answer as transformers' whole model does."""

import copy

import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    GPT2Config,
    GPT2Model,
)

from data.errors import InputError
from student.encoders import attention_implementation, is_unpadded, load_encoder
from student.masked_words import MaskedWordModel, load_masked_word_model
from tests.student.tiny_configs import sizes_of, tiny_configs

SIZES = sizes_of()
CONFIGS = {
    **tiny_configs("albert", "bert", "distilbert", "electra", "modernbert", "mpnet", "roberta"),
    "untied": BertConfig(**SIZES, tie_word_embeddings=False),
}
IDS = torch.tensor([[5, 6, 7, 8, 9], [10, 11, 12, 0, 0]])
LENGTHS = [5, 3]
PLACES = torch.tensor([1, 4, 7])


@pytest.fixture(params=CONFIGS)
def whole(request):
    """transformers' model of an architecture, its biases and gains not those it begins with."""
    config = copy.deepcopy(CONFIGS[request.param])
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config).eval()
    for value in model.parameters():
        value.data += 0.1 * torch.randn_like(value)
    return model


def parts_of(whole):
    model = AutoModelForMaskedLM.from_config(
        whole.config, attn_implementation=attention_implementation(whole.config)
    ).eval()
    model.load_state_dict(whole.state_dict())
    return MaskedWordModel(model).eval()


def whole_logits(whole):
    ids = IDS.clone()
    ids[1, 3:] = whole.config.pad_token_id or 0
    mask = (torch.arange(5) < torch.tensor(LENGTHS)[:, None]).long()
    return ids, whole(ids, attention_mask=mask).logits.flatten(0, 1)[PLACES]


def test_the_parts_give_the_logits_of_the_whole_at_the_places(whole):
    ids, expected = whole_logits(whole)
    parts = parts_of(whole)
    assert is_unpadded(parts.encoder)
    logits = parts(ids, LENGTHS, PLACES)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)


def test_the_parts_give_every_weight_the_gradient_that_the_whole_gives_it(whole):
    """A tied table learns from both of its ends."""
    ids, logits = whole_logits(whole)
    logits.logsumexp(-1).sum().backward()
    parts = parts_of(whole)
    parts(ids, LENGTHS, PLACES).logsumexp(-1).sum().backward()
    prefix = whole.base_model_prefix
    found = {
        name.replace("encoder.", f"{prefix}.", 1).removeprefix("head."): parameter.grad
        for name, parameter in parts.named_parameters()
    }
    expected = {name: parameter.grad for name, parameter in whole.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


def test_what_is_saved_is_the_whole_model_again_and_an_encoder(whole, tmp_path):
    parts = parts_of(whole)
    weights = {name: tensor.clone() for name, tensor in parts.state_dict().items()}
    for parameter in parts.parameters():
        parameter.data.zero_()  # the weights given are saved, not those of the moment
    parts.save(tmp_path, weights)
    again = AutoModelForMaskedLM.from_pretrained(tmp_path)
    torch.testing.assert_close(dict(again.state_dict()), dict(whole.state_dict()))
    encoder = load_encoder(str(tmp_path))
    base = getattr(whole, whole.base_model_prefix)
    torch.testing.assert_close(dict(encoder.state_dict()), dict(base.state_dict()))
    assert str(tmp_path) not in (tmp_path / "config.json").read_text()


def test_a_tied_table_stands_in_the_state_once(tiny_encoder):
    """Twice it would double checkpoints, and accelerate warns of it in each."""
    model, _ = load_masked_word_model(str(tiny_encoder))
    state = model.state_dict()
    tables = [name for name, tensor in state.items() if tensor.shape == (len(tensor), 32)]
    vocabulary = model.encoder.config.vocab_size
    assert [name for name in tables if len(state[name]) == vocabulary] == [
        "encoder.embeddings.word_embeddings.weight"
    ]
    model.load_state_dict(state)
    del state["head.cls.predictions.bias"]
    with pytest.raises(RuntimeError, match=r"Missing key.*predictions\.bias"):
        model.load_state_dict(state)


def test_an_encoder_without_a_head_gets_one_and_keeps_its_own_weights(tiny_encoder, tmp_path):
    model, has_head = load_masked_word_model(str(tiny_encoder))
    assert not has_head
    encoder = load_encoder(str(tiny_encoder))
    torch.testing.assert_close(dict(model.encoder.state_dict()), dict(encoder.state_dict()))
    model.save(tmp_path, model.state_dict())
    again, has_head = load_masked_word_model(str(tmp_path))
    assert has_head
    torch.testing.assert_close(dict(again.state_dict()), dict(model.state_dict()))


def test_a_student_lends_its_encoder(tiny_model):
    model, has_head = load_masked_word_model(str(tiny_model))
    assert not has_head
    encoder = load_encoder(str(tiny_model))
    torch.testing.assert_close(dict(model.encoder.state_dict()), dict(encoder.state_dict()))


def test_a_model_that_guesses_no_masked_words_is_refused(tmp_path):
    config = GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2, n_positions=64)
    GPT2Model(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"type 'gpt2' guesses no masked words"):
        load_masked_word_model(str(tmp_path))
