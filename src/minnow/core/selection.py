"""The number that chooses: epochs, sweeps and defaults are picked by it, on validation only."""

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from sklearn import metrics as sk

from minnow.core.params import EVEN_ODDS, SelectName, ThresholdParams
from minnow.core.thresholds import EVEN, Array, decision_threshold, require_safe_rows


class Reading(Protocol):
    """How a number is read off margins and labels (rows,) and the decision threshold."""

    def __call__(self, margins: Array, labels: Array, threshold: float) -> float: ...


@dataclass(frozen=True, order=True)
class Score:
    """What a model is worth on validation: the number that chooses, the higher the better, and the
    average precision, which decides between equals. `f1`, on validation, chooses nothing by itself.

    `parts` has the number on validation and on its extra part, whose plain mean `value` then is;
    nothing where there is no extra part.
    """

    value: float
    average_precision: float
    f1: float = field(compare=False)
    parts: tuple[float, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Selection:
    """What chooses, `by` its name, and the rule for the threshold of what depends on one.

    F1 and accuracy are those at the threshold that the rule takes from the very rows. The log loss
    is taken negative, so that more is better of all.
    """

    by: SelectName = "f1"
    rule: ThresholdParams = EVEN_ODDS

    def require(self, labels: Any) -> None:
        """Refuse a rule that validation rows with these labels cannot serve, before any training.

        Raises:
            MinnowError: there are too few safe rows for so small a rate of false alarms.
        """
        if self.rule.fpr is not None:
            require_safe_rows(np.asarray(labels), self.rule.fpr)

    def score(self, logits: Any, labels: Any, extra: int = 0) -> Score:
        """Return what logits of shape (rows, 2) are worth for labels of shape (rows,); logits that
        are not finite are worth less than all others.

        The last `extra` rows are validation's extra part, which validation's threshold is applied
        to: the number and the average precision are then the plain means of both parts'.
        """
        logits, labels = np.asarray(logits), np.asarray(labels)
        with np.errstate(invalid="ignore"):
            margins = np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)
        if not np.isfinite(margins).all():  # a model that overflowed is worse than any other
            return Score(-math.inf, 0.0, 0.0, (-math.inf, -math.inf) if extra else ())
        rows = len(labels) - extra
        threshold = decision_threshold(margins[:rows], labels[:rows], self.rule)
        own = self._read(margins[:rows], labels[:rows], threshold)
        if not extra:
            return own
        other = self._read(margins[rows:], labels[rows:], threshold)
        return Score(
            (own.value + other.value) / 2,
            (own.average_precision + other.average_precision) / 2,
            own.f1,
            (own.value, other.value),
        )

    def _read(self, margins: Array, labels: Array, threshold: float) -> Score:
        return Score(
            READINGS[self.by](margins, labels, threshold),
            average_precision(margins, labels, threshold),
            f1_at(margins, labels, threshold),
        )


def validation_f1(logits: Any, labels: Any) -> float:
    """Return the F1 of label 1 at probability 0.5 for logits of shape (rows, 2) and labels of shape
    (rows,); 0 where it is undefined.
    """
    logits = np.asarray(logits)
    return f1_at(np.subtract(logits[:, 1], logits[:, 0]), np.asarray(labels), EVEN)


def f1_at(margins: Array, labels: Array, threshold: float) -> float:
    """Return the F1 of label 1; 0 where it is undefined."""
    return float(sk.f1_score(labels, margins > threshold, zero_division=0))


def accuracy_at(margins: Array, labels: Array, threshold: float) -> float:
    """Return the share of rows that are right."""
    return float(np.mean((margins > threshold) == labels))


def average_precision(margins: Array, labels: Array, threshold: float = EVEN) -> float:
    """Return the area under precision by recall, whatever the threshold."""
    return float(sk.average_precision_score(labels, margins))


def area_under_roc(margins: Array, labels: Array, threshold: float = EVEN) -> float:
    """Return the area under the ROC curve, whatever the threshold."""
    return float(sk.roc_auc_score(labels, margins))


def mean_log_likelihood(margins: Array, labels: Array, threshold: float = EVEN) -> float:
    """Return the mean log-likelihood of the labels in nats, the negative log loss, whatever the
    threshold.
    """
    return -float(np.mean(np.logaddexp(0, np.where(labels == 1, -margins, margins))))


READINGS: dict[SelectName, Reading] = {
    "f1": f1_at,
    "average_precision": average_precision,
    "roc_auc": area_under_roc,
    "accuracy": accuracy_at,
    "log_loss": mean_log_likelihood,
}
