"""Every model on the same rows: estimates with intervals, and what each hop cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binomtest

from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.thresholds import Cuts, by_cuts
from minnow.evaluation import bootstrap, calibration, comparison, metrics
from minnow.evaluation.bootstrap import Ranked, Thresholds
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.records import (
    AgainstPipeline,
    Calibrations,
    ClassRows,
    Difference,
    Estimate,
    Estimates,
    Hop,
    Hops,
    Intervals,
    MainEstimates,
    OperatingPoint,
    OtherRows,
    Unmeasured,
    WantedPrecision,
)

# Share of phishing found at these false-positive rates; validation sets the thresholds.
OPERATING_POINTS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}


@dataclass(frozen=True)
class Outcome:
    """One model's margins (rows,) on validation and on a test set, and the margin above which it
    says phishing.

    `rule` took that threshold from validation.
    """

    validation: Array
    test: Array
    threshold: float
    rule: ThresholdParams = EVEN_ODDS


@dataclass(frozen=True)
class Method:
    """How models are judged: the margin of non-inferiority in f1, and the bootstrap's resamples and
    seed.
    """

    margin: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Assessment:
    """What a set of models is worth on one test set: estimates with intervals per model, and hops
    between models.

    `resampled` holds each metric of each model in every resample, (resamples,).
    """

    models: dict[str, Estimates]
    hops: tuple[Hop, ...]
    resampled: dict[str, dict[str, Array]] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Resampled:
    """A model's metrics by name, on the rows as they are and in each resample (resamples,).

    `fixed` are its thresholds as validation sets them, by name.
    """

    name: str
    outcome: Outcome
    fixed: Mapping[str, float]
    point: Mapping[str, float]
    draws: Mapping[str, Array]


def assess(
    outcomes: Mapping[str, Outcome],
    *,
    validation_labels: Array,
    labels: Array,
    hops: Sequence[tuple[str, str]],
    method: Method,
) -> Assessment:
    """Judge all models on the same rows and the same resamples; `labels` (rows,) are the test
    set's.
    """
    ranked = {name: Ranked.of(outcome.test, labels) for name, outcome in outcomes.items()}
    drawn = drawn_thresholds(
        outcomes, validation_labels, resamples=method.resamples, seed=method.seed
    )
    draws = bootstrap.bootstrap(ranked, drawn, labels, resamples=method.resamples, seed=method.seed)
    models = {}
    for name, outcome in outcomes.items():
        fixed = thresholds_of(outcome, validation_labels)
        point = bootstrap.point(ranked[name], fixed)
        models[name] = Resampled(name, outcome, fixed, point, draws[name])
    return Assessment(
        {name: estimates_of(model, validation_labels, labels) for name, model in models.items()},
        tuple(hop_between(models[before], models[after], labels, method) for before, after in hops),
        draws,
    )


def hop_between(before: Resampled, after: Resampled, labels: Array, method: Method) -> Hop:
    """Return what changed between two models on the same rows, from their metrics there and in each
    resample.
    """
    thresholds = (before.outcome.threshold, after.outcome.threshold)
    changed = comparison.changes(
        before.outcome.test, after.outcome.test, labels, thresholds=thresholds
    )
    moved = {key: after.draws[key] - drawn for key, drawn in before.draws.items()}
    differences = {
        key: comparison.difference(before.point[key], after.point[key], moved[key])
        for key in ("f1", "roc_auc", "tpr_at_fpr_1pct")
        if key in moved
    }
    decided = comparison.ruling(
        before.point["f1"],
        after.point["f1"],
        moved["f1"],
        flipped=changed.flips,
        labels=labels,
        margin=method.margin,
    )
    return Hop(
        before=before.name,
        after=after.name,
        f1=differences["f1"],
        roc_auc=differences["roc_auc"],
        tpr_at_fpr_1pct=differences.get("tpr_at_fpr_1pct"),
        changed=changed.flips.changed,
        worse=changed.flips.worse,
        better=changed.flips.better,
        agreement=changed.agreement,
        mcnemar_p=changed.mcnemar_p,
        mean_abs_dp=changed.mean_abs_dp,
        verdict=decided.verdict,
        better_than_before=decided.better_than_before,
        rows_needed=decided.rows_needed,
    )


def thresholds_of(outcome: Outcome, validation_labels: Array) -> dict[str, float]:
    """Return the model's thresholds by name, taken on validation; left out where it has too few
    safe rows.
    """
    points = {
        name: metrics.threshold_at_fpr(
            outcome.validation, validation_labels, fpr, least=metrics.LEAST_FALSE_POSITIVES
        )
        for name, fpr in OPERATING_POINTS.items()
    }
    return {
        "decision": outcome.threshold,
        **{name: threshold for name, threshold in points.items() if threshold is not None},
    }


def drawn_thresholds(
    outcomes: Mapping[str, Outcome], validation_labels: Array, *, resamples: int, seed: int
) -> dict[str, Thresholds]:
    """Return each model's thresholds, as arrays (resamples,) where validation set them: it is a
    sample too.

    All models see the same resamples of validation's safe rows, so that their differences stay
    paired.
    """
    safe = {name: outcome.validation[validation_labels == 0] for name, outcome in outcomes.items()}
    rates = {name: rates_of(outcome, validation_labels) for name, outcome in outcomes.items()}
    drawn = {name: {key: np.empty(resamples) for key in rates[name]} for name in outcomes}
    first = 0
    for weights in bootstrap.draws(
        np.zeros(int((validation_labels == 0).sum())), resamples=resamples, seed=seed + 1
    ):
        these = slice(first, first + len(weights))
        for name, fprs in rates.items():
            for key, fpr in fprs.items():
                drawn[name][key][these] = bootstrap.threshold_draws(safe[name], weights, fpr=fpr)
        first += len(weights)
    return {
        name: {
            "decision": decided_draws(outcome, validation_labels, resamples, seed + 1),
            **drawn[name],
        }
        for name, outcome in outcomes.items()
    }


def decided_draws(outcome: Outcome, labels: Array, resamples: int, seed: int) -> float | Array:
    """Return the decision thresholds (resamples,) that resamples of validation would have set by
    the rules for F1 and precision, the threshold itself by another rule.
    """
    rule = outcome.rule
    if not rule.f1 and rule.precision is None:
        return outcome.threshold
    drawn = bootstrap.draws(labels, resamples=resamples, seed=seed)
    return np.concatenate(
        [by_cuts(Cuts.of(outcome.validation, labels, each), rule.precision) for each in drawn]
    )


def rates_of(outcome: Outcome, validation_labels: Array) -> dict[str, float]:
    """Return the false-positive rates for which validation sets a threshold of the model, by the
    threshold's name.
    """
    fixed = thresholds_of(outcome, validation_labels)
    rates = {name: fpr for name, fpr in OPERATING_POINTS.items() if name in fixed}
    return rates if outcome.rule.fpr is None else {**rates, "decision": outcome.rule.fpr}


def estimates_of(model: Resampled, validation_labels: Array, labels: Array) -> Estimates:
    """Return all estimates of a model, with intervals."""
    return Estimates(
        accuracy=with_interval("accuracy", model, labels),
        f1=with_interval("f1", model, labels),
        roc_auc=with_interval("roc_auc", model, labels),
        average_precision=with_interval("average_precision", model, labels),
        brier=with_interval("brier", model, labels),
        ece=with_interval("ece", model, labels),
        tpr_at_fpr_1pct=operating_point("tpr_at_fpr_1pct", model, validation_labels, labels),
        tpr_at_fpr_0_1pct=operating_point("tpr_at_fpr_0_1pct", model, validation_labels, labels),
    )


def with_interval(key: str, model: Resampled, labels: Array) -> Estimate:
    """Return an estimate with its interval; where every row is right or every one wrong, with the
    exact one.
    """
    value, draws = model.point[key], model.draws[key]
    low, high = (
        bootstrap.interval_around(value, draws) if key == "ece" else bootstrap.interval(draws)
    )
    if low == high and key not in ("brier", "ece"):
        # Of the rows that the share is one of; F1 and the areas have none of their own, all rows
        # stand in for them.
        rows = int((labels == 1).sum()) if key in OPERATING_POINTS else len(labels)
        exact = binomtest(round(value * rows), rows).proportion_ci(
            bootstrap.CONFIDENCE, method="exact"
        )
        low, high = float(exact.low), float(exact.high)
    return Estimate(rounded(value), rounded(low), rounded(high))


def operating_point(
    name: str, model: Resampled, validation_labels: Array, labels: Array
) -> OperatingPoint | Unmeasured:
    """Return the share of phishing found at a false-positive rate set on validation, and the rate
    that came of it.
    """
    fpr, outcome = OPERATING_POINTS[name], model.outcome
    if name not in model.fixed:
        safe = int((validation_labels == 0).sum())
        needed = round(metrics.LEAST_FALSE_POSITIVES / fpr)
        return Unmeasured(
            f"validation has {safe} safe rows; a false-positive rate of {fpr:.1%} needs {needed}"
        )
    threshold, estimate = model.fixed[name], with_interval(name, model, labels)
    on_validation = metrics.false_positive_rate(outcome.validation, validation_labels, threshold)
    return OperatingPoint(
        estimate.value,
        estimate.low,
        estimate.high,
        threshold=threshold,
        validation_fpr=rounded(on_validation),
        test_fpr=rounded(metrics.false_positive_rate(outcome.test, labels, threshold)),
    )


def intervals_report(assessment: Assessment, labels: Array, method: Method) -> Intervals:
    """Return every model's estimates on the test split."""
    return Intervals(
        confidence=bootstrap.CONFIDENCE,
        resamples=method.resamples,
        seed=method.seed,
        rows=ClassRows(safe=int((labels == 0).sum()), phishing=int((labels == 1).sum())),
        ece_bins=metrics.ECE_BINS,
        models=assessment.models,
    )


