"""The margin above which a row is called phishing, chosen on validation.

A threshold is written with 4 decimals and used as written. Every rule looks at the cuts that such
thresholds can make between the margins of these rows, and takes the lowest that is good enough:
it finds the most phishing.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minnow.core.params import PrecisionParams, ThresholdParams
from minnow.errors import MinnowError

DECIMALS = 4
# The margin of probability 0.5.
EVEN = 0.0
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Cuts:
    """The cuts of some rows by rising threshold, (cuts,), from all rows above to one margin above.

    `found` is the phishing above a threshold and `alarms` the safe rows above it: numbers of rows,
    or sums of weights (..., cuts), of `phishing` and `safe` in all, (..., 1).
    """

    thresholds: Array
    found: Array
    alarms: Array
    phishing: Array
    safe: Array

    @classmethod
    def of(cls, margins: Array, labels: Array, weights: Array | None = None) -> "Cuts":
        """Return the cuts of margins (rows,); `weights` (..., rows) count rows otherwise than
        once.
        """
        values, group = np.unique(margins, return_inverse=True)
        counts = np.ones(len(margins)) if weights is None else np.asarray(weights, np.float64)
        found, alarms = (_above(counts * (labels == label), group, len(values)) for label in (1, 0))
        return cls.below(values, found, alarms)

    @classmethod
    def below(cls, values: Array, found: Array, alarms: Array) -> "Cuts":
        """Return the cuts below each of some rising margins `values` (margins,), from the phishing
        and the safe rows at each and above it, (..., margins).

        Between two neighbouring margins the threshold is their midpoint, rounded down, but not
        below the lower one. Where no number of 4 decimals lies there, no cut does.
        """
        lowest = _floor(values[:1]) - 10.0**-DECIMALS
        between = np.maximum(written(values[:-1]), _floor((values[:-1] + values[1:]) / 2))
        fits = np.concatenate([[True], between < values[1:]])
        return cls(
            np.concatenate([lowest, between])[fits],
            found[..., fits],
            alarms[..., fits],
            found[..., :1],
            alarms[..., :1],
        )

    @property
    def f1(self) -> Array:
        """F1 at each cut, 0 where it is undefined."""
        called = self.found + self.alarms + self.phishing
        return _ratio(2 * self.found, called)

    def precision(self, prevalence: float) -> Array:
        """Return the precision at each cut where `prevalence` of the rows are phishing: by Bayes'
        rule from the shares of phishing and of safe rows above it.
        """
        hits = prevalence * _ratio(self.found, self.phishing)
        alarms = (1 - prevalence) * _ratio(self.alarms, self.safe)
        return _ratio(hits, hits + alarms)

    def lowest(self, good: Array) -> Array:
        """Return the lowest threshold where `good` (..., cuts) is highest."""
        return np.asarray(self.thresholds[good.argmax(axis=-1)])


def written(thresholds: Array) -> Array:
    """Round thresholds up to DECIMALS, so that none lets more rows pass as written than it did
    before.
    """
    nearest = np.round(thresholds * 10**DECIMALS)
    low = nearest / 10**DECIMALS < thresholds  # 0.0012 · 10⁴ is a little more than 12
    return np.asarray((nearest + low) / 10**DECIMALS)


def threshold_at_fpr(margins: Array, labels: Array, fpr: float, *, least: int = 1) -> float | None:
    """Return the lowest margin, in steps of 0.0001, that at most the share `fpr` of the safe rows
    exceeds.

    The step lets a threshold be written down and used as written. None where that share is less
    than `least` rows.
    """
    safe = np.sort(margins[labels == 0])[::-1]
    allowed = allowed_false_positives(len(safe), fpr)
    return float(written(safe[allowed])) if least <= allowed < len(safe) else None


def allowed_false_positives(safe_rows: int, fpr: float) -> int:
    """Return how many of so many safe rows may be called phishing at this false-positive rate."""
    return math.floor(safe_rows * fpr + 1e-9)  # 300 · 0.01 is a little less than 3


def decision_threshold(margins: Array, labels: Array, rule: ThresholdParams) -> float:
    """Return the margin above which a row is called phishing, as `rule` takes it from these rows.

    A precision that no cut reaches gives the cut with the highest there is: `short_of` says so.

    Raises:
        MinnowError: there are too few safe rows for so small a rate of false alarms.
    """
    if rule.f1 or rule.precision is not None:
        return float(by_cuts(Cuts.of(margins, labels), rule.precision))
    if rule.fpr is None:
        return EVEN
    require_safe_rows(labels, rule.fpr)
    threshold = threshold_at_fpr(margins, labels, rule.fpr)
    assert threshold is not None, "there are enough safe rows"
    return threshold


def short_of(margins: Array, labels: Array, wanted: PrecisionParams) -> str | None:
    """Return which precision can be had where the wanted one cannot, as a sentence; else None."""
    best = float(Cuts.of(margins, labels).precision(wanted.prevalence).max())
    if best >= wanted.wanted:
        return None
    return (
        f"no threshold reaches the precision {wanted.wanted:g} on validation, where"
        f" {100 * wanted.prevalence:g} % of the URLs are phishing; the one with the best,"
        f" {best:.4f}, is used; lower evaluate.threshold.precision.wanted"
    )


def require_safe_rows(labels: Array, fpr: float) -> None:
    """Refuse a rate of false alarms that allows none of the safe rows, or all of them.

    Raises:
        MinnowError: it does; names the lowest rate that these rows can hold.
    """
    safe = int((labels == 0).sum())
    allowed = allowed_false_positives(safe, fpr)
    if 1 <= allowed < safe:
        return
    # One safe row must be left that is not accused.
    lowest = f"{np.ceil(1e4 / safe) / 1e4:g} or more, or " if safe > 1 else ""
    raise MinnowError(
        f"evaluate.threshold.fpr is {fpr} and validation has {safe} safe rows, of which that"
        f" allows {allowed}; set {lowest}null"
    )


def by_cuts(cuts: Cuts, wanted: PrecisionParams | None) -> Array:
    """Return the lowest threshold that reaches a wanted precision or, where none does, has the
    highest; without a wanted one, that with the best F1. Of weighted cuts, one for each weighting.
    """
    if wanted is None:
        return cuts.lowest(cuts.f1)
    return cuts.lowest(np.minimum(cuts.precision(wanted.prevalence), wanted.wanted))


def _floor(numbers: Array) -> Array:
    return 0.0 - written(-numbers)  # no −0


def _above(counts: Array, group: Array, groups: int) -> Array:
    """Return the sum of `counts` (..., rows) in each group and those above it, (..., groups)."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(groups))
    sums = np.add.reduceat(counts[..., order], starts, axis=-1)
    return np.asarray(sums[..., ::-1].cumsum(axis=-1)[..., ::-1])


def _ratio(part: Array, whole: Array) -> Array:
    """Return part / whole, 0 where the whole is 0."""
    zeros = np.zeros(np.broadcast(part, whole).shape)
    return np.asarray(np.divide(part, whole, out=zeros, where=whole > 0))
