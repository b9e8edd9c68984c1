"""Tests of kd.baselines: constant answers, separable texts and tiny train sides."""

import numpy as np
import pytest

from kd.baselines import majority_predictions, mean_values, tfidf_predictions, tfidf_values
from kd.metrics import classification_scores, regression_scores

SAD, GLAD = "i am so sad today", "i am so glad today"


def test_the_majority_is_the_most_frequent_class_for_every_row():
    predicted = majority_predictions(np.array([2, 0, 2, 1]), rows=3)
    np.testing.assert_array_equal(predicted, [2, 2, 2])
    assert predicted.dtype == np.int64


def test_the_lowest_class_wins_a_tie():
    np.testing.assert_array_equal(majority_predictions(np.array([2, 1, 1, 2]), rows=1), [1])


def test_no_other_constant_has_a_smaller_squared_error_than_the_mean():
    gold = np.array([0.0, 1.0, 5.0])
    constant = mean_values(gold, rows=3)
    np.testing.assert_allclose(constant, [2.0, 2.0, 2.0])
    best = regression_scores(gold, constant)["mse"]
    assert all(regression_scores(gold, constant + shift)["mse"] > best for shift in (-0.1, 0.1))


def test_tfidf_separates_classes_that_differ_in_one_word():
    texts, gold = [SAD, GLAD] * 5, np.array([0, 1] * 5)
    predicted = tfidf_predictions(texts, gold, ["sad and sad", "glad as can be"], seed=0)
    np.testing.assert_array_equal(predicted, [0, 1])
    assert predicted.dtype == np.int64


def test_tfidf_separates_classes_that_differ_in_word_order_only():
    """Single words alone can't tell these two texts apart."""
    first, second = "not good but bad", "not bad but good"
    predicted = tfidf_predictions(
        [first, second] * 3, np.array([0, 1] * 3), [first, second], seed=0
    )
    np.testing.assert_array_equal(predicted, [0, 1])


def test_tfidf_finds_a_rare_class():
    """Without balanced class weights the frequent class takes every row of a text of both."""
    texts, gold = ["day", "night"] * 20 + ["day sad", "night sad"] * 2, np.array([0] * 40 + [2] * 4)
    predicted = tfidf_predictions(texts + ["sad"] * 4, np.append(gold, [0, 0, 2, 2]), texts, seed=0)
    assert (
        classification_scores(gold, predicted, ["a", "b", "c"])["per_class"]["c"]["recall"] == 1.0
    )


def test_tfidf_keeps_the_class_index_when_a_lower_class_is_absent_from_train():
    predicted = tfidf_predictions([SAD, GLAD] * 2, np.array([1, 3] * 2), [SAD, GLAD], seed=0)
    np.testing.assert_array_equal(predicted, [1, 3])


def test_a_word_of_one_train_text_counts_only_where_no_word_is_shared():
    predicted = tfidf_predictions(["sad", "glad"], np.array([0, 1]), ["glad", "sad"], seed=0)
    np.testing.assert_array_equal(predicted, [1, 0])
    texts = ["common alpha", "common beta", "common", "common"]
    values = tfidf_values(texts, np.array([0.0, 4.0, 1.0, 1.0]), ["alpha", "beta"], seed=0)
    assert values[0] == values[1]


@pytest.mark.parametrize("train_texts", [[SAD, GLAD], ["", ""]])
def test_a_train_side_of_one_class_predicts_that_class(train_texts):
    predicted = tfidf_predictions(train_texts, np.array([1, 1]), [SAD, GLAD, ""], seed=0)
    np.testing.assert_array_equal(predicted, [1, 1, 1])


def test_train_texts_without_a_word_give_the_constant_answer():
    predicted = tfidf_predictions(["", "!", "?"], np.array([0, 1, 1]), [SAD], seed=0)
    np.testing.assert_array_equal(predicted, [1])
    values = tfidf_values(["", "!", "?"], np.array([0.0, 1.0, 5.0]), [SAD], seed=0)
    np.testing.assert_allclose(values, [2.0])


def test_the_same_seed_gives_the_same_predictions():
    texts, gold = [SAD, GLAD, "who knows"] * 4, np.array([0, 1, 2] * 4)
    for predict in (tfidf_predictions, tfidf_values):
        first, second = (predict(texts, gold, texts, seed=3) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_tfidf_values_rise_with_the_word_that_carries_them():
    values = tfidf_values(
        [SAD, GLAD] * 5, np.array([1.0, 5.0] * 5), [SAD, "so today", GLAD], seed=0
    )
    assert values[0] < values[1] < values[2]
    assert values.dtype == np.float64


def test_no_text_gives_no_prediction():
    assert tfidf_predictions([SAD, GLAD], np.array([0, 1]), [], seed=0).shape == (0,)
    assert tfidf_values([SAD, GLAD], np.array([0.0, 1.0]), [], seed=0).shape == (0,)


def test_no_train_row_is_an_error():
    none = np.array([], dtype=int)
    with pytest.raises(ValueError, match=r"majority_predictions: train_gold has 0 rows"):
        majority_predictions(none, rows=1)
    with pytest.raises(ValueError, match=r"mean_values: train_gold has 0 rows"):
        mean_values(none, rows=1)
    with pytest.raises(ValueError, match=r"tfidf_predictions: train_gold has 0 rows"):
        tfidf_predictions([], none, [SAD], seed=0)
    with pytest.raises(ValueError, match=r"tfidf_values: 1 train_texts for 2 of train_gold"):
        tfidf_values([SAD], np.array([0.0, 1.0]), [SAD], seed=0)
