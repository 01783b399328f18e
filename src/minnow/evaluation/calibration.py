"""What validation teaches about a model's use: the temperature of its probabilities, and its
decision threshold.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from minnow.errors import MinnowError
from minnow.evaluation import metrics
from minnow.evaluation.bootstrap import CONFIDENCE, Ranked
from minnow.evaluation.calibration_records import Calibration, Decision, Quality, QualityChange
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.thresholds import Rule, threshold_draws
from minnow.evaluation.units import JudgedRows, Units

# Temperatures beyond these say that validation is separated perfectly, or not at all.
LOWEST, HIGHEST = 0.05, 20.0
# Parts of the measured gaps that are tried as the true ones: none, to four times as much.
PARTS = np.linspace(0, 4, 81)


def fit_temperature(margins: Array, labels: Array) -> float:
    """Return the T for which margin / T has the least log loss on these rows.

    Guo, Pleiss, Sun & Weinberger 2017, arXiv 1706.04599, section 4.2. It moves no row over
    probability 0.5.
    """
    best = minimize_scalar(
        lambda log_t: metrics.log_loss(margins / np.exp(log_t), labels),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return float(np.exp(best.x))


def quality(margins: Array, labels: Array) -> Quality:
    """Return how well the probabilities fit."""
    return Quality(
        ece=rounded(metrics.expected_calibration_error(margins, labels)),
        ece_null=rounded(metrics.calibration_null(margins)),
        brier=rounded(metrics.brier(margins, labels)),
        nll=rounded(metrics.log_loss(margins, labels)),
    )


def decision_threshold(margins: Array, labels: Array, rule: Rule | None) -> float:
    """Return the margin above which a row is called phishing: probability 0.5, or what a rule takes
    on these rows.

    Raises:
        MinnowError: there are too few safe rows for so small a rate of false positives.
    """
    if rule is None:
        return metrics.EVEN
    if rule.fpr is not None:
        return at_false_positives(margins, labels, rule.fpr)
    rows = JudgedRows(labels, Units.rows(len(labels)))
    once = np.ones((len(labels), 1), dtype=np.int32)
    return float(threshold_draws(rule, Ranked.of(margins, rows), once)[0])


def at_false_positives(margins: Array, labels: Array, fpr: float) -> float:
    """Return the lowest margin that at most the share `fpr` of the safe rows exceeds.

    Raises:
        MinnowError: there are too few safe rows for so small a rate.
    """
    threshold = metrics.threshold_at_fpr(margins, labels, fpr)
    if threshold is None:
        safe = int((labels == 0).sum())
        # One safe row must be left that is not accused.
        lowest = f"{np.ceil(1e4 / safe) / 1e4:g} or more, or " if safe > 1 else ""
        raise MinnowError(
            f"evaluate.threshold.fpr is {fpr} and validation has {safe} safe rows, of which that"
            f" allows {metrics.allowed_false_positives(safe, fpr)}; set {lowest}null"
        )
    return threshold


def calibrated(
    *, validation: tuple[Array, Array], test: tuple[Array, Array], threshold: float
) -> Calibration:
    """Return a model's temperature, its quality before and after, and what its threshold does.

    `validation` and `test` are (margins, labels), each (rows,).
    """
    temperature = fit_temperature(*validation)
    probability = float(metrics.probability(np.array(threshold)))
    return Calibration(
        temperature=rounded(temperature),
        validation=quality_change(*validation, temperature),
        test=quality_change(*test, temperature),
        decision=Decision(
            threshold=rounded(threshold),
            probability_before_temperature=rounded(probability),
            validation_fpr=rounded(metrics.false_positive_rate(*validation, threshold)),
            test_fpr=rounded(metrics.false_positive_rate(*test, threshold)),
            test_tpr=rounded(metrics.true_positive_rate(*test, threshold)),
        ),
    )


def quality_change(margins: Array, labels: Array, temperature: float) -> QualityChange:
    """Return how well the probabilities fit before and after the temperature."""
    return QualityChange(quality(margins, labels), quality(margins / temperature, labels))


def without_chance(gaps: Array, resampled: Array) -> tuple[float, float, float]:
    """Return the calibration error without what chance adds to it, and its interval.

    `gaps` (bins,) are what the bins measure, as shares of all rows, `resampled` (resamples, bins)
    the same in resamples, so that resampled − gaps is their noise. Noise makes Σ|gap| larger than
    it is, most of all where the true gaps are small. So true gaps are taken to be a part t of the
    measured ones: the estimate is Σ|t · gap| of the t that would measure as much as is measured, on
    average, 0 where even t = 0 would measure more, and the interval holds those t that would
    measure as much without surprise (an interval by inverted tests; Casella & Berger 2002,
    Statistical Inference, 9.2.1).
    """
    measured, noise = np.abs(gaps).sum(), resampled - gaps
    would = np.stack([np.abs(part * gaps + noise).sum(axis=1) for part in PARTS])
    tails = np.quantile(would, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1)
    lines = np.maximum.accumulate(np.stack([would.mean(axis=1), tails[1], tails[0]]), axis=1)
    parts = [np.interp(measured, line, PARTS) for line in lines]
    value, low, high = (min(1.0, float(part * measured)) for part in parts)
    return value, low, high
