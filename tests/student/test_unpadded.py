"""Tests of student.unpadded: the flat forward against transformers' own padded one."""

import copy

import numpy as np
import pytest
import torch
from transformers import BertConfig, MPNetConfig

import student.unpadded
from data.readers.empathy_reddit import read_empathy_reddit
from student.encoders import encode, is_unpadded, load_tokenizer, new_encoder
from student.unpadded import UNPADDED_TYPES, length_groups, padded_shapes
from tests.student.tiny_configs import sizes_of, tiny_configs

SIZES = sizes_of(num_hidden_layers=3)
CONFIGS = tiny_configs(*UNPADDED_TYPES, "mpnet", num_hidden_layers=3)
LENGTHS = {
    "of one token": [1],
    "of one length": [7, 7, 7],
    "mixed": [5, 12, 1, 9, 30, 3],
    "of more than one group": [*range(1, 25), 24, 1, 17],
}


@pytest.fixture(params=CONFIGS)
def pair(request):
    """transformers' encoder with eager attention, and the unpadded one of the same weights."""
    config = CONFIGS[request.param]
    torch.manual_seed(0)
    padded, unpadded = (new_encoder(copy.deepcopy(config)).eval() for _ in range(2))
    padded.set_attn_implementation("eager")
    # Zero biases and unit gains, as drawn, hide what is done to them.
    for value in padded.parameters():
        value.data += 0.1 * torch.randn_like(value)
    unpadded.load_state_dict(padded.state_dict())
    assert padded.config._attn_implementation == "eager"
    assert is_unpadded(unpadded)
    return padded, unpadded


def batch(lengths, pad_id):
    """Random ids (N, L) and their mask (N, L)."""
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(5, 40, mask.shape, generator=torch.Generator().manual_seed(1))
    return torch.where(mask.bool(), ids, pad_id), mask


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_the_unpadded_forward_and_its_gradients_are_those_of_the_padded_one(pair, lengths):
    padded, unpadded = pair
    ids, mask = batch(lengths, padded.config.pad_token_id)
    expected = padded(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
    states = encode(unpadded, ids, lengths)
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-5)
    weights = torch.rand(states.shape, generator=torch.Generator().manual_seed(2))
    for answer in (expected, states):
        (answer * weights).sum().backward()
    found = dict(unpadded.named_parameters())
    wanted = {name: value.grad for name, value in padded.named_parameters()}
    largest = max(gradient.norm() for gradient in wanted.values())
    for name, gradient in wanted.items():
        # A key's bias has no gradient but rounding: it moves all scores of a query alike.
        allowed = 1e-5 * max(gradient.norm(), 1e-2 * largest)
        assert (found[name].grad - gradient).norm() <= allowed, name


def test_a_padded_call_of_an_unpadded_encoder_masks_its_padding(pair):
    """Whoever calls the encoder as transformers says must get what transformers says."""
    padded, unpadded = pair
    ids, mask = batch([5, 12, 1], padded.config.pad_token_id)
    expected = padded(input_ids=ids, attention_mask=mask).last_hidden_state
    states = unpadded(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], rtol=0, atol=1e-5)


def test_under_bfloat16_the_unpadded_forward_is_as_close_to_float32_as_the_padded_one(pair):
    padded, unpadded = pair
    ids, mask = batch([5, 12, 1, 9], padded.config.pad_token_id)
    exact = padded(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        usual = padded(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
        states = encode(unpadded, ids, [5, 12, 1, 9])
    assert (states - exact).abs().max() <= 2 * (usual - exact).abs().max()


def test_no_layer_but_attention_sees_padding():
    encoder = new_encoder(copy.deepcopy(CONFIGS["bert"]))
    rows = {}
    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding | torch.nn.LayerNorm):
            module.register_forward_hook(
                lambda _, __, output, name=name: rows.update({name: output.shape[:-1].numel()})
            )
    encode(encoder, batch([5, 12, 1, 9], 0)[0], [5, 12, 1, 9])
    assert len(rows) > 20
    assert set(rows.values()) == {5 + 12 + 1 + 9}


def test_the_fused_attention_of_gpus_is_the_plain_one(pair, monkeypatch):
    _, unpadded = pair
    ids, _ = batch(LENGTHS["of more than one group"], unpadded.config.pad_token_id)
    expected = encode(unpadded, ids, LENGTHS["of more than one group"])
    mix = student.unpadded._mix
    monkeypatch.setattr(
        student.unpadded, "_mix", lambda *parts, fused: mix(*parts, fused=not fused)
    )
    states = encode(unpadded, ids, LENGTHS["of more than one group"])
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [BertConfig, MPNetConfig])
def test_attention_is_dropped_out_in_training_alone(kind):
    encoder = new_encoder(kind(**SIZES, hidden_dropout_prob=0.0)).eval()
    ids, _ = batch([5, 12], 0)
    still = encode(encoder, ids, [5, 12])
    assert torch.equal(encode(encoder, ids, [5, 12]), still)
    assert not torch.allclose(encode(encoder.train(), ids, [5, 12]), still)


def test_a_decoder_is_not_run_unpadded():
    """Its tokens must not see the ones after them, which the unpadded attention shows."""
    config = BertConfig(**SIZES, is_decoder=True)
    assert not is_unpadded(new_encoder(config))


def test_length_groups_hold_rows_of_similar_length_longest_first():
    assert length_groups([3, 9, 5, 9, 0, 1], group_size=2) == [[1, 3], [2, 0], [5]]


@pytest.mark.parametrize("group_size", [1, 2, 16])
def test_every_row_is_in_exactly_one_length_group(group_size):
    lengths = [7, 2, 2, 9, 1, 4, 4, 4, 30, 6] * 3
    groups = length_groups(lengths, group_size)
    assert sorted(row for group in groups for row in group) == list(range(30))
    assert max(len(group) for group in groups) <= group_size
    assert padded_shapes(lengths, group_size) == [
        (len(group), max(lengths[row] for row in group)) for group in groups
    ]


def test_attention_pads_a_step_of_the_public_pairs_by_a_fifth_at_most(public_data, minilm):
    """Padded to one length it would be 1.6 times the tokens; counted on 32 pairs a step."""
    path = public_data / "empathy-reddit" / "emotional-reactions-reddit.csv"
    pairs = {record.key: (record.text, record.context) for record in read_empathy_reddit(path)}
    tokenizer = load_tokenizer(str(minilm))
    texts, contexts = (
        [len(ids) for ids in tokenizer(side, truncation=True, max_length=64)["input_ids"]]
        for side in map(list, zip(*pairs.values(), strict=True))
    )
    order = np.random.default_rng(0).permutation(len(pairs))
    ratios = []
    for rows in np.array_split(order, len(pairs) // 32):
        lengths = [side[row] for side in (texts, contexts) for row in rows]
        padded = sum(count * longest for count, longest in padded_shapes(lengths))
        assert padded >= sum(lengths)
        ratios.append(padded / sum(lengths))
    assert np.mean(ratios) <= 1.20
    assert max(ratios) <= 1.25
