"""What a threshold is worth where phishing is rare."""

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from minnow.evaluation import prevalence
from minnow.evaluation.records import Estimate

BOUNDS = Estimate(0.951, 0.94, 0.96), Estimate(0.054, 0.05, 0.06)
RATES = np.array(0.951), np.array(0.054)


def test_by_hand() -> None:
    """psu's quantized student: 0.951 of the phishing found and 0.054 false alarms."""
    draws = np.full(100, 0.951), np.full(100, 0.054)
    two, tenth = prevalence.at_prevalences((0.02, 0.001), RATES, BOUNDS, draws)
    assert (two.precision.value, two.f1.value) == (0.2644, 0.4137)
    assert two.alarms_per_million.value == 0.98 * 54_000
    assert (tenth.prevalence, tenth.precision.value) == (0.001, 0.0173)


def test_it_is_what_rows_of_that_prevalence_give() -> None:
    labels = np.repeat([1, 0], [200, 9_800])
    guesses = np.concatenate([np.arange(200) < 180, np.arange(9_800) < 490]).astype(int)
    tpr, fpr = np.array(0.9), np.array(0.05)
    assert float(prevalence.precision(tpr, fpr, 0.02)) == pytest.approx(
        precision_score(labels, guesses)
    )
    assert float(prevalence.f1(tpr, fpr, 0.02)) == pytest.approx(f1_score(labels, guesses))


def test_the_interval_is_that_of_the_resamples() -> None:
    draw = np.random.default_rng(0)
    draws = draw.normal(0.951, 0.005, 1_000), draw.normal(0.054, 0.003, 1_000)
    ends = (np.quantile(each, [0.025, 0.975]).round(4) for each in draws)
    bounds = [Estimate(float(rate), *each) for rate, each in zip(RATES, ends, strict=True)]
    (found,) = prevalence.at_prevalences((0.02,), RATES, (bounds[0], bounds[1]), draws)
    wanted = np.quantile(prevalence.precision(*draws, 0.02), [0.025, 0.975])
    assert (found.precision.low, found.precision.high) == pytest.approx(tuple(wanted), abs=1e-4)


def test_no_false_alarm_in_any_resample_is_no_proof_of_none() -> None:
    bounds = BOUNDS[0], Estimate(0.0, 0.0, 0.004)
    draws = np.full(100, 0.951), np.zeros(100)
    (found,) = prevalence.at_prevalences((0.02,), (RATES[0], np.array(0.0)), bounds, draws)
    assert (found.precision.value, found.precision.high) == (1.0, 1.0)
    assert found.precision.low == round(0.02 * 0.94 / (0.02 * 0.94 + 0.98 * 0.004), 4)
    assert found.alarms_per_million == Estimate(0.0, 0.0, 3920.0)


def test_where_no_interval_can_be_had_none_is_told() -> None:
    bounds = Estimate(0.951, 0.0, 1.0), Estimate(0.054, 0.0, 1.0)
    draws = np.full(100, 0.951), np.full(100, 0.054)
    (found,) = prevalence.at_prevalences((0.02,), RATES, bounds, draws)
    assert (found.precision.low, found.precision.high) == (0.0, 1.0)
    assert (found.alarms_per_million.low, found.alarms_per_million.high) == (0.0, 980_000.0)


def test_nothing_called_is_no_precision() -> None:
    zero = np.array(0.0)
    assert float(prevalence.precision(zero, zero, 0.02)) == 0.0
    assert float(prevalence.f1(zero, zero, 0.02)) == 0.0
