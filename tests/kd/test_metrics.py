"""Tests of kd.metrics: properties, scikit-learn's numbers and numbers computed by hand."""

import json
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, matthews_corrcoef, roc_auc_score

from kd.metrics import (
    classification_scores,
    iou_f1_of_spans,
    rationale_report,
    rationale_scores,
    regression_scores,
    roc_auc,
    true_spans,
)

LEVELS = ["none", "weak", "strong"]


def mask(text):
    return np.array([letter == "x" for letter in text], dtype=bool)


def random_indices(rows, classes, seed):
    return np.random.default_rng(seed).integers(0, classes, rows)


def test_classification_scores_equal_numbers_computed_by_hand():
    scores = classification_scores(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["no", "yes"])
    assert scores["confusion"] == [[2, 1], [0, 1]]
    assert scores["per_class"]["no"] == pytest.approx(
        {"precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3}
    )
    assert scores["positive"] == pytest.approx({"precision": 0.5, "recall": 1.0, "f1": 2 / 3})
    assert scores["accuracy"] == scores["micro_f1"] == 0.75
    assert scores["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores["weighted_f1"] == pytest.approx((3 * 0.8 + 2 / 3) / 4)
    assert scores["mcc"] == pytest.approx(2 / math.sqrt(3 * 1 * 2 * 2))


@pytest.mark.parametrize("parts", [1, 2, 7, 60])
def test_classification_scores_equal_sklearn_at_any_batch_partition(parts):
    gold, predicted = random_indices(60, 3, seed=1), random_indices(60, 3, seed=2)
    scores = classification_scores(
        np.concatenate(np.array_split(gold, parts)),
        np.concatenate(np.array_split(predicted, parts)),
        LEVELS,
    )
    for average in ("macro", "micro", "weighted"):
        expected = f1_score(gold, predicted, average=average)
        assert scores[f"{average}_f1"] == pytest.approx(expected)
    assert scores["mcc"] == pytest.approx(matthews_corrcoef(gold, predicted))


def test_weighted_f1_weighs_by_gold_not_by_predictions():
    """scikit-learn called with its two arguments swapped gives another number."""
    gold, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    weighted = classification_scores(gold, predicted, ["no", "yes"])["weighted_f1"]
    assert weighted == pytest.approx(f1_score(gold, predicted, average="weighted"))
    assert weighted != pytest.approx(f1_score(predicted, gold, average="weighted"))


def test_the_scores_follow_from_the_confusion_matrix():
    scores = classification_scores(random_indices(90, 3, 3), random_indices(90, 3, 4), LEVELS)
    confusion = np.array(scores["confusion"])
    assert scores["accuracy"] == pytest.approx(np.trace(confusion) / 90)
    for index, name in enumerate(LEVELS):
        of_class = scores["per_class"][name]
        precision, recall = of_class["precision"], of_class["recall"]
        assert confusion[index].sum() == of_class["support"]
        assert precision == pytest.approx(confusion[index, index] / confusion[:, index].sum())
        assert recall == pytest.approx(confusion[index, index] / confusion[index].sum())
        assert of_class["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_a_class_absent_from_both_sides_counts_zero_in_macro_f1():
    """Averaged over the classes present, a split without the rare class would look better."""
    scores = classification_scores(np.array([0, 1]), np.array([0, 1]), LEVELS)
    assert scores["macro_f1"] == pytest.approx(2 / 3)
    assert scores["per_class"]["strong"]["support"] == 0


def test_a_split_with_a_single_class_has_scores():
    scores = classification_scores(np.zeros(4, int), np.zeros(4, int), ["no", "yes"])
    assert (scores["accuracy"], scores["macro_f1"], scores["mcc"]) == (1.0, 0.5, 0.0)
    assert scores["confusion"] == [[4, 0], [0, 0]]


def test_a_constant_prediction_has_matthews_correlation_zero():
    assert classification_scores(np.array([0, 1]), np.array([1, 1]), ["no", "yes"])["mcc"] == 0.0


def test_only_a_two_class_task_has_a_positive_class():
    assert "positive" not in classification_scores(np.array([0]), np.array([0]), LEVELS)


def test_scores_without_rows_are_none():
    none = np.array([], dtype=int)
    scores = classification_scores(none, none, ["no", "yes"])
    assert (
        scores["accuracy"] is scores["macro_f1"] is scores["weighted_f1"] is scores["mcc"] is None
    )
    assert scores["confusion"] == [[0, 0], [0, 0]]
    assert scores.keys() == classification_scores(np.array([0]), np.array([1]), ["a", "b"]).keys()


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_every_result_is_strict_json(rows):
    indices, masks = np.zeros(rows, dtype=int), [mask("x.")] * rows
    results = [
        classification_scores(indices, indices, LEVELS),
        regression_scores(np.ones(rows), np.arange(rows)),
        rationale_report(masks, masks, indices == 1),
    ]
    assert json.loads(json.dumps(results, allow_nan=False)) == results


@pytest.mark.parametrize("stray", [-1, 3])
def test_an_index_that_is_no_class_is_an_error(stray):
    """A confusion matrix would drop the row in silence."""
    with pytest.raises(ValueError, match=r"predicted holds .*use 0 to 2"):
        classification_scores(np.array([0]), np.array([stray]), LEVELS)


def test_sides_of_unequal_length_are_an_error():
    with pytest.raises(ValueError, match=r"gold has shape \(2,\) and predicted \(1,\)"):
        classification_scores(np.array([0, 1]), np.array([0]), LEVELS)
    with pytest.raises(ValueError, match=r"gold has shape \(2,\) and predicted \(1,\)"):
        regression_scores(np.array([0.0, 1.0]), np.array([0.0]))
    with pytest.raises(ValueError, match=r"1 predicted rows for 2 in gold"):
        rationale_scores([mask("x"), mask("x")], [mask("x")])
    with pytest.raises(ValueError, match=r"row 1: 3 predicted tokens for 2 in gold"):
        rationale_scores([mask("x"), mask("x.")], [mask("x"), mask("x..")])
    with pytest.raises(ValueError, match=r"1 rows of has_level for 2 in gold"):
        rationale_report([mask("x")] * 2, [mask("x")] * 2, np.array([True]))


def test_the_positive_f1_is_the_harmonic_mean_of_its_precision_and_recall():
    """Printed tables of others break it."""
    for seed in range(5):
        gold, predicted = random_indices(40, 2, seed), random_indices(40, 2, seed + 50)
        found = classification_scores(gold, predicted, ["no", "yes"])["positive"]
        precision, recall = found["precision"], found["recall"]
        assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))


def test_the_area_under_the_curve_equals_a_count_of_pairs_by_hand():
    # Positives at 0.3 and 0.8, negatives at 0.2, 0.3, 0.9: they win 1 and 2 of 3 and tie once.
    gold, positive = np.array([0, 1, 0, 1, 0]), np.array([0.2, 0.3, 0.3, 0.8, 0.9])
    found = roc_auc(gold, np.stack([1 - positive, positive], axis=1))
    assert found == pytest.approx((1 + 0.5 + 2) / 6)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_area_under_the_curve_equals_that_of_scikit_learn(classes):
    gold = random_indices(60, classes, seed=1)
    chances = np.random.default_rng(2).dirichlet(np.ones(classes), 60)
    expected = roc_auc_score(gold, chances[:, 1] if classes == 2 else chances, multi_class="ovr")
    assert roc_auc(gold, chances) == pytest.approx(expected)


def test_a_split_without_a_second_class_has_no_area_under_the_curve():
    for gold in (np.zeros(3, dtype=int), np.zeros(0, dtype=int)):
        assert roc_auc(gold, np.full((len(gold), 2), 0.5)) is None
    # One class of three is missing: the mean is over the two that can be ranked.
    chances = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    assert roc_auc(np.array([0, 1, 0]), chances) == 1.0
    assert roc_auc(np.array([0, 1]), np.full((2, 2), math.nan)) is None
    with pytest.raises(ValueError, match=r"1 rows of chances for 2 in gold"):
        roc_auc(np.array([0, 1]), np.full((1, 2), 0.5))


def test_regression_scores_equal_numbers_computed_by_hand():
    scores = regression_scores(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.0, 3.0]))
    assert scores == pytest.approx(
        {"pearson": 3 / math.sqrt(2 * 6), "spearman": 1.5 / math.sqrt(2 * 1.5), "mse": 2 / 3}
    )


