"""Tests of kd.evaluation: scores of perfect and of constant answers, baselines, selection."""

import math

import numpy as np
import pytest
from datasets import Dataset

from data.encoding import EncodedTable
from data.ragged import Ragged
from data.tasks import TaskSpec
from kd import evaluation
from kd.evaluation import (
    baseline_scores,
    dev_scorer,
    known_rows,
    score,
    score_sharma2020,
    selection_score,
)
from kd.hardware import new_accelerator
from student.inference import Logits, compute_logits, inference_batches


@pytest.fixture
def perfect(table):
    """Logits that say what the gold says."""
    tokens = {name: np.where(gold > 0.5, 3.0, -3.0) for name, gold in table.gold_tokens.items()}
    return Logits({name: gold * 10 for name, gold in table.gold.items()}, tokens)


def test_perfect_class_logits_score_one(table, mood, perfect):
    scores = score(mood, table, perfect)
    assert (scores["accuracy"], scores["macro_f1"], scores["mcc"]) == (1.0, 1.0, 1.0)


def test_the_area_under_the_curve_is_that_of_the_chances(table, mood, rating, perfect):
    """Labels alone, thresholded at 1/2, would give another area."""
    perfect.labels[mood.name] = np.stack([np.zeros(24), -4.0 - np.arange(24) % 2], axis=1)
    assert score(mood, table, perfect)["accuracy"] == 0.5
    assert score(mood, table, perfect)["roc_auc"] == 0.0
    assert "roc_auc" not in score(rating, table, perfect)
    table.gold[mood.name][:] = [1.0, 0.0]
    assert score(mood, table, perfect)["roc_auc"] is None


def test_perfect_rationale_logits_score_one(table, reply, perfect):
    rationale = score(reply, table, perfect)["rationale"]
    for part in ("all", "level>0"):
        assert (rationale[part]["model"]["token_f1"], rationale[part]["model"]["iou_f1"]) == (1, 1)
    assert rationale["level>0"]["model"]["rows"] == 16
    assert rationale["all"]["model"]["rows"] == 24


def test_perfect_values_have_correlation_one_and_no_error(table, rating):
    logits = Logits({rating.name: table.gold[rating.name]}, {})
    scores = score(rating, table, logits)
    assert scores["pearson"] == pytest.approx(1.0)
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["mse"] == 0.0


def test_the_error_of_a_regression_is_on_the_tasks_own_scale(table, rating):
    logits = Logits({rating.name: table.gold[rating.name] + 0.5}, {})
    assert score(rating, table, logits)["mse"] == pytest.approx((0.5 * (7 - 1)) ** 2, rel=1e-5)


def test_rows_without_gold_do_not_count(table, mood, perfect):
    """A wrong answer there would lower the score, a count of them would raise it."""
    table.gold[mood.name][:20] = math.nan
    perfect.labels[mood.name][:20] = [9.0, -9.0]
    scores = score(mood, table, perfect)
    assert scores["accuracy"] == 1.0
    assert sum(row["support"] for row in scores["per_class"].values()) == 4


def test_a_row_whose_rationale_is_unknown_is_not_scored(table, reply, perfect):
    part = slice(table.texts.starts[1], table.texts.starts[2])
    table.gold_tokens[reply.name][part] = math.nan
    assert score(reply, table, perfect)["rationale"]["all"]["model"]["rows"] == 23


def test_known_rows_have_every_value_of_their_target():
    gold = np.array([[1, 0], [math.nan, 0], [math.nan, math.nan], [0, 1]], dtype=np.float32)
    assert known_rows(gold).tolist() == [0, 3]


@pytest.mark.parametrize("batch_rows", [1, 7, 64])
def test_scores_do_not_depend_on_the_batch_size(table, mood, reply, new_model, batch_rows):
    """A mean of the batches' scores would."""
    model = new_model(mood, reply)
    whole = compute_logits(model, table)
    parts = compute_logits(model, table, inference_batches(table, batch_rows=batch_rows))
    np.testing.assert_allclose(parts.labels[reply.name], whole.labels[reply.name], atol=1e-6)
    for spec in (mood, reply):
        assert score(spec, table, parts) == score(spec, table, whole)


