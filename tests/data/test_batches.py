"""Tests of data.batches: padding, masks, unknown targets and their counts."""

import numpy as np
import pytest
import torch

from data.batches import collate, target_counts
from data.encoding import EncodedTable
from data.ragged import Ragged

NAN = np.nan


@pytest.fixture
def table():
    """Three rows of 4, 3 and 5 tokens; the first and last token of each is special."""
    level = np.array([[1, 0], [NAN, NAN], [0, 1]], dtype=np.float32)
    mood = np.array([[NAN], [0.25], [NAN]], dtype=np.float32)
    tokens = np.array([NAN, 1, 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN], dtype=np.float32)
    return EncodedTable(
        ids=("a", "b", "c"),
        texts=Ragged.of([[2, 11, 12, 3], [2, 21, 3], [2, 31, 32, 33, 3]]),
        offsets=np.zeros((12, 2), dtype=np.int32),
        contexts=Ragged.of([[2, 7, 3], [], [2, 3]]),
        pad_id=9,
        gold={"level": level, "mood": mood},
        gold_tokens={"level": tokens},
    )


@pytest.fixture
def table_with_soft(table):
    soft = np.array([[NAN, NAN], [0.6, 0.4], [0.1, 0.9]], dtype=np.float32)
    tokens = np.full(12, NAN, dtype=np.float32)
    tokens[[1, 5, 8]] = 0.5
    return table.with_soft({"level": soft}, {"level": tokens})


def test_texts_and_contexts_are_padded_to_the_longest_and_the_padding_is_masked(table):
    batch = collate(table, np.array([1, 0]))
    assert batch.input_ids.tolist() == [[2, 21, 3, 9], [2, 11, 12, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.context_ids.tolist() == [[9, 9, 9], [2, 7, 3]]
    assert batch.context_mask.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert batch.input_ids.dtype == batch.attention_mask.dtype == torch.int64


def test_lengths_are_those_of_the_masks_and_stand_on_the_host(table):
    batch = collate(table, np.array([1, 0, 2]))
    assert batch.text_lengths == batch.attention_mask.sum(-1).tolist() == [3, 4, 5]
    assert batch.context_lengths == batch.context_mask.sum(-1).tolist() == [0, 3, 2]


def test_a_batch_without_any_context_has_a_masked_column(table):
    batch = collate(table, np.array([1]))
    assert batch.context_mask.tolist() == [[0]]
    assert batch.context_ids.shape == (1, 1)


def test_token_targets_are_unknown_on_padding_and_special_tokens(table):
    """A 0 there would count [CLS] and padding as right answers."""
    batch = collate(table, np.array([1, 0, 2]))
    np.testing.assert_array_equal(
        batch.gold_tokens["level"].numpy(),
        [[NAN] * 5, [NAN, 1, 0, NAN, NAN], [NAN] * 5],
    )
    assert batch.gold_tokens["level"].shape == batch.input_ids.shape


def test_targets_follow_their_rows_and_unknown_ones_stay_nan(table):
    batch = collate(table, np.array([2, 1]))
    np.testing.assert_array_equal(batch.gold["level"].numpy(), [[0, 1], [NAN, NAN]])
    np.testing.assert_array_equal(batch.gold["mood"].numpy(), [[NAN], [0.25]])


def test_soft_targets_are_padded_like_gold_ones(table_with_soft):
    batch = collate(table_with_soft, np.array([1, 0]))
    np.testing.assert_allclose(batch.soft["level"].numpy(), [[0.6, 0.4], [NAN, NAN]])
    np.testing.assert_array_equal(
        batch.soft_tokens["level"].numpy(), [[NAN, 0.5, NAN, NAN], [NAN, 0.5, NAN, NAN]]
    )


def test_a_batch_of_no_rows_has_the_same_parts(table_with_soft):
    """A process with nothing to do in a step must still run its forward."""
    batch = collate(table_with_soft, np.array([], dtype=np.int64))
    assert batch.input_ids.shape == batch.gold_tokens["level"].shape == (0, 1)
    assert batch.gold["level"].shape == batch.soft["level"].shape == (0, 2)


def test_changing_a_batch_leaves_the_table_as_it_was(table):
    batch = collate(table, np.array([0, 2]))
    batch.gold["level"].fill_(7)
    batch.gold_tokens["level"].fill_(7)
    assert np.nanmax(table.gold["level"]) == np.nanmax(table.gold_tokens["level"]) == 1


def test_a_moved_batch_keeps_every_tensor(table_with_soft):
    batch = collate(table_with_soft, np.array([0, 1]))
    moved = batch.to(torch.device("meta"))
    assert moved.text_lengths == batch.text_lengths
    assert moved.context_lengths == batch.context_lengths
    for name, value in vars(batch).items():
        if isinstance(value, list):
            continue
        both = (value, getattr(moved, name))
        pairs = [both] if torch.is_tensor(value) else [(both[0][t], both[1][t]) for t in value]
        for before, after in pairs:
            assert after.device.type == "meta"
            assert after.shape == before.shape


def test_the_counts_of_gold_targets_by_hand(table):
    assert target_counts(table, np.array([0, 1, 2])) == {"level": (2, 2), "mood": (1, 0)}
    assert target_counts(table, np.array([1])) == {"level": (0, 0), "mood": (1, 0)}


def test_a_row_drawn_twice_counts_twice(table):
    assert target_counts(table, np.array([0, 0])) == {"level": (2, 4), "mood": (0, 0)}


def test_a_target_known_as_gold_and_soft_counts_once(table_with_soft):
    """Rows: gold 0 and 2, soft 1 and 2. Tokens: gold 1 and 2, soft 1, 5 and 8."""
    assert target_counts(table_with_soft, np.array([0, 1, 2]))["level"] == (3, 4)


def test_the_counts_equal_those_of_the_collated_batch():
    random = np.random.default_rng(0)
    lengths = random.integers(2, 9, 40)

    def some(shape):
        values = random.random(shape).astype(np.float32)
        values[random.random(shape[0]) < 0.5] = NAN
        return values

    tokens = int(lengths.sum())
    table = EncodedTable(
        ids=tuple(map(str, range(40))),
        texts=Ragged.of([[1] * length for length in lengths]),
        offsets=np.zeros((tokens, 2), dtype=np.int32),
        contexts=Ragged.of([[]] * 40),
        pad_id=0,
        gold={"a": some((40, 3)), "b": some((40, 1))},
        gold_tokens={"a": some((tokens,))},
        soft={"a": some((40, 3))},
        soft_tokens={"a": some((tokens,))},
    )
    for _ in range(10):
        rows = random.integers(0, 40, 13)
        batch = collate(table, rows)
        for task, counts in target_counts(table, rows).items():
            row_known = batch.gold[task].isfinite().all(-1)
            if task in batch.soft:
                row_known |= batch.soft[task].isfinite().all(-1)
            token_known = torch.zeros(1, dtype=torch.bool)
            if task in batch.gold_tokens:
                token_known = (
                    batch.gold_tokens[task].isfinite() | batch.soft_tokens[task].isfinite()
                )
            assert counts == (int(row_known.sum()), int(token_known.sum()))
