"""Two models on the same rows: is the difference real, and is it small enough?"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest, norm

from minnow.evaluation import metrics
from minnow.evaluation.bootstrap import CONFIDENCE, interval
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.records import Difference, Verdict

NON_INFERIOR: Verdict = "non_inferior"
INFERIOR: Verdict = "inferior"
INCONCLUSIVE: Verdict = "inconclusive"
# Below this many changed predictions the bootstrap alone does not decide.
FEW_FLIPS = 10


@dataclass(frozen=True)
class Flips:
    """How many predictions changed: `worse` from right to wrong, `better` from wrong to right."""

    changed: int
    worse: int
    better: int


@dataclass(frozen=True)
class Changes:
    """What changed row by row between two models; `mean_abs_dp` is of their probabilities."""

    flips: Flips
    agreement: float
    mcnemar_p: float
    mean_abs_dp: float


@dataclass(frozen=True)
class Ruling:
    """The verdict on a difference of f1, and the rows that would settle it where it is open."""

    verdict: Verdict
    better_than_before: bool
    rows_needed: int | None


def verdict(low: float, high: float, margin: float) -> Verdict:
    """Judge an interval of a difference, after − before: its whole lies above −margin, or below, or
    on both sides.
    """
    if low > -margin:
        return NON_INFERIOR
    return INFERIOR if high < -margin else INCONCLUSIVE


def rows_needed(
    difference: float, low: float, high: float, *, margin: float, rows: int
) -> int | None:
    """Return the rows at which, in four of five cases, the interval would no longer hold −margin.

    An interval narrows with the root of the rows; the difference is taken to stay what it is. None
    where that lies so near to −margin that no number of rows could be had.
    """
    distance = difference + margin
    if abs(distance) < margin / 100:
        return None
    reach = difference - low if distance > 0 else high - difference
    in_four_of_five = 1 + float(norm.ppf(0.8) / norm.ppf((1 + CONFIDENCE) / 2))
    return math.ceil(rows * (reach / distance * in_four_of_five) ** 2)


def unseen_loss(worse: int, *, rows: int, positives: int, f1: float) -> float:
    """Return the loss of F1 that so few flips for the worse leave possible, in [0, 1].

    Where hardly a row flips, the bootstrap knows hardly any flips and gives an interval of no
    width. The share of rows that flip may yet be as high as the exact binomial bound (Clopper &
    Pearson 1934). The costliest flip is a phishing row that is lost: (2 − F1) / (2 · positives) at
    F1 near its precision and recall.
    """
    share = binomtest(worse, rows).proportion_ci(CONFIDENCE, method="exact").high
    return float(share * rows * (2 - f1) / (2 * positives))


def mcnemar(worse: int, better: int) -> float:
    """Return the two-sided exact p of so unequal counts of discordant rows, were either equally
    likely.

    McNemar 1947, in its exact form: a binomial test. It takes rows for independent.
    """
    return float(binomtest(better, worse + better).pvalue) if worse + better else 1.0


def flips(before: Array, after: Array, labels: Array) -> Flips:
    """Count the flips between two models' predictions (rows,)."""
    changed = before != after
    better = int((changed & (after == labels)).sum())
    return Flips(int(changed.sum()), worse=int(changed.sum()) - better, better=better)


def difference(before: float, after: float, resampled: Array) -> Difference:
    """Return after − before with its interval from paired resamples of that difference."""
    low, high = interval(resampled)
    return Difference(rounded(after - before), rounded(low), rounded(high))


def ruling(
    before: float,
    after: float,
    resampled: Array,
    *,
    flipped: Flips,
    labels: Array,
    margin: float,
) -> Ruling:
    """Return the verdict on a difference of f1 and, where it is open, the rows that would settle
    it.

    `flipped` are the flips behind it: with few of them, non-inferior is only said where as many as
    chance may have kept out of sight would not pass the margin either.
    """
    low, high = interval(resampled)
    decided, rows = verdict(low, high, margin), len(labels)
    needed = (
        rows_needed(after - before, low, high, margin=margin, rows=rows)
        if decided == INCONCLUSIVE
        else None
    )
    if decided == NON_INFERIOR and flipped.changed < FEW_FLIPS:
        positives = int((labels == 1).sum())
        unseen = unseen_loss(flipped.worse, rows=rows, positives=positives, f1=before)
        if unseen > margin:
            decided, needed = INCONCLUSIVE, math.ceil(rows * unseen / margin)
    return Ruling(decided, better_than_before=low > 0, rows_needed=needed)


def changes(
    before: Array, after: Array, labels: Array, *, thresholds: tuple[float, float]
) -> Changes:
    """Return what changed row by row between two models' margins (rows,), each judged at its own
    threshold.
    """
    guesses = [
        metrics.predicted(margins, at)
        for margins, at in zip((before, after), thresholds, strict=True)
    ]
    counts = flips(guesses[0], guesses[1], labels)
    moved = np.abs(metrics.probability(after) - metrics.probability(before))
    return Changes(
        counts,
        agreement=rounded(1 - counts.changed / len(labels)),
        mcnemar_p=rounded(mcnemar(counts.worse, counts.better)),
        mean_abs_dp=rounded(moved.mean()),
    )
