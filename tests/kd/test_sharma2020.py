"""Tests of kd.sharma2020: each fault of the 2020 metric, shown on rows made by hand."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from data.cleaning import clean
from data.rationales import find_spans, token_labels
from data.readers.empathy_reddit import read_empathy_reddit
from kd.metrics import rationale_scores
from kd.sharma2020 import legacy_labels, legacy_rationale_scores

WIDTH = 64


def row(start, end):
    """(64,) with ones at start..end-1, counted from the first special token at position 0."""
    labels = np.zeros(WIDTH, dtype=np.int64)
    labels[start:end] = 1
    return labels


def scores_of(gold, predicted, length):
    return legacy_rationale_scores(gold[None], predicted[None], np.array([length]))


def test_a_row_without_rationale_is_labelled_one_up_to_the_final_special_token():
    rationale = np.stack([row(0, 0), row(0, 0), row(3, 5)])
    labels = legacy_labels(rationale, np.array([10, 10, 10]), np.array([False, True, True]))
    np.testing.assert_array_equal(labels, np.stack([row(1, 11), row(0, 0), row(3, 5)]))


@pytest.mark.parametrize(
    ("lost", "published"), [(256, 0.917), (443, 0.856), (86, 0.972)], ids=["ER", "IP", "EX"]
)
def test_the_oracle_loses_exactly_the_rows_whose_gold_is_empty(lost, published):
    """With the published counts of lost rationales, that gives the published oracle."""
    rows = 3084
    has_rationale = np.arange(rows) % 2 == 0
    rationale = np.zeros((rows, WIDTH), dtype=np.int64)
    rationale[:, 5:9] = 1
    rationale[np.flatnonzero(has_rationale)[:lost]] = 0
    lengths = np.resize([12, 40, 63], rows)
    gold = legacy_labels(rationale, lengths, has_rationale)
    scores = legacy_rationale_scores(gold, gold, lengths, batch_size=None)
    assert scores["iou_f1"] == pytest.approx((rows - lost) / rows)
    assert scores["token_f1"] == scores["iou_f1"] == pytest.approx(published, abs=5e-4)
    assert scores["token_accuracy"] == 1.0
    assert rationale_scores(gold == 1, gold == 1)["iou_f1"] == 1.0


@pytest.mark.parametrize(
    ("of_level_zero", "hit", "published"),
    [(2037, 0.306, 0.764), (1626, 0.521, 0.773), (2604, 0.327, 0.895)],
    ids=["ER", "IP", "EX"],
)
def test_all_tokens_score_every_row_of_level_zero_and_few_others(of_level_zero, hit, published):
    """With the levels of the 3,084 rows, and the shares of the others in which the rationale is at
    least half of the tokens: what a constant answer got is above every published model."""
    rows = 3084
    hits = of_level_zero + round(hit * (rows - of_level_zero))
    rationale = np.zeros((rows, WIDTH), dtype=np.int64)
    rationale[of_level_zero:hits, 1:13] = 1  # 12 of 20
    rationale[hits:, 5:9] = 1  # 4 of 20
    lengths, has_rationale = np.full(rows, 20), np.arange(rows) >= of_level_zero
    gold = legacy_labels(rationale, lengths, has_rationale)
    everything = legacy_labels(np.zeros_like(gold), lengths, np.zeros(rows, dtype=bool))
    scores = legacy_rationale_scores(gold, everything, lengths, batch_size=None)
    assert scores["iou_f1"] == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("mechanism", "oracle", "everything", "best_published"),
    [
        ("emotional-reactions", 0.952, 0.791, 0.648),
        ("interpretations", 0.986, 0.897, 0.605),
        ("explorations", 0.993, 0.920, 0.845),
    ],
)
def test_on_the_public_responses_all_tokens_beat_every_published_model(
    public_data, minilm, mechanism, oracle, everything, best_published
):
    """By the 2020 metric, on tokens labelled by characters: fewer rationales are lost than there,
    so that both the oracle and the constant answer stand above what 2020's labels give them."""
    path = public_data / "empathy-reddit" / f"{mechanism}-reddit.csv"
    records = list(read_empathy_reddit(path))
    texts = [clean(record.text).text for record in records]
    encoded = AutoTokenizer.from_pretrained(minilm)(
        texts, truncation=True, max_length=WIDTH, return_offsets_mapping=True
    )
    rationale = np.zeros((len(records), WIDTH), dtype=np.int64)
    lengths, has_rationale = [], []
    for place, offsets in enumerate(map(np.array, encoded["offset_mapping"])):
        parts = [clean(part).text for part in records[place].parts]
        labels = token_labels(find_spans(texts[place], parts)[0], offsets)
        rationale[place, : len(offsets)] = np.nan_to_num(labels)
        lengths.append(len(offsets) - 1)
        has_rationale.append(bool(parts))
    lengths = np.array(lengths)
    gold = legacy_labels(rationale, lengths, np.array(has_rationale))
    constant = legacy_labels(np.zeros_like(gold), lengths, np.zeros(len(gold), dtype=bool))
    found = [
        legacy_rationale_scores(gold, answer, lengths, batch_size=None)["iou_f1"]
        for answer in (gold, constant)
    ]
    assert found == pytest.approx([oracle, everything], abs=1e-3)
    assert found[1] > best_published


