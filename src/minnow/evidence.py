"""Every model on the same rows: estimates with intervals, and what each hop cost, in the shapes of metrics/*.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minnow import calibration, comparison, metrics, resampling
from minnow.metrics import Array, rounded
from minnow.resampling import Ranked

# Share of phishing found at these false-positive rates; validation sets the thresholds.
OPERATING_POINTS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}
ESTIMATES = ("accuracy", "f1", "roc_auc", "average_precision", "brier", "ece")
HOPS = (("teacher", "student"), ("student", "quantized"), ("teacher", "quantized"))
AGAINST_BASELINE = (("baseline", "teacher"), ("baseline", "quantized"))
COMPARED = ("f1", "roc_auc")


@dataclass(frozen=True)
class Outcome:
    """One model's margins (rows,) on validation and on a test set, and the margin above which it says phishing."""

    validation: Array
    test: Array
    threshold: float


@dataclass(frozen=True)
class Method:
    """How models are judged: the margin of non-inferiority in f1, and the bootstrap's resamples and seed."""

    margin: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Judgement:
    """What a set of models is worth on one test set: estimates with intervals per model, and hops between models."""

    models: dict[str, dict[str, Any]]
    hops: list[dict[str, Any]]


def judge(
    outcomes: Mapping[str, Outcome],
    *,
    validation_labels: Array,
    labels: Array,
    hops: Sequence[tuple[str, str]],
    method: Method,
) -> Judgement:
    """Judge all models on the same rows and the same resamples; `labels` (rows,) are the test set's."""
    ranked = {name: Ranked.of(outcome.test, labels) for name, outcome in outcomes.items()}
    thresholds = {name: thresholds_of(outcome, validation_labels) for name, outcome in outcomes.items()}
    points = {name: resampling.point(model, thresholds[name]) for name, model in ranked.items()}
    resampled = resampling.bootstrap(ranked, thresholds, labels, resamples=method.resamples, seed=method.seed)
    models = {
        name: {
            **{key: with_interval(points[name][key], resampled[name][key]) for key in ESTIMATES},
            **{
                key: operating_point(key, outcome, points[name], resampled[name], validation_labels, labels)
                for key in OPERATING_POINTS
            },
        }
        for name, outcome in outcomes.items()
    }
    estimated = {name: (outcomes[name], points[name], resampled[name]) for name in outcomes}
    between = [
        {"before": before, "after": after, **hop(estimated[before], estimated[after], labels, method)}
        for before, after in hops
    ]
    return Judgement(models, between)


Estimated = tuple[Outcome, Mapping[str, float], Mapping[str, Array]]


def hop(before: Estimated, after: Estimated, labels: Array, method: Method) -> dict[str, Any]:
    """Return what changed between two models on the same rows, from their estimates there and in each resample."""
    (one, old, old_resampled), (other, new, new_resampled) = before, after
    moved = {key: new_resampled[key] - old_resampled[key] for key in COMPARED}
    return {
        **{key: comparison.difference(old[key], new[key], moved[key]) for key in COMPARED},
        **comparison.changes(one.test, other.test, labels, thresholds=(one.threshold, other.threshold)),
        **comparison.judged(old["f1"], new["f1"], moved["f1"], margin=method.margin, rows=len(labels)),
    }


def thresholds_of(outcome: Outcome, validation_labels: Array) -> dict[str, float]:
    """Return the model's thresholds by name, taken on validation; left out where it has too few safe rows."""
    points = {
        name: metrics.threshold_at_fpr(outcome.validation, validation_labels, fpr)
        for name, fpr in OPERATING_POINTS.items()
    }
    return {"decision": outcome.threshold, **{name: at for name, at in points.items() if at is not None}}


def with_interval(value: float, resampled: Array) -> dict[str, float]:
    """Return an estimate with its interval."""
    low, high = resampling.interval(resampled)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def operating_point(
    name: str,
    outcome: Outcome,
    point: Mapping[str, float],
    resampled: Mapping[str, Array],
    validation_labels: Array,
    labels: Array,
) -> dict[str, Any]:
    """Return the share of phishing found at a false-positive rate set on validation, and the rate that came of it."""
    fpr = OPERATING_POINTS[name]
    if name not in point:
        safe = int((validation_labels == 0).sum())
        needed = round(1 / fpr)
        reason = f"validation has {safe} safe rows; a false-positive rate of {fpr:.1%} needs {needed}"
        return {"value": None, "reason": reason}
    threshold = metrics.threshold_at_fpr(outcome.validation, validation_labels, fpr)
    assert threshold is not None, "thresholds_of found one"
    return {
        **with_interval(point[name], resampled[name]),
        "threshold": threshold,
        "validation_fpr": rounded(metrics.false_positive_rate(outcome.validation, validation_labels, threshold)),
        "test_fpr": rounded(metrics.false_positive_rate(outcome.test, labels, threshold)),
    }


def intervals_report(judgement: Judgement, labels: Array, method: Method) -> dict[str, Any]:
    """Return what metrics/intervals.json holds."""
    return {
        "confidence": resampling.CONFIDENCE,
        "resamples": method.resamples,
        "seed": method.seed,
        "rows": {"safe": int((labels == 0).sum()), "phishing": int((labels == 1).sum())},
        "ece_bins": metrics.ECE_BINS,
        "models": judgement.models,
    }


def hops_report(judgement: Judgement, labels: Array, method: Method) -> dict[str, Any]:
    """Return what metrics/hops.json holds."""
    return {
        "confidence": resampling.CONFIDENCE,
        "margin": method.margin,
        "rows": len(labels),
        "hops": judgement.hops,
    }


def calibration_report(
    outcomes: Mapping[str, Outcome], *, validation_labels: Array, labels: Array, wanted_fpr: float | None
) -> dict[str, Any]:
    """Return what metrics/calibration.json holds: what validation set for each model, and what it does on test."""
    models = {
        name: calibration.calibration(
            validation=(outcome.validation, validation_labels),
            test=(outcome.test, labels),
            threshold=outcome.threshold,
        )
        for name, outcome in outcomes.items()
    }
    return {"ece_bins": metrics.ECE_BINS, "wanted_fpr": wanted_fpr, "models": models}


def elsewhere(judgement: Judgement, labels: Array) -> dict[str, Any]:
    """Return what is told of models on other rows than the test split's: the main estimates and the hops."""
    return {
        "rows": len(labels),
        "models": {
            name: {key: found[key] for key in ("accuracy", "f1", "roc_auc")} for name, found in judgement.models.items()
        },
        "hops": judgement.hops,
    }