def test_the_selection_score_is_the_mean_over_tasks_of_macro_f1_and_correlation(
    table, mood, reply, rating, perfect
):
    # All rows said to be of the first of two classes, half of them are: F1 2/3 and 0.
    perfect.labels[mood.name][:] = [9.0, -9.0]
    perfect.labels[rating.name][:] = -table.gold[rating.name]
    found = selection_score([mood, reply, rating], table, perfect)
    assert found == pytest.approx((1 / 3 + 1.0 - 1.0) / 3)


def test_a_constant_regression_counts_zero_in_the_selection(table, mood, rating, perfect):
    perfect.labels[rating.name][:] = 0.5
    assert selection_score([mood, rating], table, perfect) == pytest.approx(0.5)


def test_a_task_without_gold_is_left_out_of_the_selection(table, mood, reply, perfect):
    table.gold[reply.name][:] = math.nan
    assert selection_score([mood, reply], table, perfect) == 1.0
    table.gold[mood.name][:] = math.nan
    assert selection_score([mood, reply], table, perfect) == 0.0


def test_the_dev_scorer_scores_a_model_and_leaves_it_in_training_mode(table, mood, new_model):
    model = new_model(mood, dropout=0.5).train()
    scored = dev_scorer([mood], table, new_accelerator("fp32"))
    expected = selection_score([mood], table, compute_logits(model.eval(), table))
    assert scored(model.train()) == expected  # without dropout
    assert model.training


def test_the_2020_scores_of_perfect_rationales_are_one_where_each_row_has_one(
    table, reply, perfect
):
    first = table.texts.starts[:-1] + 1
    table.gold_tokens[reply.name][first] = 1.0
    perfect.tokens[reply.name][first] = 3.0
    scores = score_sharma2020(reply, table, perfect)
    assert (scores["token_accuracy"], scores["token_f1"], scores["iou_f1"]) == (1.0, 1.0, 1.0)


def test_the_2020_scores_stand_beside_those_of_the_answer_that_all_is_rationale(reply):
    """Rows without a rationale are all rationale in 2020, so that answer is right about them."""
    tokens = np.float32([math.nan, 1, 0, 0, math.nan, math.nan, 0, 0, math.nan])
    places = [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0], [0, 0], [0, 1], [1, 2], [0, 0]]
    table = EncodedTable(
        ids=("weak", "none"),
        texts=Ragged.of([[7] * 5, [7] * 4]),
        offsets=np.array(places, dtype=np.int32),
        contexts=Ragged.of([[7], [7]]),
        pad_id=0,
        gold={reply.name: np.float32([[0, 1, 0], [1, 0, 0]])},
        gold_tokens={reply.name: tokens},
    )
    silent = Logits(dict(table.gold), {reply.name: np.full(9, -1.0, dtype=np.float32)})
    scores = score_sharma2020(reply, table, silent)
    assert (scores["token_f1"], scores["iou_f1"]) == (0.0, 0.0)
    # The first row's three tokens and its final special one against one: 2 / (4 + 1).
    assert scores["all_tokens"]["token_f1"] == pytest.approx((0.4 + 1.0) / 2)
    assert scores["all_tokens"]["iou_f1"] == 0.5


def test_the_2020_scores_take_rows_longer_than_its_64_tokens(reply):
    length = 102
    tokens = np.zeros(length, dtype=np.float32)
    tokens[50:80], tokens[0], tokens[-1] = 1.0, math.nan, math.nan
    offsets = np.array([[0, 0], *([i, i + 1] for i in range(100)), [0, 0]], dtype=np.int32)
    table = EncodedTable(
        ids=("row",),
        texts=Ragged.of([[7] * length]),
        offsets=offsets,
        contexts=Ragged.of([[7]]),
        pad_id=0,
        gold={reply.name: np.float32([[0, 0, 1]])},
        gold_tokens={reply.name: tokens},
    )
    logits = Logits({reply.name: np.float32([[0, 0, 1]])}, {reply.name: tokens - 0.5})
    assert score_sharma2020(reply, table, logits)["token_f1"] == 1.0


