"""Tests of kd.evaluate_modules: the skin gives what kd.metrics gives, without network."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kd import metrics

CLASSES = ["none", "weak", "strong"]


@pytest.fixture
def modules(monkeypatch, tmp_path):
    """kd.evaluate_modules, imported late (evaluate takes seconds), where a socket is an error."""

    def refuse(*_, **__):
        raise AssertionError("a metric opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", tmp_path)
    from kd import evaluate_modules

    return evaluate_modules


@pytest.mark.parametrize("batch_rows", [1, 4, 30])
def test_classification_scores_in_any_batches_equal_those_of_all_rows(modules, batch_rows):
    gold, predicted = np.random.default_rng(0).integers(0, 3, (2, 30))
    metric = modules.ClassificationScores(keep_in_memory=True)
    for start in range(0, 30, batch_rows):
        rows = slice(start, start + batch_rows)
        metric.add_batch(predictions=predicted[rows], references=gold[rows])
    expected = metrics.classification_scores(gold, predicted, CLASSES)
    assert metric.compute(classes=CLASSES) == expected


def test_predictions_and_references_are_not_swapped(modules):
    scores = modules.ClassificationScores(keep_in_memory=True).compute(
        predictions=[0, 1], references=[0, 0], classes=["none", "some"]
    )
    assert scores["confusion"] == [[1, 1], [0, 0]]


def test_regression_scores_equal_those_of_kd_metrics(modules):
    gold, predicted = np.random.default_rng(0).random((2, 20))
    metric = modules.RegressionScores(keep_in_memory=True)
    scores = metric.compute(predictions=predicted, references=gold)
    assert scores == metrics.regression_scores(gold, predicted)


def test_rationale_scores_take_rows_of_any_length(modules):
    gold, predicted = [[True, False, False], [], [False]], [[True, True, False], [], [True]]
    metric = modules.RationaleScores(keep_in_memory=True)
    scores = metric.compute(predictions=predicted, references=gold)
    assert scores == metrics.rationale_scores(
        [np.array(row, dtype=bool) for row in gold],
        [np.array(row, dtype=bool) for row in predicted],
    )
    assert scores["iou_f1"] == pytest.approx((1 + 1 + 0) / 3)


def test_the_metrics_do_not_import_evaluate():
    """Every command would start five seconds later."""
    code = (
        "import sys, kd.metrics, kd.baselines, kd.sharma2020; sys.exit('evaluate' in sys.modules)"
    )
    root = Path(metrics.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
