"""What validation teaches about a model's use: the temperature of its probabilities, and what its
decision threshold does.
"""

import numpy as np
from scipy.optimize import minimize_scalar

from minnow.evaluation import metrics
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.records import Calibration, Decision, Quality, QualityChange

# Temperatures beyond these say that validation is separated perfectly, or not at all.
LOWEST, HIGHEST = 0.05, 20.0


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
        brier=rounded(metrics.brier(margins, labels)),
        nll=rounded(metrics.log_loss(margins, labels)),
    )


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
