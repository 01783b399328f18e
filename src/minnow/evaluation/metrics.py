"""Margins and labels to numbers, for two labels with 1 = phishing. Floats are rounded to 4 decimals
at the end.

A row's margin is its phishing logit − its safe logit. It orders the rows as the probability does,
which would tie those above 37: they all round to 1. A threshold is a margin too: 0 is probability
0.5, and a row is called phishing above it.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from sklearn import metrics as sk

from minnow.core.selection import f1_at, mean_log_likelihood
from minnow.core.thresholds import DECIMALS, EVEN, threshold_at_fpr
from minnow.core.thresholds import Array as Array
from minnow.evaluation.records import Headline

# Bins of the calibration error, each with the same number of rows.
ECE_BINS = 15
# Labels drawn in all, and how often for one set of rows, to see what a calibrated model scores.
NULL_LABELS, NULL_REPEATS = 2_000_000, (20, 1_000)
# False positives that validation must be able to hold for a rate to be reported: fewer say nothing
# of the threshold.
LEAST_FALSE_POSITIVES = 5


@dataclass(frozen=True)
class Scores:
    """How well rows are classified at a threshold, phishing being the positive class, and ranked;
    each in [0, 1].
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float


def margins_of(logits: Array) -> Array:
    """Return the margins of logits (rows, 2), as float64 of shape (rows,)."""
    return np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)


def probability(margins: Array) -> Array:
    """Return the probability of phishing, the logistic function of the margin."""
    return np.asarray(expit(margins))


def predicted(margins: Array, threshold: float = EVEN) -> Array:
    """Return 1 where the margin lies above the threshold, else 0; shape (rows,)."""
    return (margins > threshold).astype(np.int64)


def classification(margins: Array, labels: Array, threshold: float = EVEN) -> Scores:
    """Return the scores of margins (rows,) at a threshold."""
    guesses = predicted(margins, threshold)
    precision, recall, f1_score, _ = sk.precision_recall_fscore_support(
        labels, guesses, average="binary", pos_label=1, zero_division=0
    )
    return Scores(
        accuracy=rounded(sk.accuracy_score(labels, guesses)),
        precision=rounded(precision),
        recall=rounded(recall),
        f1=rounded(f1_score),
        roc_auc=rounded(sk.roc_auc_score(labels, margins)),
    )


def false_positive_rate(margins: Array, labels: Array, threshold: float) -> float:
    """Return the share of safe rows above the threshold."""
    return float((margins[labels == 0] > threshold).mean())


def true_positive_rate(margins: Array, labels: Array, threshold: float) -> float:
    """Return the share of phishing rows above the threshold: recall."""
    return float((margins[labels == 1] > threshold).mean())


def bin_of(margins: Array) -> Array:
    """Return the bin of the calibration error, from 0, that each row falls in, (rows,).

    The ECE_BINS bins have equal mass. Rows of one margin stay together, in the bin where the middle
    of them falls, so that the order of the rows does not matter.
    """
    _, group, counts = np.unique(margins, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.asarray(np.floor(ECE_BINS * middle / len(margins)).astype(int)[group])


def calibration_bins(margins: Array, labels: Array) -> tuple[Array, Array, Array]:
    """Return mean probability, share of phishing and number of rows of each non-empty bin, by
    rising probability.
    """
    bins = bin_of(margins)
    rows = np.bincount(bins, minlength=ECE_BINS)
    filled = rows > 0
    mean_of = (
        np.bincount(bins, weights=weights, minlength=ECE_BINS)
        for weights in (probability(margins), labels)
    )
    expected, observed = (sums[filled] / rows[filled] for sums in mean_of)
    return expected, observed, rows[filled]


def expected_calibration_error(margins: Array, labels: Array) -> float:
    """Return the mean over rows of |mean probability − share of phishing| of the row's bin, in [0,
    1].

    Naeini, Cooper & Hauskrecht 2015, for the phishing class, with bins of equal mass (Nixon et al.
    2019, arXiv 1904.01685): bins of equal width leave most of them almost empty here.
    """
    expected, observed, rows = calibration_bins(margins, labels)
    return float(np.abs(expected - observed) @ rows / len(labels))


def calibration_null(margins: Array, *, seed: int = 0) -> float:
    """Return the calibration error that a perfectly calibrated model would score on as many rows,
    on average, because labels are few: labels are drawn from the probabilities.
    """
    generator, edges = np.random.default_rng(seed), np.sort(margins)
    probabilities = probability(edges).astype(np.float32)
    starts = np.flatnonzero(np.diff(bin_of(edges), prepend=-1))
    expected = np.add.reduceat(probabilities, starts, dtype=np.float64)
    repeats = int(np.clip(NULL_LABELS // len(margins), *NULL_REPEATS))
    found = [
        np.abs(
            np.add.reduceat(
                generator.random(len(edges), np.float32) < probabilities, starts, dtype=np.int64
            )
            - expected
        ).sum()
        for _ in range(repeats)
    ]
    return float(np.mean(found) / len(margins))


def brier(margins: Array, labels: Array) -> float:
    """Return the mean squared difference of probability and label, in [0, 1]."""
    return float(np.mean((probability(margins) - labels) ** 2))


def log_loss(margins: Array, labels: Array) -> float:
    """Return the mean negative log-likelihood of the labels, in nats."""
    return -mean_log_likelihood(margins, labels)


def tpr_at_fpr(
    fpr: float, *, validation: tuple[Array, Array], test: tuple[Array, Array]
) -> tuple[float, float] | tuple[None, None]:
    """Return the share of phishing found on test and the threshold, which validation sets for this
    `fpr`.

    Both are (margins, labels). None twice where validation has too few safe rows.
    """
    threshold = threshold_at_fpr(*validation, fpr, least=LEAST_FALSE_POSITIVES)
    if threshold is None:
        return None, None
    return true_positive_rate(*test, threshold), threshold


def headline(
    *,
    test: tuple[Array, Array],
    validation: tuple[Array, Array],
    threshold: float,
    parameters: int,
    size: int,
    teacher_size: int,
    validation_score: float | None = None,
) -> Headline:
    """Return the flat metrics of one model.

    `test` and `validation` are (logits, labels); sizes are bytes of all that the model needs to
    run. `validation_score` is the number that chooses, where that is not F1 on validation.
    """
    on_test, rest = ((margins_of(logits), labels) for logits, labels in (test, validation))
    scores = classification(*on_test, threshold)
    share, _ = tpr_at_fpr(0.01, validation=rest, test=on_test)
    return Headline(
        accuracy=scores.accuracy,
        precision=scores.precision,
        recall=scores.recall,
        f1=scores.f1,
        roc_auc=scores.roc_auc,
        tpr_at_fpr_1pct=None if share is None else rounded(share),
        ece=rounded(expected_calibration_error(*on_test)),
        validation_f1=rounded(f1_at(*rest, threshold)),
        size_mb=rounded(size / 1e6),
        parameters=parameters,
        compression_x=rounded(teacher_size / size),
        validation_score=None if validation_score is None else rounded(validation_score),
    )


def rounded(value: float) -> float:
    """Round to the decimals that two CPU generations agree on; −0 is 0."""
    return round(float(value), DECIMALS) + 0.0
