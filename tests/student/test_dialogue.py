"""Tests of student.dialogue: turns are read apart, padding changes nothing, all of it learns."""

import pytest
import torch
from transformers import AutoModel

from student import dialogue
from student.dialogue import DialogueModel, on_sentences, positions, split_turns
from student.encoders import encode, load_encoder, load_tokenizer

FIRST = 200  # the first mark's id: after the tiny tokenizer's pieces


@pytest.fixture(scope="module")
def model(tiny_encoder):
    assert len(load_tokenizer(str(tiny_encoder))) <= FIRST
    torch.manual_seed(3)
    return on_sentences(load_encoder(str(tiny_encoder)), FIRST, 9)


def window(*turns):
    """[CLS], each turn a mark and words, [SEP]."""
    return [2, *(token for speaker, words in turns for token in (FIRST + speaker, *words)), 3]


def states(model, *texts, width=0):
    width = max(width, *map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    with torch.no_grad():
        return encode(model, ids, [len(text) for text in texts])


def test_turns_begin_at_their_marks_and_what_stands_before_the_first_is_of_it():
    tokens = torch.arange(1.0, 8)[None, :, None]
    begins = torch.tensor([[False, True, False, True, False, True, False]])
    real = torch.tensor([[True, True, True, True, True, True, False]])
    grid, is_word = split_turns(tokens, begins, real)
    assert grid[0, :, :, 0].tolist() == [[1, 2, 3], [4, 5, 0], [6, 0, 0]]
    assert is_word[0].tolist() == [[True] * 3, [True, True, False], [True, False, False]]


def test_a_text_without_marks_is_one_turn():
    grid, is_word = split_turns(torch.ones(2, 3, 4), torch.zeros(2, 3).bool(),
                                torch.tensor([[True] * 3, [True, False, False]]))  # fmt: skip
    assert grid.shape == (2, 1, 3, 4)
    assert is_word.sum((1, 2)).tolist() == [3, 1]


def test_the_vector_of_a_window_stands_at_every_token(model):
    found = states(model, window((0, [30, 31]), (1, [32])))
    assert found.shape == (1, 7, 256)
    torch.testing.assert_close(found, found[:, :1].expand_as(found))


def test_padding_and_other_rows_change_nothing(model):
    texts = [window((0, [30, 31, 32]), (1, [33]), (0, [34, 35])), window((0, [36])), [2, 40, 3]]
    together = states(model, *texts, width=30)
    for row, text in enumerate(texts):
        alone = states(model, text)
        torch.testing.assert_close(together[row, : len(text)], alone[0], rtol=0, atol=2e-6)
        assert not together[row, len(text) :].any()


def test_speakers_older_turns_and_their_order_are_read(model):
    base = window((0, [30]), (1, [31]), (0, [32]))
    others = [
        window((0, [30]), (0, [31]), (0, [32])),  # another speaker
        window((0, [30]), (1, [31]), (0, [33])),  # another oldest turn
        window((0, [30]), (0, [32]), (1, [31])),  # another order
        window((0, [30]), (1, [31])),  # a turn fewer
    ]
    found = states(model, base, *others)[:, 0]
    for other in found[1:]:
        assert (other - found[0]).abs().max() > 1e-3


def test_pooling_weights_sum_to_one_over_the_turns_that_are_there(model):
    turns = torch.randn(3, 4, 256)
    is_turn = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    weights = model.turns.pooling.weights(turns, is_turn)
    torch.testing.assert_close(weights.sum(1), torch.ones(3))
    assert not weights[~is_turn].any()
    assert weights[2, 0] == 1


def test_positions_are_sines_and_cosines():
    found = positions(3, 4)
    assert found[0].tolist() == [0, 1, 0, 1]
    torch.testing.assert_close(
        found[2, :2], torch.tensor([2.0]).sin().new_tensor([0.909297, -0.416147])
    )
    torch.testing.assert_close(
        found[2, 2:], torch.tensor([0.0199987, 0.9998]), rtol=1e-5, atol=1e-6
    )


def test_every_parameter_learns(model):
    """What is computed and thrown away has a gradient of zero."""
    model.train()
    found = model(
        input_ids=torch.tensor([window((0, [30, 31]), (1, [32]), (2, [33]))])
    ).last_hidden_state
    found[:, 0].pow(3).sum().backward()
    for name, parameter in model.named_parameters():
        if not name.endswith("key.bias"):  # softmax cancels it
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 1e-9, name
    model.zero_grad()
    model.eval()


def test_attention_knows_where_a_turn_stands(model, monkeypatch):
    text = window((0, [30]), (1, [31]), (0, [32]))
    placed = states(model, text)
    monkeypatch.setattr(
        dialogue, "positions", lambda count, size: torch.zeros_like(positions(count, size))
    )
    assert (states(model, text) - placed).abs().max() > 1e-3


def test_a_saved_one_gives_equal_states(model, tmp_path):
    model.save_pretrained(tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path).eval()
    assert isinstance(loaded, DialogueModel)
    text = window((0, [30, 31]), (1, [32]))
    assert torch.equal(states(loaded, text), states(model, text))
