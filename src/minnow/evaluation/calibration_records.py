"""What evaluation says of probabilities and thresholds, as frozen records. Light: no numpy."""

from collections.abc import Mapping
from dataclasses import dataclass

from minnow.evaluation.records import Strict


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
class Calibrations(Strict):
    """metrics/evidence/calibration.json; `wanted_fpr` None asks for a threshold at probability
    0.5.
    """

    ece_bins: int
    wanted_fpr: float | None
    models: Mapping[str, Calibration]