def test_values_in_gold_order_have_spearman_one_and_a_smaller_pearson():
    scores = regression_scores(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 30.0]))
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["pearson"] < 0.95


@pytest.mark.parametrize("noise", [0.0, 1e-14])
def test_a_constant_side_has_no_correlation_but_an_error(noise):
    constant = np.full(3, 2.0) + np.array([0.0, noise, 0.0])
    for sides in ((constant, np.arange(3.0)), (np.arange(3.0), constant)):
        scores = regression_scores(*sides)
        assert scores["pearson"] is None
        assert scores["mse"] == pytest.approx(5 / 3)
    if noise == 0.0:
        assert scores["spearman"] is None


def test_a_value_that_is_not_finite_leaves_no_score():
    for value in (math.nan, math.inf):
        scores = regression_scores(np.array([0.0, 1.0]), np.array([0.0, value]))
        assert scores == {"pearson": None, "spearman": None, "mse": None}


@pytest.mark.parametrize("text", ["", ".", "x", "...x", "x...", "xx.xx", "xxxx", "...."])
def test_the_oracle_scores_one(text):
    """A perfect one-token final span and a row without rationale scored 0 in the 2020 metric."""
    scores = rationale_scores([mask(text)], [mask(text)])
    assert scores == {"token_f1": 1.0, "iou_f1": 1.0, "rows": 1}


