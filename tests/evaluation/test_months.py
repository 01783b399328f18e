"""Month by month: values against scikit-learn's, and rows without a time."""

from datetime import datetime

import numpy as np
import polars as pl
from sklearn import metrics as sk

from minnow.evaluation.evidence import Outcome
from minnow.evaluation.months import by_month

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 300)
MONTHS = RANDOM.integers(1, 5, 300)
TEST = pl.DataFrame({"time": [datetime(2026, int(month), 9) for month in MONTHS]})


def outcome(threshold: float) -> Outcome:
    margins = RANDOM.normal(size=300) + LABELS
    return Outcome(margins, margins, threshold)


def test_each_month_has_scikit_learns_scores_at_each_models_threshold() -> None:
    models = {"teacher": outcome(0.3), "student": outcome(-0.2)}
    found = by_month(TEST, LABELS, models)
    assert [one.month for one in found] == ["2026-01", "2026-02", "2026-03", "2026-04"]
    for number, one in enumerate(found, start=1):
        here = number == MONTHS
        actual = LABELS[here]
        assert (one.rows, one.phishing) == (len(actual), actual.sum())
        for name, each in models.items():
            guesses = (each.test > each.threshold)[here]
            assert one.accuracy[name] == round(sk.accuracy_score(actual, guesses), 4)
            assert one.f1[name] == round(sk.f1_score(actual, guesses), 4)
            assert one.recall[name] == round(sk.recall_score(actual, guesses), 4)


def test_a_month_without_phishing_has_no_recall() -> None:
    (one,) = by_month(
        TEST.head(4).with_columns(time=TEST["time"][0]),
        np.zeros(4, int),
        {"student": Outcome(np.full(4, -1.0), np.array([-1.0, -1.0, -1.0, 2.0]), 0.0)},
    )
    assert (one.accuracy["student"], one.f1["student"], one.recall["student"]) == (0.75, 0.0, 0.0)


def test_without_times_there_is_nothing() -> None:
    assert by_month(TEST.drop("time"), LABELS, {"student": outcome(0.0)}) == ()
