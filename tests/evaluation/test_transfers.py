"""Does a threshold of validation hold on a further set: hand-worked figures, and a simulation."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.evaluation import evidence, transfers
from minnow.evaluation.evidence import Assessment
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.records import Estimate, OperatingPoint
from minnow.evaluation.units import JudgedRows, Units

METHOD = Method(margin=0.02, resamples=1000, seed=0)


def around(value: float, half: float) -> Estimate:
    return Estimate(value, value - half, value + half)


def test_the_rise_is_bounded_by_both_intervals() -> None:
    """There − test is 0.10; the lower half is √(0.03² + 0.04²) = 0.05."""
    least = transfers.rise_at_least(around(0.1, 0.04), around(0.2, 0.03))
    assert least == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("wanted", "test", "there", "exceeds"),
    [
        (0.01, around(0.01, 0.005), around(0.05, 0.02), True),
        (0.01, around(0.01, 0.005), around(0.03, 0.02), False),  # its interval begins at 0.01
        (0.01, around(0.05, 0.005), around(0.04, 0.02), True),  # test does not matter
        (None, around(0.1, 0.04), around(0.2, 0.03), True),
        (None, around(0.1, 0.04), around(0.14, 0.03), False),
        (None, around(0.2, 0.01), around(0.1, 0.01), False),
        (None, around(0.1, 0.04), Estimate(0.9, 0.0, 1.0), False),  # no interval can be had
        (0.01, around(0.1, 0.04), Estimate(0.9, 0.0, 1.0), False),
    ],
)
def test_a_threshold_fails_where_the_whole_interval_lies_above(
    wanted: float | None, test: Estimate, there: Estimate, exceeds: bool
) -> None:
    found = transfers.transfer(wanted, test, there)
    assert (found.wanted, found.test_fpr, found.fpr) == (wanted, test, there)
    assert found.exceeds is exceeds


def rows_of(labels: Any) -> JudgedRows:
    return JudgedRows(labels, Units.rows(len(labels)))


def assessed(outcome: Outcome, validation: Any, test: Any) -> Assessment:
    return evidence.assess(
        {"quantized": outcome},
        validation=rows_of(validation),
        test=rows_of(test),
        hops=[],
        method=METHOD,
    )


@pytest.mark.parametrize("rule", [EVEN_ODDS, ThresholdParams(fpr=0.05, f1=False, precision=None)])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_safe_rows_that_look_like_phishing_break_thresholds_and_others_do_not(
    rule: ThresholdParams, shift: float
) -> None:
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1], 900)
    validation, test, there = (random.normal(size=1800) + 3 * labels - 1.5 for _ in range(3))
    there = there + shift * (labels == 0)
    cut = 0.0 if rule.fpr is None else float(np.quantile(validation[labels == 0], 0.95))
    outcome = Outcome(validation, test, cut, rule)
    here = assessed(outcome, labels, labels)
    elsewhere = assessed(replace(outcome, test=there), labels, labels)
    found = transfers.transfers({"quantized": outcome}, here.models, elsewhere.models)["quantized"]
    assert set(found) == {"decision", "tpr_at_fpr_1pct"}, "0.1 % needs more safe rows"
    assert [each.exceeds for each in found.values()] == [shift > 0] * 2
    assert found["decision"].wanted == rule.fpr
    strict = found["tpr_at_fpr_1pct"]
    at = here.models["quantized"].tpr_at_fpr_1pct
    assert isinstance(at, OperatingPoint)
    assert strict.fpr.value == round(float((there[labels == 0] > at.threshold).mean()), 4)
    assert strict.fpr.low < strict.fpr.value < strict.fpr.high
