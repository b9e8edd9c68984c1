"""Tests of student.padded: texts side by side have the states that each has alone."""

import copy

import pytest
import torch
from transformers import BertConfig

from student.encoders import new_encoder
from student.padded import SIDE_BY_SIDE, encode_padded, traceable
from student.unpadded import UNPADDED_TYPES
from tests.student.tiny_configs import sizes_of, tiny_configs

REACHED = tiny_configs(*UNPADDED_TYPES, num_hidden_layers=3)
OTHERS = tiny_configs("deberta", "mpnet") | {"decoder": BertConfig(**sizes_of(), is_decoder=True)}


def texts_of(*lengths, pad_id):
    """Random ids and mask of each text, padded with pad_id."""
    found = []
    for each in lengths:
        mask = torch.arange(max(each)) < torch.tensor(each)[:, None]
        generator = torch.Generator().manual_seed(len(found))
        ids = torch.randint(5, 40, mask.shape, generator=generator)
        found.append((torch.where(mask, ids, pad_id), mask.long()))
    return found


def pair_of(config):
    """transformers' encoder with eager attention, and the copy for the graph."""
    torch.manual_seed(0)
    encoder = new_encoder(copy.deepcopy(config)).eval()
    for value in encoder.parameters():
        value.data += 0.1 * torch.randn_like(value)
    plain = copy.deepcopy(encoder)
    plain.set_attn_implementation("eager")
    return plain, traceable(encoder)


@pytest.mark.parametrize("family", [*REACHED, *OTHERS])
def test_each_text_has_the_states_that_transformers_gives_it_alone(family):
    plain, encoder = pair_of((REACHED | OTHERS)[family])
    # The longer ones are longer than the window of a layer that has one.
    texts = texts_of([9, 30, 2], [25, 1, 14], pad_id=plain.config.pad_token_id)
    # What stands on padding must not matter.
    noisy = [(torch.where(mask.bool(), ids, 7), mask) for ids, mask in texts]
    with torch.no_grad():
        found = encode_padded(encoder, noisy)
        for states, (ids, mask) in zip(found, texts, strict=True):
            expected = plain(input_ids=ids, attention_mask=mask).last_hidden_state
            real = mask.bool()
            torch.testing.assert_close(states[real], expected[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", [*REACHED, *OTHERS])
def test_they_go_through_the_encoder_at_once_where_its_attention_can_be_replaced(family):
    _, encoder = pair_of((REACHED | OTHERS)[family])
    assert (encoder.config._attn_implementation == SIDE_BY_SIDE) == (family in REACHED)
    calls = []
    encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    encode_padded(encoder, texts_of([4], [6], pad_id=0))
    assert len(calls) == (1 if family in REACHED else 2)


@pytest.mark.parametrize("family", REACHED)
def test_a_row_of_padding_alone_is_finite_and_changes_no_other_text(family):
    _, encoder = pair_of(REACHED[family])
    text, context = texts_of([7, 12], [5, 9], pad_id=3)
    with torch.no_grad():
        (alone,) = encode_padded(encoder, [text])
        states, empty = encode_padded(encoder, [text, (context[0], torch.zeros_like(context[1]))])
    assert empty.isfinite().all()
    real = text[1].bool()
    torch.testing.assert_close(states[real], alone[real], rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", REACHED)
def test_an_encoder_in_half_precision_answers_in_it(family):
    _, encoder = pair_of(REACHED[family])
    texts = texts_of([7, 12], [5, 9], pad_id=3)
    with torch.no_grad():
        found = encode_padded(encoder.bfloat16(), texts)
    assert {states.dtype for states in found} == {torch.bfloat16}
    assert all(states.isfinite().all() for states in found)