@pytest.mark.parametrize(("gold", "predicted"), [("....", ".xx."), (".xx.", "....")])
def test_one_empty_side_scores_zero(gold, predicted):
    scores = rationale_scores([mask(gold)], [mask(predicted)])
    assert (scores["token_f1"], scores["iou_f1"]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("gold", "predicted", "token_f1", "iou_f1"),
    [
        ("xx..", "x...", 2 / 3, 1.0),  # IoU exactly 0.5 is a hit
        ("xxx.", "x...", 0.5, 0.0),  # IoU 1/3 is not
        ("xx.xx", "xx...", 2 / 3, 2 / 3),  # P 1, R 1/2
        ("xx.xx", "xxxxx", 8 / 9, 0.0),  # one span covers two: IoU 2/5 with each
        ("xx..", "xx.x", 0.8, 2 / 3),  # P 1/2, R 1
    ],
)
def test_rationale_scores_equal_numbers_computed_by_hand(gold, predicted, token_f1, iou_f1):
    scores = rationale_scores([mask(gold)], [mask(predicted)])
    assert scores["token_f1"] == pytest.approx(token_f1)
    assert scores["iou_f1"] == pytest.approx(iou_f1)


def test_rationale_scores_are_the_mean_over_rows_whatever_their_length():
    gold, predicted = (
        [mask("x."), mask("xx.xx"), mask("...")],
        [mask(".x"), mask("xx..."), mask("...")],
    )
    scores = rationale_scores(gold, predicted)
    assert scores["rows"] == 3
    assert scores["token_f1"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert scores["iou_f1"] == pytest.approx((0 + 2 / 3 + 1) / 3)


def test_token_f1_equals_sklearn_on_rows_with_a_rationale_on_a_side():
    random = np.random.default_rng(0)
    for _ in range(20):
        gold, predicted = random.random((2, 12)) < 0.4
        gold[0] = True
        expected = f1_score(gold, predicted)
        assert rationale_scores([gold], [predicted])["token_f1"] == pytest.approx(expected)


def test_true_spans_are_the_maximal_runs_of_true():
    assert true_spans(mask("xx.x..xxx")) == [(0, 2), (3, 4), (6, 9)]
    assert true_spans(mask("")) == true_spans(mask("...")) == []


def test_iou_f1_never_exceeds_one_and_does_not_depend_on_which_side_is_gold():
    """A hit counted twice, for precision and for recall, would show here."""
    masks = [true_spans(mask(f"{bits:07b}".replace("1", "x"))) for bits in range(2**7)]
    for gold in masks:
        for predicted in masks:
            score = iou_f1_of_spans(gold, predicted, both_empty=1.0)
            assert 0.0 <= score <= 1.0
            assert score == iou_f1_of_spans(predicted, gold, both_empty=1.0)
            assert (score == 1.0) or gold != predicted


def test_the_report_holds_the_constant_answers_beside_the_model():
    gold, predicted = [mask("...."), mask("xx..")], [mask("x..."), mask("xx..")]
    report = rationale_report(gold, predicted, np.array([False, True]))
    assert report["level>0"] == {
        "model": {"token_f1": 1.0, "iou_f1": 1.0, "rows": 1},
        "all_tokens": {"token_f1": pytest.approx(2 / 3), "iou_f1": 1.0, "rows": 1},
        "no_token": {"token_f1": 0.0, "iou_f1": 0.0, "rows": 1},
    }
    assert report["all"]["model"] == {"token_f1": 0.5, "iou_f1": 0.5, "rows": 2}
    assert report["all"]["no_token"] == {"token_f1": 0.5, "iou_f1": 0.5, "rows": 2}
    assert report["all"]["all_tokens"]["token_f1"] == pytest.approx(1 / 3)


def test_a_split_without_a_level_above_zero_has_no_score_there():
    report = rationale_report([mask("..")], [mask("..")], np.array([False]))
    for scores in report["level>0"].values():
        assert scores == {"token_f1": None, "iou_f1": None, "rows": 0}
    assert report["all"]["model"]["iou_f1"] == 1.0
