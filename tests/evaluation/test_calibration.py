"""Temperature and thresholds, both taken on validation."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from minnow.errors import MinnowError
from minnow.evaluation import calibration, metrics
from minnow.evaluation.metrics import Array
from minnow.evaluation.thresholds import Rule


def example(rows: int, *, sharpened: float, seed: int = 0) -> tuple[Array, Array]:
    """Return margins that are `sharpened` times the true log-odds, and labels."""
    draw = np.random.default_rng(seed)
    odds = draw.normal(size=rows) * 2
    return odds * sharpened, (draw.random(rows) < metrics.probability(odds)).astype(np.int64)


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_sharpened_the_margins(sharpened: float) -> None:
    assert calibration.fit_temperature(*example(50_000, sharpened=sharpened)) == pytest.approx(
        sharpened, rel=0.03
    )


def test_the_temperature_is_the_inverse_of_a_logistic_slope() -> None:
    margins, labels = example(2_000, sharpened=2.0)
    slope = (
        LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10)
        .fit(margins[:, None], labels)
        .coef_[0, 0]
    )
    assert calibration.fit_temperature(margins, labels) == pytest.approx(1 / slope, rel=1e-3)


def test_perfect_separation_ends_at_the_lowest_temperature() -> None:
    margins = np.array([-2.0, -1.0, 1.0, 2.0])
    assert calibration.fit_temperature(margins, np.array([0, 0, 1, 1])) == pytest.approx(
        calibration.LOWEST, rel=0.01
    )


def test_temperature_mends_calibration_and_moves_no_decision() -> None:
    validation, test = example(4_000, sharpened=3.0), example(4_000, sharpened=3.0, seed=1)
    found = calibration.calibrated(validation=validation, test=test, threshold=0.0)
    before, after = found.test.before, found.test.after
    assert after.ece < before.ece / 2
    assert after.nll < before.nll
    assert after.brier < before.brier
    assert np.array_equal(test[0] > 0, test[0] / found.temperature > 0)
    assert found.decision.probability_before_temperature == 0.5


def test_the_default_threshold_is_probability_one_half() -> None:
    assert calibration.decision_threshold(*example(10, sharpened=1.0), None) == 0.0


def test_a_wanted_rate_is_kept_on_validation_and_reported_on_test() -> None:
    validation, test = example(3_000, sharpened=1.0), example(3_000, sharpened=1.0, seed=1)
    threshold = calibration.decision_threshold(*validation, Rule(fpr=0.05))
    found = calibration.calibrated(validation=validation, test=test, threshold=threshold).decision
    assert 0.045 < found.validation_fpr <= 0.05
    assert found.test_fpr == pytest.approx(0.05, abs=0.02)
    assert found.threshold == threshold, "what is written down is what was used"
    assert found.test_tpr == round(metrics.true_positive_rate(*test, threshold), 4)


@pytest.mark.parametrize("safe", [2, 7, 303, 648])
def test_too_few_safe_rows_are_refused_with_a_rate_that_does(safe: int) -> None:
    margins, labels = np.arange(safe + 2.0), np.array([1, 1, *[0] * safe])
    with pytest.raises(
        MinnowError, match=rf"validation has {safe} safe rows.*set \S+ or more"
    ) as refusal:
        calibration.decision_threshold(margins, labels, Rule(fpr=0.001))
    rate = float(str(refusal.value).split("; set ")[1].split()[0])
    assert (
        metrics.false_positive_rate(
            margins, labels, calibration.decision_threshold(margins, labels, Rule(fpr=rate))
        )
        <= rate
    )


@pytest.mark.parametrize("safe", [0, 1])
def test_where_no_rate_does_none_is_named(safe: int) -> None:
    margins, labels = np.arange(safe + 2.0), np.array([1, 1, *[0] * safe])
    with pytest.raises(MinnowError, match=rf"has {safe} safe rows.*allows 0; set null$"):
        calibration.decision_threshold(margins, labels, Rule(fpr=0.5))


def test_quality_is_by_its_own_measures_and_of_each_split() -> None:
    """Four fifths said of a phishing row and of a safe one: nll of 4/5 and 1/5, Brier of 1/5 and
    4/5, and three tenths above the share.
    """
    found = calibration.quality(np.full(2, np.log(4)), np.array([1, 0]))
    assert (found.nll, found.brier, found.ece) == (0.9163, 0.34, 0.3)
    validation, test = example(200, sharpened=3.0), example(300, sharpened=3.0, seed=1)
    whole = calibration.calibrated(validation=validation, test=test, threshold=0.0)
    temperature = calibration.fit_temperature(*validation)
    assert whole.validation == calibration.quality_change(*validation, temperature)
    assert whole.test == calibration.quality_change(*test, temperature)
    assert whole.validation != whole.test


@pytest.mark.parametrize("rows", [500, 4_000])
def test_what_a_calibrated_model_scores_is_what_drawn_labels_give(rows: int) -> None:
    margins = np.random.default_rng(0).normal(size=rows) * 2
    draw, scores = np.random.default_rng(1), []
    for _ in range(200):
        labels = (draw.random(rows) < metrics.probability(margins)).astype(np.int64)
        scores.append(metrics.expected_calibration_error(margins, labels))
    assert metrics.calibration_null(margins) == pytest.approx(np.mean(scores), rel=0.05)
    assert calibration.quality(margins, labels).ece_null == round(
        metrics.calibration_null(margins), 4
    )


def test_a_calibration_error_by_hand() -> None:
    """Without noise it is as measured; where noise alone measures as much, it is 0."""
    gaps = np.array([0.03, -0.02])
    assert calibration.without_chance(gaps, np.tile(gaps, (50, 1))) == pytest.approx(
        (0.05, 0.05, 0.05)
    )
    noise = np.random.default_rng(0).normal(size=(400, 2)) * 0.1
    value, low, high = calibration.without_chance(gaps, gaps + noise)
    assert (value, low) == (0.0, 0.0)
    assert high > 0
    none = calibration.without_chance(np.zeros(2), np.zeros((50, 2)))
    assert none == (0.0, 0.0, 0.0)