def rows_of(spec, texts, gold):
    return Dataset.from_dict({"text": texts, f"gold/{spec.name}": gold})


def test_the_baselines_are_the_constant_answer_and_one_on_the_words():
    spec = TaskSpec("mood", classes=("sad", "glad"))
    sad, glad = [1.0, 0.0], [0.0, 1.0]
    train = rows_of(spec, ["so sad", "so glad", "very sad"] * 3, [sad, glad, sad] * 3)
    test = rows_of(spec, ["sad", "glad", "sad", "glad"], [sad, glad, sad, glad])
    scores = baseline_scores(spec, train, test, seed=0)
    assert scores.keys() == {"constant", "tfidf"}
    assert scores["constant"]["accuracy"] == 0.5
    assert scores["tfidf"]["accuracy"] == 1.0


def test_the_baselines_of_a_regression_answer_on_the_tasks_own_scale():
    spec = TaskSpec("rating", kind="regression", low=1.0, high=7.0)
    train = rows_of(spec, ["low", "high"] * 4, [[0.0], [1.0]] * 4)
    test = rows_of(spec, ["low", "high"], [[0.0], [1.0]])
    scores = baseline_scores(spec, train, test, seed=0)
    assert scores["constant"]["mse"] == pytest.approx(9.0)  # 4 for 1 and 7
    assert scores["constant"]["pearson"] is None
    assert scores["tfidf"]["pearson"] == pytest.approx(1.0)


def test_the_baselines_see_only_rows_with_gold():
    spec = TaskSpec("mood", classes=("sad", "glad"))
    unknown, glad = [math.nan, math.nan], [0.0, 1.0]
    train = rows_of(spec, ["a", "b", "glad", "glad"], [unknown, unknown, glad, glad])
    test = rows_of(spec, ["c", "glad"], [unknown, glad])
    scores = baseline_scores(spec, train, test, seed=0)
    for found in scores.values():
        assert (found["accuracy"], found["per_class"]["glad"]["support"]) == (1.0, 1)


def test_the_linear_baseline_learns_from_a_limited_number_of_rows(monkeypatch):
    """The constant answer sees all rows; without a limit pairs of words fill the memory."""
    spec = TaskSpec("mood", classes=("sad", "glad"))
    train = rows_of(spec, ["sad"] * 20 + ["glad"] * 10, [[1.0, 0.0]] * 20 + [[0.0, 1.0]] * 10)
    learnt = []

    def noted(texts, gold, asked, seed):
        learnt.append((list(texts), gold.tolist()))
        return np.zeros(len(asked), dtype=np.int64)

    monkeypatch.setattr(evaluation, "tfidf_predictions", noted)
    baseline_scores(spec, train, train, seed=0)
    monkeypatch.setattr(evaluation, "TFIDF_ROWS", 12)
    scores = baseline_scores(spec, train, train, seed=0)
    (all_texts, all_gold), (texts, gold) = learnt
    assert (all_texts, all_gold) == (list(train["text"]), [0] * 20 + [1] * 10)
    assert len(texts) == 12
    assert [("sad", "glad")[index] for index in gold] == texts
    assert scores["constant"]["accuracy"] == pytest.approx(20 / 30)


def test_a_single_train_row_has_baselines():
    spec = TaskSpec("mood", classes=("sad", "glad"))
    rows = rows_of(spec, ["so glad"], [[0.0, 1.0]])
    scores = baseline_scores(spec, rows, rows, seed=0)
    assert [found["accuracy"] for found in scores.values()] == [1.0, 1.0]
