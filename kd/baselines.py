"""Predict without a neural network: the constant and the linear answers a student has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge

# How scikit-learn says that no two texts share a word, that no text has one, that there is one.
TOO_FEW_WORDS = ("no terms remain", "empty vocabulary", "max_df corresponds")


def majority_predictions(train_gold: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """(rows,) copies of the most frequent class index of (train_rows,); the lowest wins a tie."""
    train_gold = _with_rows("majority_predictions", train_gold)
    return np.full(rows, np.bincount(train_gold).argmax(), dtype=np.int64)


def mean_values(train_gold: npt.NDArray[np.float64], rows: int) -> npt.NDArray[np.float64]:
    """(rows,) copies of the mean of (train_rows,), the constant of least squared error."""
    return np.full(rows, _with_rows("mean_values", train_gold).mean(), dtype=np.float64)


def tfidf_predictions(
    train_texts: Sequence[str],
    train_gold: npt.NDArray[np.int64],
    texts: Sequence[str],
    seed: int,
) -> npt.NDArray[np.int64]:
    """Class indices (len(texts),) from balanced logistic regression on TF-IDF word 1-2-grams.

    train_gold: (train_rows,) class indices. Falls back to the most frequent class where the train
    side has one class only, or no word. Raises ValueError without train rows.
    """
    train_gold = _with_rows("tfidf_predictions", train_gold)
    _check_texts("tfidf_predictions", train_texts, train_gold)
    vectorizer = _fitted_vectorizer(train_texts)
    if vectorizer is None or len(texts) == 0 or len(np.unique(train_gold)) == 1:
        return majority_predictions(train_gold, len(texts))
    model = LogisticRegression(class_weight="balanced", max_iter=2000, random_state=seed)
    model.fit(vectorizer.transform(train_texts), train_gold)
    return np.asarray(model.predict(vectorizer.transform(texts)), dtype=np.int64)


def tfidf_values(
    train_texts: Sequence[str],
    train_gold: npt.NDArray[np.float64],
    texts: Sequence[str],
    seed: int,
) -> npt.NDArray[np.float64]:
    """Values (len(texts),) from ridge regression on TF-IDF word 1-2-grams.

    train_gold: (train_rows,) values. Falls back to their mean where no train text has a word.
    Raises ValueError without train rows.
    """
    train_gold = _with_rows("tfidf_values", train_gold)
    _check_texts("tfidf_values", train_texts, train_gold)
    vectorizer = _fitted_vectorizer(train_texts)
    if vectorizer is None or len(texts) == 0:
        return mean_values(train_gold, len(texts))
    model = Ridge(random_state=seed).fit(vectorizer.transform(train_texts), train_gold)
    return np.asarray(model.predict(vectorizer.transform(texts)), dtype=np.float64)


def _fitted_vectorizer(train_texts: Sequence[str]) -> TfidfVectorizer | None:
    for min_df in (2, 1):
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=min_df)
        try:
            return vectorizer.fit(train_texts)
        except ValueError as error:
            if not any(reason in str(error) for reason in TOO_FEW_WORDS):
                raise
    return None


def _with_rows(where: str, train_gold: npt.NDArray[Any]) -> npt.NDArray[Any]:
    train_gold = np.asarray(train_gold)
    if train_gold.size == 0:
        raise ValueError(f"{where}: train_gold has 0 rows: a baseline needs at least one")
    return train_gold


def _check_texts(where: str, train_texts: Sequence[str], train_gold: npt.NDArray[Any]) -> None:
    if len(train_texts) != len(train_gold):
        raise ValueError(
            f"{where}: {len(train_texts)!r} train_texts for {len(train_gold)!r} of train_gold: "
            "give one for each"
        )