def hops_report(assessment: Assessment, labels: Array, method: Method) -> Hops:
    """Return every hop on the test split."""
    return Hops(bootstrap.CONFIDENCE, method.margin, len(labels), assessment.hops)


def calibration_report(
    outcomes: Mapping[str, Outcome],
    *,
    validation_labels: Array,
    labels: Array,
    rule: ThresholdParams,
) -> Calibrations:
    """Return what validation set for each model by `rule`, and what that does on test."""
    models = {
        name: calibration.calibrated(
            validation=(outcome.validation, validation_labels),
            test=(outcome.test, labels),
            threshold=outcome.threshold,
        )
        for name, outcome in outcomes.items()
    }
    precision = None if rule.precision is None else WantedPrecision(**rule.precision.model_dump())
    return Calibrations(metrics.ECE_BINS, rule.fpr, models, rule.f1, precision)


def unpaired(model: str, one: Assessment, other: Assessment) -> AgainstPipeline:
    """Return other − one of a model on two test sets, with the interval for two independent
    samples.
    """

    def difference(key: str, before: Estimate, after: Estimate) -> Difference:
        moved = other.resampled[model][key] - one.resampled[model][key]
        return comparison.difference(before.value, after.value, moved)

    before, after = one.models[model], other.models[model]
    return AgainstPipeline(
        f1=difference("f1", before.f1, after.f1),
        roc_auc=difference("roc_auc", before.roc_auc, after.roc_auc),
    )


def elsewhere(assessment: Assessment, labels: Array) -> OtherRows:
    """Return what is told of models on other rows than the test split's: the main estimates and the
    hops.
    """
    models = {
        name: MainEstimates(estimates.accuracy, estimates.f1, estimates.roc_auc)
        for name, estimates in assessment.models.items()
    }
    return OtherRows(len(labels), models, assessment.hops)