def test_a_perfect_final_span_of_one_token_scores_zero_where_the_row_is_full():
    final = row(63, 64)
    assert scores_of(final, final, length=63)["iou_f1"] == 0.0
    assert scores_of(final, final, length=63)["token_f1"] == 1.0
    assert scores_of(row(62, 64), row(62, 64), length=63)["iou_f1"] == 1.0


def test_a_perfect_final_span_of_one_token_scores_one_where_padding_follows():
    """The length of 2n - 1 puts padding behind it, so the span does not touch the end."""
    assert scores_of(row(10, 11), row(10, 11), length=10)["iou_f1"] == 1.0


def test_a_span_that_touches_the_end_loses_its_last_token():
    # Gold keeps 2 of its 3 tokens, so the IoU is 1/2, a hit, where it should be 1/3.
    assert scores_of(row(61, 64), row(61, 62), length=63)["iou_f1"] == 1.0


def test_padding_is_scored_up_to_twice_the_length_less_one():
    gold = row(1, 6)
    assert scores_of(gold, row(1, 10), length=5)["token_accuracy"] == pytest.approx(5 / 9)
    assert scores_of(gold, row(1, 10), length=5)["token_f1"] == pytest.approx(10 / 14)
    assert scores_of(gold, row(1, 64), length=5)["token_f1"] == pytest.approx(10 / 14)


def test_position_zero_is_not_scored():
    assert scores_of(row(1, 3), row(0, 3), length=10)["token_accuracy"] == 1.0


def test_the_mean_over_minibatches_differs_from_the_mean_over_rows():
    rows = 33
    gold, lengths = np.stack([row(2, 6)] * rows), np.full(rows, 20)
    predicted = gold.copy()
    predicted[-1] = 0
    by_batch = legacy_rationale_scores(gold, predicted, lengths)
    by_row = legacy_rationale_scores(gold, predicted, lengths, batch_size=None)
    assert by_batch["iou_f1"] == pytest.approx((1 + 0) / 2)
    assert by_row["iou_f1"] == pytest.approx(32 / 33)


def test_scores_without_rows_are_none():
    none = np.zeros((0, WIDTH), dtype=np.int64)
    scores = legacy_rationale_scores(none, none, np.array([], dtype=np.int64))
    assert scores == {"token_accuracy": None, "token_f1": None, "iou_f1": None}


def test_other_shapes_lengths_and_batch_sizes_are_errors():
    gold = np.stack([row(1, 3)] * 2)
    with pytest.raises(ValueError, match=r"predicted \(1, 64\)"):
        legacy_rationale_scores(gold, gold[:1], np.array([5, 5]))
    for length in (0, 64):
        with pytest.raises(ValueError, match=rf"length {length}: must be 1 to 63"):
            legacy_rationale_scores(gold, gold, np.array([5, length]))
    with pytest.raises(ValueError, match=r"batch_size 0"):
        legacy_rationale_scores(gold, gold, np.array([5, 5]), batch_size=0)
