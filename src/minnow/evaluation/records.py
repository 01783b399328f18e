"""What evaluation says of models, as frozen records: estimates, hops, calibration.

A record is a frozen dataclass whose fields are the keys of its JSON. Light: no numpy.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from pydantic import ConfigDict

from minnow.evaluation.params import Unit

# The whole way, by which it is judged whom compression hurts.
WHOLE_WAY = ("teacher", "quantized")
# What a model is compared with rather than made from: nothing is lost on the way, so no margin is
# allowed.
RIVALS = ("baseline", "no_teacher")
# Share of phishing found at these false-positive rates; validation sets the thresholds.
OPERATING_POINTS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}
Verdict = Literal["better", "non_inferior", "worse_margin_open", "inferior", "undecided"]
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
class CalibrationError(Estimate):
    """The calibration error without what chance adds to it: `measured` is as the rows show it, and
    `null` what a perfectly calibrated model would score on as many rows.
    """

    measured: float
    null: float


@dataclass(frozen=True)
class AtPrevalence(Strict):
    """What a threshold is worth where the share `prevalence` of all URLs is phishing, by its rates
    on test: `alarms_per_million` are safe URLs called phishing among a million URLs.
    """

    prevalence: float
    precision: Estimate
    f1: Estimate
    alarms_per_million: Estimate


@dataclass(frozen=True)
class OperatingPoint(Estimate):
    """The share of phishing found above the threshold that validation set for a false-positive
    rate, and the rates that came of it.
    """

    threshold: float
    validation_fpr: float
    test_fpr: Estimate


@dataclass(frozen=True)
class Unmeasured(Strict):
    """A metric that could not be measured, and why."""

    reason: str
    value: None = None


Measured = OperatingPoint | Estimate | Unmeasured


@dataclass(frozen=True)
class MainEstimates(Strict):
    """What is estimated of a model on rows other than those of the test split.

    `tpr` and `fpr` are at its threshold: the shares of phishing and of safe rows called phishing.
    `effective_rows` are the independent rows that would know its accuracy as well.
    """

    accuracy: Estimate
    f1: Estimate
    roc_auc: Estimate
    tpr: Estimate
    fpr: Estimate
    effective_rows: int


@dataclass(frozen=True)
class Estimates(MainEstimates):
    """What is estimated of a model on the test split."""

    average_precision: Estimate
    brier: Estimate
    ece: CalibrationError
    tpr_at_fpr_1pct: OperatingPoint | Unmeasured
    tpr_at_fpr_0_1pct: OperatingPoint | Unmeasured
    at_prevalence: tuple[AtPrevalence, ...]


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
class Domains(Strict):
    """The registered domains of some rows: how many, the largest and its share of the rows, and as
    how many domains of equal size they weigh.
    """

    count: int
    largest: str
    largest_share: float
    equal: float


@dataclass(frozen=True)
class SampleFacts(ClassRows):
    """The rows that models are judged on. `domains` is None where each row is a unit of its own,
    `no_interval` says why no interval can be had, where none can: [0, 1] then stands for it, and
    [-1, 1] for that of a difference.
    """

    domains: Domains | None
    no_interval: str | None

    @property
    def unit(self) -> Unit:
        """What a resample draws of these rows."""
        return "domain" if self.domains else "row"


@dataclass(frozen=True)
class Intervals(Strict):
    """metrics/evidence/intervals.json: every model's estimates on the test split."""

    confidence: float
    resamples: int
    seed: int
    rows: SampleFacts
    ece_bins: int
    models: Mapping[str, Estimates]


@dataclass(frozen=True)
class Difference(Strict):
    """After − before, with its interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class DomainFlips(Strict):
    """Flips of one domain's rows, for the worse and for the better."""

    domain: str
    worse: int
    better: int


@dataclass(frozen=True)
class Decisive(DomainFlips):
    """The domain that decides a hop: it holds more than half of the net flips, or without it the
    verdict would be `verdict_without`, None where it would be the same.
    """

    verdict_without: Verdict | None


@dataclass(frozen=True)
class Hop(Strict):
    """What changed between two models on the same rows.

    Of `changed` predictions, `worse` went from right to wrong and `better` from wrong to right;
    `domains` hold most of them, net. `mcnemar_p` takes rows for independent, `clustered_p` domains.
    `mean_abs_dp` is the mean change of a probability. The verdict is on the change of f1, corrected
    for the number of hops beside it; `uncorrected` is that of its interval alone. `p` is of what
    the latter claims, `adjusted_p` the same corrected. About `rows_needed` would show
    `more_rows_show`, None where no such number can be told.
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
    clustered_p: float
    mean_abs_dp: float
    verdict: Verdict
    uncorrected: Verdict
    p: float
    adjusted_p: float
    rows_needed: int | None
    more_rows_show: Verdict | None
    domains: tuple[DomainFlips, ...]
    decisive: Decisive | None


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
class OtherRows(Strict):
    """What models are worth on rows other than those of the test split."""

    rows: int
    sample: SampleFacts
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
class Transfer(Strict):
    """What a threshold that validation set does elsewhere: `fpr` of the safe rows of a further test
    set are called phishing, `test_fpr` of the test split's.

    `wanted` is the rate that validation was asked for, None where it was asked for none. `exceeds`
    says that `fpr` is shown to lie above `wanted` or, without it, above `test_fpr`.
    """

    wanted: float | None
    test_fpr: Estimate
    fpr: Estimate
    exceeds: bool


@dataclass(frozen=True)
class ExtraResult(ExtraFacts, OtherRows):
    """metrics/evidence/extra.json holds one for each further test set, by name.

    `margin` is the loss of f1 that counts as small enough there; `thresholds` are by model and by
    the threshold's name, where `decision` is the model's own.
    """

    margin: float
    thresholds: Mapping[str, Mapping[str, Transfer]]


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


class Step(Protocol):
    """A hop of any kind."""

    @property
    def before(self) -> str: ...
    @property
    def after(self) -> str: ...


HopT = TypeVar("HopT", bound=Step)


def between(hops: Iterable[HopT], before: str, after: str) -> HopT | None:
    """Return the hop between two models, None if nobody measured it."""
    return next((hop for hop in hops if (hop.before, hop.after) == (before, after)), None)
