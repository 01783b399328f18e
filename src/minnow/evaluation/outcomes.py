"""What judging begins with: a model's margins and threshold, how it is judged, and its metrics in
every resample.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from minnow.evaluation import metrics
from minnow.evaluation.metrics import Array
from minnow.evaluation.thresholds import Rule


@dataclass(frozen=True)
class Outcome:
    """One model's margins (rows,) on validation and on a test set, and the margin above which it
    says phishing.

    `rule` is what validation was asked for when it set that threshold, None for probability 0.5.
    """

    validation: Array
    test: Array
    threshold: float
    rule: Rule | None = None


@dataclass(frozen=True)
class Method:
    """How models are judged: the margin of non-inferiority in f1, the bootstrap's resamples and
    seed, and the prevalences of phishing that precision is told for.
    """

    margin: float
    resamples: int
    seed: int
    prevalences: tuple[float, ...] = ()


@dataclass(frozen=True)
class Resampled:
    """A model's metrics by name, on the rows as they are and in each resample (resamples,).

    `fixed` are its thresholds as validation sets them, by name. `known` says whether the rows allow
    an interval.
    """

    name: str
    outcome: Outcome
    fixed: Mapping[str, float]
    point: Mapping[str, Array]
    draws: Mapping[str, Array]
    known: bool


def guesses_of(model: Resampled) -> Array:
    """Return a model's predictions on test at its threshold, (rows,)."""
    return metrics.predicted(model.outcome.test, model.outcome.threshold)
