"""What evaluation says of models, as frozen records: estimates, hops, slices, calibration.

A record is a frozen dataclass whose fields are the keys of its JSON. Light: no numpy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict

# A slice is hurt where its flips are less likely than this, were either direction equally likely.
BEYOND_CHANCE = 0.05
# The whole way, by which it is judged whom compression hurts.
WHOLE_WAY = ("teacher", "quantized")
Verdict = Literal["non_inferior", "inferior", "inconclusive"]
Measure = Literal["f1", "recall", "specificity"]
# A field that JSON leaves out where it is its default.
OPTIONAL = {"optional": True}
# Bytes by model and part; `total` is all that the model needs to run.
Sizes = Mapping[str, Mapping[str, int]]


class Strict:
    """Base of the records: from JSON no key is missing, none unknown, and no text a number."""

    __pydantic_config__ = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Headline(Strict):
    """metrics/<model>.json: the flat metrics of one model, at its decision threshold, on test.

    Its fields are the list of metric names. `tpr_at_fpr_1pct` is None where validation has too few
    safe rows, `validation_f1` is at the threshold as well, `size_mb` counts 10⁶ bytes.
    `validation_score` is the number that chooses, the higher the better; None and left out of the
    file where that is `validation_f1`.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    tpr_at_fpr_1pct: float | None
    ece: float
    validation_f1: float
    size_mb: float
    parameters: int
    compression_x: float
    validation_score: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Estimate(Strict):
    """A metric with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class OperatingPoint(Estimate):
    """The share of phishing found above the threshold that validation set for a false-positive
    rate, and the rates that came of it.
    """

    threshold: float
    validation_fpr: float
    test_fpr: float


@dataclass(frozen=True)
class Unmeasured(Strict):
    """A metric that could not be measured, and why."""

    reason: str
    value: None = None


Measured = OperatingPoint | Estimate | Unmeasured


@dataclass(frozen=True)
class MainEstimates(Strict):
    """What is estimated of a model on rows other than those of the test split."""

    accuracy: Estimate
    f1: Estimate
    roc_auc: Estimate


@dataclass(frozen=True)
class Estimates(MainEstimates):
    """What is estimated of a model on the test split."""

    average_precision: Estimate
    brier: Estimate
    ece: Estimate
    tpr_at_fpr_1pct: OperatingPoint | Unmeasured
    tpr_at_fpr_0_1pct: OperatingPoint | Unmeasured


@dataclass(frozen=True)
class ClassRows(Strict):
    """Rows by class."""

    safe: int
    phishing: int

    @property
    def total(self) -> int:
        """Rows of both classes."""
        return self.safe + self.phishing


@dataclass(frozen=True)
class Intervals(Strict):
    """metrics/evidence/intervals.json: every model's estimates on the test split."""

    confidence: float
    resamples: int
    seed: int
    rows: ClassRows
    ece_bins: int
    models: Mapping[str, Estimates]


@dataclass(frozen=True)
class Difference(Strict):
    """After − before, with its interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Hop(Strict):
    """What changed between two models on the same rows.

    Of `changed` predictions, `worse` went from right to wrong and `better` from wrong to right.
    `mean_abs_dp` is the mean change of a probability. The verdict is on the loss of f1;
    `rows_needed` would settle it where it is open, None where no such number is known.
    """

    before: str
    after: str
    f1: Difference
    roc_auc: Difference
    tpr_at_fpr_1pct: Difference | None
    changed: int
    worse: int
    better: int
    agreement: float
    mcnemar_p: float
    mean_abs_dp: float
    verdict: Verdict
    better_than_before: bool
    rows_needed: int | None


@dataclass(frozen=True)
class Hops(Strict):
    """metrics/evidence/hops.json: every hop on the test split; `margin` is the loss of f1 that
    counts as small enough.
    """

    confidence: float
    margin: float
    rows: int
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class Quality(Strict):
    """How well probabilities fit; `nll` in nats."""

    ece: float
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
    """metrics/evidence/calibration.json; without a `wanted_…` the threshold is probability 0.5."""

    ece_bins: int
    wanted_fpr: float | None
    models: Mapping[str, Calibration]
    wanted_f1: bool = field(default=False, metadata=OPTIONAL)
    wanted_precision: WantedPrecision | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class SliceHop(Strict):
    """What a hop did to a slice: the change of its score, and the flips behind it."""

    before: str
    after: str
    change: float
    worse: int
    better: int
    mcnemar_p: float


@dataclass(frozen=True)
class SliceScore(Strict):
    """Test rows that share a `value` of a trait, `slice`, and each model's score on them.

    `small` says that the rows which its `measure` counts are fewer than `Slices.small_below`,
    `hurt` that compression is shown to hurt it.
    """

    slice: str
    value: str
    rows: int
    safe: int
    phishing: int
    small: bool
    measure: Measure
    models: Mapping[str, float]
    hops: tuple[SliceHop, ...]
    hurt: bool


@dataclass(frozen=True)
class MonthScores(Strict):
    """Test rows of a month, `2026-03`, and each model's scores on them."""

    month: str
    rows: int
    phishing: int
    accuracy: Mapping[str, float]
    f1: Mapping[str, float]
    recall: Mapping[str, float]


@dataclass(frozen=True)
class Slices(Strict):
    """metrics/evidence/slices.json: whom compression hurts, and when, if rows have a time."""

    small_below: int
    slices: tuple[SliceScore, ...]
    months: tuple[MonthScores, ...] = field(default=(), metadata=OPTIONAL)

    @property
    def watched(self) -> list[SliceScore]:
        """The slices that are large enough to be judged, with the whole way measured."""
        return [one for one in self.slices if not one.small and between(one.hops, *WHOLE_WAY)]

    @property
    def hurt(self) -> list[tuple[SliceScore, SliceHop]]:
        """The slices that are shown to be hurt and the whole way there, the greatest loss first."""
        pairs = [
            (one, hop)
            for one in self.slices
            if one.hurt and (hop := between(one.hops, *WHOLE_WAY)) is not None
        ]
        return sorted(pairs, key=lambda pair: (pair[1].change, pair[0].slice, pair[0].value))


@dataclass(frozen=True)
class OtherRows(Strict):
    """What models are worth on rows other than those of the test split."""

    rows: int
    models: Mapping[str, MainEstimates]
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class ExtraFacts(Strict):
    """How a further test set came about, as data/extra says it."""

    file: str
    rows_read: int
    kept: ClassRows
    removed_seen: int
    dropped: Mapping[str, int]
    leak: float


@dataclass(frozen=True)
class ExtraResult(ExtraFacts, OtherRows):
    """metrics/evidence/extra.json holds one for each further test set, by name."""


@dataclass(frozen=True)
class AgainstPipeline(Strict):
    """A control's model − the pipeline's own, on two independent samples."""

    f1: Difference
    roc_auc: Difference


@dataclass(frozen=True)
class ControlResult(OtherRows):
    """metrics/evidence/controls.json holds one for each control, by name; `facts` are free."""

    facts: Mapping[str, Any]
    against_pipeline: Mapping[str, AgainstPipeline]


HopT = TypeVar("HopT", Hop, SliceHop)


def between(hops: Iterable[HopT], before: str, after: str) -> HopT | None:
    """Return the hop between two models, None if nobody measured it."""
    return next((hop for hop in hops if (hop.before, hop.after) == (before, after)), None)
