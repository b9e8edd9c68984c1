"""Tests of student.attention's variants: talking heads, the synthesizer, and their weighted sum."""

import json
import math

import pytest
import torch
from torch import nn

from student.attention import CrossAttention, DenseSynthesizer, WeightedSum, new_attention
from student.model import StudentModel

# name → shares of talking heads and of a synthesizer.
VARIANTS = {
    "multi_head": (0.0, 0.0),
    "talking": (1.0, 0.0),
    "dense": (0.0, 1.0),
    "talking_and_multi_head": (0.4, 0.0),
    "dense_and_multi_head": (0.0, 0.3),
    "all": (0.4, 0.3),
    "talking_and_dense": (1.0, 0.3),
}
MOST = 64


def states(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def mask_of(*lengths, width):
    return (torch.arange(width)[None] < torch.tensor(lengths)[:, None]).long()


def made(talking, dense, *, heads=2, dropout=0.0, max_tokens=MOST):
    """An attention on eight hidden units whose heads really talk."""
    torch.manual_seed(0)
    attention = new_attention(
        8, heads=heads, talking=talking, dense=dense, dropout=dropout, max_tokens=max_tokens
    )
    talk(attention)
    return attention.eval()


def talk(model):
    """Mix the heads at random; a fresh model's mixing matrices are the identity."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "mix_" in name:
            parameter.data.normal_(generator=generator)


@pytest.fixture(params=VARIANTS.values(), ids=VARIANTS)
def variant(request):
    return made(*request.param)


def make_identity(*layers):
    """Let projections hand their input on."""
    for layer in layers:
        nn.init.eye_(layer.weight)
        nn.init.zeros_(layer.bias)


def one_hot(rows, tokens):
    """(rows, tokens, 8): a seeker whose token m is the m-th unit vector."""
    return torch.eye(8)[:tokens].expand(rows, -1, -1)


def test_identity_mixing_gives_multi_head_attention():
    talking = CrossAttention(8, 4, 0.0, talking=True)
    plain = CrossAttention(8, 4, 0.0)
    plain.load_state_dict(talking.state_dict(), strict=False)
    inputs = states(3, 5, 8), states(3, 6, 8, seed=2), mask_of(6, 2, 0, width=6)
    torch.testing.assert_close(talking(*inputs), plain(*inputs), rtol=0, atol=1e-6)
    for matrix in (talking.mix_scores, talking.mix_weights):
        before = talking(*inputs)
        matrix.data.copy_(states(4, 4, seed=3))
        assert (talking(*inputs) - before)[:2].abs().max() > 1e-2


def test_two_heads_talk_before_and_after_softmax_by_hand():
    """Head 0 scores the three tokens log 1 : 2 : 5, head 1 alike 0. Heads hear the other's scores,
    so their weights are even and 1 : 2 : 5; after that head 0 takes the sum and head 1 twice head
    0, which is even."""
    attention = CrossAttention(4, 2, 0.0, talking=True)
    make_identity(attention.query, attention.output)
    nn.init.zeros_(attention.key.weight)
    attention.key.weight.data[0, 0] = math.sqrt(2)
    nn.init.zeros_(attention.key.bias)
    # Both heads carry 1 where the token is the first, and 10 where it is the second.
    attention.value.weight.data = torch.tensor([[0.0, 1, 0, 0], [0, 0, 10, 0]] * 2)
    nn.init.zeros_(attention.value.bias)
    attention.mix_scores.data = torch.tensor([[0.0, 1], [1, 0]])
    attention.mix_weights.data = torch.tensor([[1.0, 1], [2, 0]])
    seeker = torch.tensor([[[0.0, 1, 0, 0], [math.log(2), 0, 1, 0], [math.log(5), 0, 0, 1]]])
    response = torch.tensor([[[1.0, 0, 7, 7], [0, 0, 0, 0]]])
    first = [1 / 3 + 1 / 8, 10 / 3 + 20 / 8, 2 / 3, 20 / 3]
    second = [2 / 3, 20 / 3, 2 / 3, 20 / 3]
    found = attention(response, seeker, torch.ones(1, 3))
    torch.testing.assert_close(found, torch.tensor([[first, second]]))


def test_a_synthesizers_weights_by_hand():
    """ReLU leaves (2, 0) of the first token, whose scores are then its log 2 : 3 : 5, and nothing
    of the second: even weights."""
    attention = DenseSynthesizer(4, 3, 0.0)
    make_identity(attention.dense, attention.value, attention.output)
    nn.init.zeros_(attention.score.bias)
    attention.score.weight.data = torch.tensor(
        [[math.log(n) / 2, 9.0, 0, 0] for n in (2, 3, 5)],
    )
    response = torch.tensor([[[2.0, -4, 0, 0], [-1, -1, -1, -1]]])
    seeker = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]])
    found = attention(response, seeker, torch.ones(1, 3))
    expected = torch.tensor([[[0.2, 0.3, 0.5, 0], [1 / 3, 1 / 3, 1 / 3, 0]]])
    torch.testing.assert_close(found, expected)
    without_last = attention(response, seeker, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(without_last, torch.tensor([[[0.4, 0.6, 0, 0], [0.5, 0.5, 0, 0]]]))


def test_without_shares_there_is_multi_head_attention_alone_bit_for_bit():
    torch.manual_seed(0)
    base = CrossAttention(8, 2, 0.0)
    found = made(0.0, 0.0)
    assert type(found) is CrossAttention
    assert found.state_dict().keys() == base.state_dict().keys()
    inputs = states(3, 5, 8), states(3, 6, 8, seed=2), mask_of(6, 2, 0, width=6)
    assert torch.equal(found(*inputs), base(*inputs))


def test_a_weight_of_zero_or_one_gives_one_of_the_two_bit_for_bit():
    torch.manual_seed(0)
    base, other = CrossAttention(8, 2, 0.0), DenseSynthesizer(8, 6, 0.0)
    inputs = states(3, 5, 8), states(3, 6, 8, seed=2), mask_of(6, 2, 0, width=6)
    assert torch.equal(WeightedSum(base, other, 0.0)(*inputs), base(*inputs))
    assert torch.equal(WeightedSum(base, other, 1.0)(*inputs), other(*inputs))


def test_all_three_are_summed_by_their_shares():
    inputs = states(3, 5, 8), states(3, 6, 8, seed=2), mask_of(6, 2, 0, width=6)
    attention = made(0.4, 0.3)
    heads = attention.base
    multi, talking, dense = (part(*inputs) for part in (heads.base, heads.other, attention.other))
    assert heads.base.mix_scores is None
    assert heads.other.mix_scores is not None
    expected = 0.7 * (0.6 * multi + 0.4 * talking) + 0.3 * dense
    torch.testing.assert_close(attention(*inputs), expected)
    assert min((expected - part).abs().max() for part in (multi, talking, dense)) > 1e-2


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((0.0, 0.0), 4 * 72),
        ((1.0, 0.0), 4 * 72 + 2 * 4),
        ((0.0, 1.0), 3 * 72 + 9 * MOST),
        ((0.4, 0.0), 8 * 72 + 2 * 4),
        ((0.0, 0.3), 7 * 72 + 9 * MOST),
        ((0.4, 0.3), 11 * 72 + 2 * 4 + 9 * MOST),
        ((1.0, 0.3), 7 * 72 + 2 * 4 + 9 * MOST),
    ],
)
def test_what_has_no_share_has_no_parameters(shares, expected):
    """A projection of 8 units has 72; DDP stops where one gets no gradient."""
    assert sum(parameter.numel() for parameter in made(*shares).parameters()) == expected


def test_every_parameter_of_a_variant_gets_a_gradient(variant):
    found = variant(states(2, 4, 8), states(2, MOST, 8, seed=2), torch.ones(2, MOST))
    (found * states(2, 4, 8, seed=3)).sum().backward()
    for name, parameter in variant.named_parameters():
        # Softmax takes no notice of what is added to all scores alike.
        least = 0.0 if name.endswith("key.bias") else 1e-6
        assert parameter.grad.abs().max() >= least, name


@pytest.mark.parametrize("lengths", [(7, 0, 3), (0, 0, 0)], ids=["mixed", "no context"])
@pytest.mark.parametrize("separate", [False, True], ids=["shared", "separate"])
@pytest.mark.parametrize("shares", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_of_a_student_gets_a_gradient(make_student, shares, separate, lengths):
    """DDP stops at step two when one does not."""
    model = make_student(talking=shares[0], dense=shares[1], separate=separate).train()
    output = model(*batch_of(lengths, max(1, *lengths)))
    sum(part.sum() for parts in output for part in parts.values()).backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    assert all(value.grad.isfinite().all() for value in model.parameters())


def batch_of(context_lengths, width):
    """Three texts and their contexts, padded to a width."""
    text_mask, mask = mask_of(6, 9, 2, width=9), mask_of(*context_lengths, width=width)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(5, 90, (3, 9), generator=generator)
    context = torch.randint(5, 90, (3, max(9, *context_lengths)), generator=generator)
    context = nn.functional.pad(context, (0, max(0, width - context.shape[1])))[:, :width]
    return ids * text_mask, text_mask, context * mask, mask


@pytest.mark.parametrize("tokens", [1, 5])
def test_another_seeker_leaves_a_synthesizers_weights_as_they_are(tokens):
    """One-hot seekers show the weights: three times the seeker is three times the answer."""
    attention = made(0.0, 1.0)
    make_identity(attention.value, attention.output)
    response, mask = states(2, 4, 8), mask_of(tokens, 1, width=tokens)
    weights = attention(response, one_hot(2, tokens), mask)[..., :tokens]
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4))
    torch.testing.assert_close(attention.weights(response, mask), weights)
    tripled = attention(response, 3 * one_hot(2, tokens), mask)[..., :tokens]
    torch.testing.assert_close(tripled, 3 * weights)
    others = attention(states(2, 4, 8, seed=4), one_hot(2, tokens), mask)[..., :tokens]
    assert tokens == 1 or (others - weights)[0].abs().max() > 1e-2


@pytest.mark.parametrize("tokens", [1, 5, 40, MOST])
def test_a_synthesizer_weighs_seekers_of_any_length_up_to_its_own(tokens):
    attention = made(0.0, 1.0)
    weights = attention.weights(states(3, 4, 8), mask_of(tokens, 1, 0, width=tokens))
    torch.testing.assert_close(weights.sum(-1)[:2], torch.ones(2, 4))
    assert (weights[0] > 0).all()
    assert (weights[1, :, 1:] == 0).all()
    assert (weights[2] == 0).all()
    found = attention(states(2, 4, 8), states(2, tokens, 8, seed=2), torch.ones(2, tokens))
    assert found.shape == (2, 4, 8)


def test_a_synthesizer_does_not_read_beyond_its_length():
    """Texts are cut at max_tokens, so only padding can stand there."""
    attention = made(0.0, 1.0, max_tokens=5)
    response, seeker = states(2, 4, 8), states(2, 9, 8, seed=2)
    expected = attention(response, seeker[:, :5], torch.ones(2, 5))
    assert torch.equal(attention(response, seeker, mask_of(9, 5, width=9)), expected)


def test_seeker_padding_changes_nothing(variant):
    response, seeker = states(3, 5, 8), states(3, 64, 8, seed=2)
    mask = mask_of(4, 32, 17, width=64)
    short = variant(response, seeker[:, :32], mask[:, :32])
    torch.testing.assert_close(short, variant(response, seeker, mask), rtol=0, atol=1e-6)


def test_a_masked_seeker_token_has_no_weight_at_all(variant):
    """After the heads have talked too, whose mixing might give it some."""
    response, seeker, mask = states(2, 5, 8), states(2, 6, 8, seed=2), mask_of(4, 1, width=6)
    seeker.requires_grad_()
    found = variant(response, seeker, mask)
    found.sum().backward()
    assert (seeker.grad[mask == 0] == 0).all()
    assert (seeker.grad[mask == 1] != 0).any()
    huge = torch.where(mask[..., None].bool(), seeker, torch.tensor(1e6))
    assert torch.equal(variant(response, huge, mask), found)


def test_a_row_without_a_seeker_gets_zeros(variant):
    for name, parameter in variant.named_parameters():
        if name.endswith("bias"):
            nn.init.ones_(parameter)
    found = variant(states(2, 4, 8), states(2, 3, 8), mask_of(2, 0, width=3))
    assert (found[1] == 0).all()
    assert (found[0] != 0).any()
    assert found.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_a_row_without_a_seeker_gives_no_nan_gradient(variant, dtype):
    variant = variant.to(dtype)
    response = states(2, 4, 8).to(dtype).requires_grad_()
    variant(response, states(2, 3, 8).to(dtype), mask_of(2, 0, width=3)).sum().backward()
    gradients = [response.grad, *(parameter.grad for parameter in variant.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert (response.grad[1] == 0).all()


@pytest.mark.parametrize("shares", VARIANTS.values(), ids=VARIANTS)
def test_padding_changes_no_logit_of_a_student(make_student, shares):
    """Beyond max_tokens, 24, too."""
    model = make_student(talking=shares[0], dense=shares[1])
    talk(model)
    answers = [model(*batch_of((7, 0, 3), width)) for width in (7, 32, 64)]
    for wider in answers[1:]:
        for part, expected in zip(wider, answers[0], strict=True):
            torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shares", VARIANTS.values(), ids=VARIANTS)
def test_a_student_answers_and_learns_under_bfloat16_autocast(make_student, shares):
    model = make_student(talking=shares[0], dense=shares[1])
    inputs = batch_of((7, 0, 3), 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*inputs)
    torch.testing.assert_close(output.logits, model(*inputs).logits, rtol=0, atol=0.02)
    sum(part.sum() for parts in output for part in parts.values()).backward()
    assert all(value.grad.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize("shares", VARIANTS.values(), ids=VARIANTS)
def test_a_saved_student_has_the_logits_it_had(make_student, shares, tmp_path):
    model = make_student(talking=shares[0], dense=shares[1])
    talk(model)
    model.save_pretrained(tmp_path)
    loaded = StudentModel.from_pretrained(tmp_path)
    assert loaded.attention.state_dict().keys() == made(*shares).state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    # Equal weights read from a file lie elsewhere in memory, where sums may round otherwise.
    inputs = batch_of((7, 0, 3), 7)
    for part, expected in zip(loaded(*inputs), model(*inputs), strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)


def test_a_student_saved_when_there_were_heads_alone_still_loads(make_student, tmp_path):
    model = make_student()
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["attention_talking"], config["attention_dense"]
    path.write_text(json.dumps(config), encoding="utf-8")
    loaded = StudentModel.from_pretrained(tmp_path)
    assert type(loaded.attention) is CrossAttention
    assert loaded.attention.heads == 2
    inputs = batch_of((7, 0, 3), 7)
    for part, expected in zip(loaded(*inputs), model(*inputs), strict=True):
        torch.testing.assert_close(part, expected, rtol=0, atol=1e-6)


def test_a_fresh_students_talking_heads_start_as_multi_head_attention(make_student):
    attention = make_student(talking=1.0).attention
    assert torch.equal(attention.mix_scores, torch.eye(2))
    assert torch.equal(attention.mix_weights, torch.eye(2))
