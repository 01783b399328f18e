"""The n-gram baseline: what it reaches on the synthetic rows, and that it is the same every time."""

from functools import cache

import numpy as np
import polars as pl
from sklearn.pipeline import Pipeline

from minnow import baseline, metrics
from minnow.data import prepare
from minnow.sources import load_synthetic


@cache
def splits() -> dict[str, pl.DataFrame]:
    source = load_synthetic(4_000, seed=0, label_noise=0.02)
    return prepare(source, move_scheme=True, method="domain", seed=0, validation=0.1, test=0.3).splits


def fitted() -> Pipeline:
    train = splits()["train"]
    return baseline.fit_baseline(train["text"].to_list(), train["label"].to_list())


def test_reaches_what_ngrams_should_on_unseen_domains() -> None:
    test = splits()["test"]
    logits = baseline.baseline_logits(fitted(), test["text"].to_list())
    reached = metrics.classification(logits, test["label"].to_numpy())
    assert 0.82 < reached["accuracy"] < 0.97
    assert reached["roc_auc"] > 0.88


def test_two_fits_give_the_same_logits() -> None:
    texts = splits()["test"]["text"].to_list()
    first, second = (baseline.baseline_logits(fitted(), texts) for _ in range(2))
    assert np.array_equal(first, second)


def test_logits_are_the_regressions_own_probabilities_and_predictions() -> None:
    pipeline, texts = fitted(), splits()["validation"]["text"].to_list()
    logits = baseline.baseline_logits(pipeline, texts)
    assert logits.shape == (len(texts), 2)
    assert np.allclose(1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), pipeline.predict_proba(texts)[:, 1])
    assert np.array_equal(logits.argmax(axis=1), pipeline.predict(texts))


def test_size_counts_ngrams_and_numbers() -> None:
    # Of "ab" twice and "ba" twice, a, b, ab and ba stand in two texts each: 4 idf, 4 coefficients, 1 intercept.
    pipeline = baseline.fit_baseline(["ab", "ab", "ba", "ba"], [0, 0, 1, 1])
    assert sorted(pipeline[0].vocabulary_) == ["a", "ab", "b", "ba"]
    assert baseline.parameters(pipeline) == 9
    assert baseline.size_bytes(pipeline) == (2 + 3 + 2 + 3) + 9 * 4
