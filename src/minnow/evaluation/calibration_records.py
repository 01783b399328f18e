"""What evaluation says of probabilities and thresholds, as frozen records. Light: no numpy."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from minnow.evaluation.records import OPTIONAL, Strict


@dataclass(frozen=True)
class Quality(Strict):
    """How well probabilities fit; `nll` in nats. `ece_null` is what a perfectly calibrated model
    would score on as many rows.
    """

    ece: float
    ece_null: float
    brier: float
    nll: float


@dataclass(frozen=True)
class QualityChange(Strict):
    """How well probabilities fit before and after the temperature."""

    before: Quality
    after: Quality


@dataclass(frozen=True)
class Decision(Strict):
    """The margin above which a row is called phishing, and what that does on either split."""

    threshold: float
    probability_before_temperature: float
    validation_fpr: float
    test_fpr: float
    test_tpr: float


@dataclass(frozen=True)
class Calibration(Strict):
    """What validation set for one model, and what that does on either split."""

    temperature: float
    validation: QualityChange
    test: QualityChange
    decision: Decision


@dataclass(frozen=True)
class WantedPrecision(Strict):
    """A precision, and the share of phishing at which it is wanted."""

    wanted: float
    prevalence: float


@dataclass(frozen=True)
class Calibrations(Strict):
    """metrics/evidence/calibration.json; without a `wanted_…` the threshold is probability 0.5.

    `few_domains` says why validation cannot tell how far off what it set may be, where it cannot.
    """

    ece_bins: int
    wanted_fpr: float | None
    models: Mapping[str, Calibration]
    wanted_f1: bool = field(default=False, metadata=OPTIONAL)
    wanted_precision: WantedPrecision | None = field(default=None, metadata=OPTIONAL)
    few_domains: str | None = field(default=None, metadata=OPTIONAL)
