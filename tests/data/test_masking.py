"""Tests of data.masking: which pieces a step hides, and what stands in their place."""

import numpy as np
import pytest

from data.masking import Masking, chosen_of, mask_rows, new_masking, pieces_of
from data.text_encoding import encode_texts
from student.encoders import load_tokenizer

PIECES = np.ones(1000, dtype=bool)
PIECES[:5] = False


def masking_of(share=0.15, seed=0):
    return Masking(share, mask_id=4, is_piece=PIECES, seed=seed)


@pytest.mark.parametrize(
    ("pieces", "share", "chosen"), [(0, 0.15, 0), (1, 0.15, 1), (9, 0.15, 1), (20, 0.15, 3)]
)
def test_a_share_of_the_pieces_is_chosen_and_of_a_short_text_one(pieces, share, chosen):
    assert chosen_of(pieces, share) == chosen


def test_special_tokens_are_neither_chosen_nor_put_in_the_place_of_a_piece():
    ids = np.array([2, *range(100, 120), 3])
    for step in range(200):
        changed, chosen = masking_of(0.9).hidden(ids, row=0, step=step)
        assert len(chosen) == 18
        assert chosen.min() >= 1
        assert chosen.max() <= 20
        assert np.all(PIECES[changed[chosen]] | (changed[chosen] == 4))
        untouched = np.setdiff1d(np.arange(len(ids)), chosen)
        assert changed[untouched].tolist() == ids[untouched].tolist()


def test_eight_in_ten_become_the_mask_one_another_piece_and_one_stays():
    """Devlin et al. 2019; of 30,000 draws a share is within 0.01 of its chance."""
    ids = np.full(200, 500)
    found = np.concatenate(
        [
            changed[chosen]
            for step in range(1000)
            for changed, chosen in [masking_of().hidden(ids, row=0, step=step)]
        ]
    )
    assert len(found) == 30_000
    assert np.mean(found == 4) == pytest.approx(0.8, abs=0.01)
    assert np.mean(found == 500) == pytest.approx(0.1, abs=0.01)
    others = found[(found != 4) & (found != 500)]
    # All over the vocabulary, not from a corner of it.
    assert others.min() < 20
    assert others.max() > 980


def test_masks_follow_from_the_seed_the_step_and_the_row_alone():
    ids = np.arange(100, 164)

    def places(seed=0, row=3, step=7):
        return tuple(masking_of(seed=seed).hidden(ids, row=row, step=step)[1].tolist())

    assert places() == places()
    assert len({places(), places(seed=1), places(row=4), places(step=8)}) == 4


@pytest.fixture
def tokenizer(tiny_encoder):
    return load_tokenizer(str(tiny_encoder))


@pytest.fixture
def table(tokenizer):
    texts = ["i feel so happy for you", "sorry", "help me please, this is hard", ""]
    return encode_texts(texts, [""] * 4, tokenizer, max_tokens=24)


def test_a_row_is_hidden_alike_whatever_rows_stand_beside_it(table, tokenizer):
    """Else processes and micro-steps would not walk one path."""
    masking = new_masking(tokenizer, share=0.5, seed=0)
    whole = mask_rows(table, np.array([0, 1, 2]), 5, masking)
    for row in range(3):
        alone = mask_rows(table, np.array([row]), 5, masking)
        length = alone.lengths[0]
        assert alone.input_ids[0].tolist() == whole.input_ids[row, :length].tolist()
    parts = [mask_rows(table, np.array([row]), 5, masking).words for row in range(3)]
    assert [w for part in parts for w in part.tolist()] == whole.words.tolist()


def test_the_words_are_what_stood_at_the_places(table, tokenizer):
    masking = new_masking(tokenizer, share=0.5, seed=0)
    batch = mask_rows(table, np.array([2, 0]), 1, masking)
    width = batch.input_ids.shape[1]
    for place, word in zip(batch.places.tolist(), batch.words.tolist(), strict=True):
        row = (2, 0)[place // width]
        assert table.texts.row(row)[place % width] == word
    counts = [chosen_of(int(number), 0.5) for number in pieces_of(table, masking)[[2, 0]]]
    assert len(batch.words) == sum(counts)


def test_pieces_are_counted_without_special_tokens(table, tokenizer):
    masking = new_masking(tokenizer, share=0.5, seed=0)
    assert pieces_of(table, masking).tolist() == (table.texts.lengths - 2).tolist()
    assert pieces_of(table, masking)[3] == 0


def test_a_tokenizer_without_a_mask_is_refused(tokenizer):
    tokenizer.mask_token = None
    with pytest.raises(ValueError, match="no mask token"):
        new_masking(tokenizer, share=0.15, seed=0)
