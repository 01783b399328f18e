"""Two models on the same rows: is the difference real, and is it small enough?"""

import math
from typing import Any

import numpy as np
from scipy.stats import binomtest

from minnow import metrics
from minnow.metrics import Array, rounded
from minnow.resampling import interval

NON_INFERIOR, INFERIOR, INCONCLUSIVE = "non_inferior", "inferior", "inconclusive"


def verdict(low: float, high: float, margin: float) -> str:
    """Judge an interval of a difference, after − before: its whole lies above −margin, or below, or on both sides."""
    if low > -margin:
        return NON_INFERIOR
    return INFERIOR if high < -margin else INCONCLUSIVE


def rows_needed(difference: float, low: float, high: float, *, margin: float, rows: int) -> int | None:
    """Return the rows at which the interval would no longer hold −margin, if the difference stayed what it is.

    An interval narrows with the root of the rows. None where the difference is −margin itself: no number would do.
    """
    distance = difference + margin
    if distance == 0:
        return None
    reach = difference - low if distance > 0 else high - difference
    return math.ceil(rows * (reach / distance) ** 2)


def mcnemar(worse: int, better: int) -> float:
    """Return the two-sided exact p of so unequal counts of discordant rows, were either equally likely.

    McNemar 1947, in its exact form: a binomial test. It takes rows for independent.
    """
    return float(binomtest(better, worse + better).pvalue) if worse + better else 1.0


def flips(before: Array, after: Array, labels: Array) -> dict[str, int]:
    """Return how many predictions changed: `worse` from right to wrong, `better` from wrong to right."""
    changed = before != after
    better = int((changed & (after == labels)).sum())
    return {"changed": int(changed.sum()), "worse": int(changed.sum()) - better, "better": better}


def difference(before: float, after: float, resampled: Array) -> dict[str, float]:
    """Return after − before with its interval from paired resamples of that difference."""
    low, high = interval(resampled)
    return {"difference": rounded(after - before), "low": rounded(low), "high": rounded(high)}


def judged(before: float, after: float, resampled: Array, *, margin: float, rows: int) -> dict[str, Any]:
    """Return the verdict on a difference of f1 and, where it is open, the rows that would settle it."""
    low, high = interval(resampled)
    found = verdict(low, high, margin)
    open_ = found == INCONCLUSIVE
    return {
        "verdict": found,
        "better_than_before": low > 0,
        "rows_needed": rows_needed(after - before, low, high, margin=margin, rows=rows) if open_ else None,
    }


def changes(before: Array, after: Array, labels: Array, *, thresholds: tuple[float, float]) -> dict[str, Any]:
    """Return what changed row by row between two models' margins (rows,), each judged at its own threshold."""
    guesses = [metrics.predicted(margins, at) for margins, at in zip((before, after), thresholds, strict=True)]
    counts = flips(guesses[0], guesses[1], labels)
    return {
        **counts,
        "agreement": rounded(1 - counts["changed"] / len(labels)),
        "mcnemar_p": rounded(mcnemar(counts["worse"], counts["better"])),
        "mean_abs_dp": rounded(np.abs(metrics.probability(after) - metrics.probability(before)).mean()),
    }
