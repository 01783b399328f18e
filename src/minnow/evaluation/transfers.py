"""Does a threshold that validation set hold on a further test set?"""

from collections.abc import Mapping
from math import hypot

from minnow.evaluation.outcomes import Outcome
from minnow.evaluation.records import (
    OPERATING_POINTS,
    Estimate,
    Estimates,
    OperatingPoint,
    Transfer,
)


def transfers(
    outcomes: Mapping[str, Outcome], test: Mapping[str, Estimates], there: Mapping[str, Estimates]
) -> dict[str, dict[str, Transfer]]:
    """Return by model and threshold what the threshold does on a further set, whose estimates are
    `there`; without those that validation has too few safe rows for.
    """
    return {
        name: {
            "decision": transfer(outcome.rule.fpr, test[name].fpr, there[name].fpr),
            **at_operating_points(test[name], there[name]),
        }
        for name, outcome in outcomes.items()
    }


def at_operating_points(test: Estimates, there: Estimates) -> dict[str, Transfer]:
    """Return what the thresholds for low false-positive rates do on a further set."""
    found = {}
    for name, wanted in OPERATING_POINTS.items():
        one, other = getattr(test, name), getattr(there, name)
        if isinstance(one, OperatingPoint) and isinstance(other, OperatingPoint):
            found[name] = transfer(wanted, one.test_fpr, other.test_fpr)
    return found


def transfer(wanted: float | None, test: Estimate, there: Estimate) -> Transfer:
    """Return a threshold's false-positive rates, and whether that on the further set is shown to be
    higher than wanted, or than on test where none was wanted.
    """
    exceeds = there.low > wanted if wanted is not None else rise_at_least(test, there) > 0
    return Transfer(wanted, test, there, exceeds)


def rise_at_least(test: Estimate, there: Estimate) -> float:
    """Return the lower bound of there − test, estimates of two independent samples, from their own
    intervals (Zou & Donner 2008, Statistics in Medicine 27(10)).
    """
    return there.value - test.value - hypot(there.value - there.low, test.high - test.value)
