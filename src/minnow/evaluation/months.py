"""What each model is worth month by month on test: phishing moves, and models fall behind."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from minnow.evaluation.metrics import Array, predicted, rounded
from minnow.evaluation.outcomes import Outcome
from minnow.evaluation.slice_records import MonthScores


def by_month(
    test: pl.DataFrame, labels: Array, outcomes: Mapping[str, Outcome]
) -> tuple[MonthScores, ...]:
    """Return the scores of each month that has test rows, the earliest first; none without a column
    `time`.

    `labels` are (rows,). Where a score is undefined, as recall without phishing, it is 0.
    """
    if "time" not in test.columns:
        return ()
    month = test["time"].dt.strftime("%Y-%m")
    guesses = {model: predicted(each.test, each.threshold) for model, each in outcomes.items()}
    return tuple(
        of_rows(name, np.asarray((month == name).to_numpy()), labels, guesses)
        for name in month.unique().sort()
    )


def of_rows(month: str, rows: Array, labels: Array, guesses: Mapping[str, Array]) -> MonthScores:
    """Return the scores on these rows, booleans (rows,), of guesses (rows,) of 0 and 1."""
    actual = labels[rows]
    here = {model: each[rows] for model, each in guesses.items()}
    hits = {model: int((each & actual).sum()) for model, each in here.items()}
    phishing = int(actual.sum())
    return MonthScores(
        month=month,
        rows=len(actual),
        phishing=phishing,
        accuracy={model: rounded(np.mean(each == actual)) for model, each in here.items()},
        f1={
            model: rounded(2 * hits[model] / max(int(each.sum()) + phishing, 1))
            for model, each in here.items()
        },
        recall={model: rounded(found / max(phishing, 1)) for model, found in hits.items()},
    )
