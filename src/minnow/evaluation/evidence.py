"""Every model on the same rows: estimates with intervals, and what each hop cost, in the shapes of
metrics/*.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import binomtest

from minnow.evaluation import bootstrap, calibration, comparison, metrics
from minnow.evaluation.bootstrap import Ranked, Thresholds
from minnow.evaluation.metrics import Array, rounded

# Share of phishing found at these false-positive rates; validation sets the thresholds.
OPERATING_POINTS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}
ESTIMATES = ("accuracy", "f1", "roc_auc", "average_precision", "brier", "ece")
COMPARED = ("f1", "roc_auc")


@dataclass(frozen=True)
class Outcome:
    """One model's margins (rows,) on validation and on a test set, and the margin above which it
    says phishing.

    `fpr` is the false-positive rate for which validation set that threshold, if one was wanted.
    """

    validation: Array
    test: Array
    threshold: float
    fpr: float | None = None


@dataclass(frozen=True)
class Method:
    """How models are judged: the margin of non-inferiority in f1, and the bootstrap's resamples and
    seed.
    """

    margin: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Judgement:
    """What a set of models is worth on one test set: estimates with intervals per model, and hops
    between models.

    `resampled` holds each estimate of each model in every resample, (resamples,).
    """

    models: dict[str, dict[str, Any]]
    hops: list[dict[str, Any]]
    resampled: dict[str, dict[str, Array]] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Estimated:
    """A model with its estimates on the rows as they are and in each resample."""

    outcome: Outcome
    point: Mapping[str, float]
    resampled: Mapping[str, Array]


def judge(
    outcomes: Mapping[str, Outcome],
    *,
    validation_labels: Array,
    labels: Array,
    hops: Sequence[tuple[str, str]],
    method: Method,
) -> Judgement:
    """Judge all models on the same rows and the same resamples; `labels` (rows,) are the test
    set's.
    """
    ranked = {name: Ranked.of(outcome.test, labels) for name, outcome in outcomes.items()}
    fixed = {name: thresholds_of(outcome, validation_labels) for name, outcome in outcomes.items()}
    drawn = drawn_thresholds(
        outcomes, validation_labels, resamples=method.resamples, seed=method.seed
    )
    resampled = bootstrap.bootstrap(
        ranked, drawn, labels, resamples=method.resamples, seed=method.seed
    )
    estimated = {
        name: Estimated(outcome, bootstrap.point(ranked[name], fixed[name]), resampled[name])
        for name, outcome in outcomes.items()
    }
    models = {
        name: {
            **{key: with_interval(key, each, labels) for key in ESTIMATES},
            **{
                key: operating_point(key, each, fixed[name], validation_labels, labels)
                for key in OPERATING_POINTS
            },
        }
        for name, each in estimated.items()
    }
    between = [
        {
            "before": before,
            "after": after,
            **hop(estimated[before], estimated[after], labels, method),
        }
        for before, after in hops
    ]
    return Judgement(models, between, resampled)


def hop(before: Estimated, after: Estimated, labels: Array, method: Method) -> dict[str, Any]:
    """Return what changed between two models on the same rows, from their estimates there and in
    each resample.
    """
    changed = comparison.changes(
        before.outcome.test,
        after.outcome.test,
        labels,
        thresholds=(before.outcome.threshold, after.outcome.threshold),
    )
    moved = {key: after.resampled[key] - each for key, each in before.resampled.items()}
    known = [key for key in (*COMPARED, "tpr_at_fpr_1pct") if key in moved]
    return {
        "tpr_at_fpr_1pct": None,
        **{
            key: comparison.difference(before.point[key], after.point[key], moved[key])
            for key in known
        },
        **changed,
        **comparison.judged(
            before.point["f1"],
            after.point["f1"],
            moved["f1"],
            flipped=changed,
            labels=labels,
            margin=method.margin,
        ),
    }


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
        **{name: at for name, at in points.items() if at is not None},
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
    found: dict[str, dict[str, float | Array]] = {}
    wanted: dict[str, dict[str, float]] = {}
    for name, outcome in outcomes.items():
        fixed = thresholds_of(outcome, validation_labels)
        wanted[name] = {key: fpr for key, fpr in OPERATING_POINTS.items() if key in fixed}
        if outcome.fpr is not None:
            wanted[name]["decision"] = outcome.fpr
        found[name] = {
            "decision": outcome.threshold,
            **{key: np.empty(resamples) for key in wanted[name]},
        }
    first = 0
    for weights in bootstrap.draws(
        np.zeros(int((validation_labels == 0).sum())), resamples=resamples, seed=seed + 1
    ):
        for name, fprs in wanted.items():
            for key, fpr in fprs.items():
                into = found[name][key]
                assert not isinstance(into, float), "made above"
                into[first : first + len(weights)] = bootstrap.threshold_draws(
                    safe[name], weights, fpr=fpr
                )
        first += len(weights)
    return dict(found)


def with_interval(key: str, each: Estimated, labels: Array) -> dict[str, float]:
    """Return an estimate with its interval; where every row is right or every one wrong, with the
    exact one.
    """
    value, resampled = each.point[key], each.resampled[key]
    low, high = (
        bootstrap.interval_around(value, resampled)
        if key == "ece"
        else bootstrap.interval(resampled)
    )
    if low == high and key not in ("brier", "ece"):
        # Of the rows that the share is one of; F1 and the areas have none of their own, all rows
        # stand in for them.
        rows = int((labels == 1).sum()) if key in OPERATING_POINTS else len(labels)
        exact = binomtest(round(value * rows), rows).proportion_ci(
            bootstrap.CONFIDENCE, method="exact"
        )
        low, high = float(exact.low), float(exact.high)
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def operating_point(
    name: str, each: Estimated, fixed: Mapping[str, float], validation_labels: Array, labels: Array
) -> dict[str, Any]:
    """Return the share of phishing found at a false-positive rate set on validation, and the rate
    that came of it.
    """
    fpr, outcome = OPERATING_POINTS[name], each.outcome
    if name not in fixed:
        safe = int((validation_labels == 0).sum())
        needed = round(metrics.LEAST_FALSE_POSITIVES / fpr)
        reason = (
            f"validation has {safe} safe rows; a false-positive rate of {fpr:.1%} needs {needed}"
        )
        return {"value": None, "reason": reason}
    return {
        **with_interval(name, each, labels),
        "threshold": fixed[name],
        "validation_fpr": rounded(
            metrics.false_positive_rate(outcome.validation, validation_labels, fixed[name])
        ),
        "test_fpr": rounded(metrics.false_positive_rate(outcome.test, labels, fixed[name])),
    }


def intervals_report(judgement: Judgement, labels: Array, method: Method) -> dict[str, Any]:
    """Return what metrics/intervals.json holds."""
    return {
        "confidence": bootstrap.CONFIDENCE,
        "resamples": method.resamples,
        "seed": method.seed,
        "rows": {"safe": int((labels == 0).sum()), "phishing": int((labels == 1).sum())},
        "ece_bins": metrics.ECE_BINS,
        "models": judgement.models,
    }


def hops_report(judgement: Judgement, labels: Array, method: Method) -> dict[str, Any]:
    """Return what metrics/hops.json holds."""
    return {
        "confidence": bootstrap.CONFIDENCE,
        "margin": method.margin,
        "rows": len(labels),
        "hops": judgement.hops,
    }


def calibration_report(
    outcomes: Mapping[str, Outcome],
    *,
    validation_labels: Array,
    labels: Array,
    wanted_fpr: float | None,
) -> dict[str, Any]:
    """Return what metrics/calibration.json holds: what validation set for each model, and what it
    does on test.
    """
    models = {
        name: calibration.calibration(
            validation=(outcome.validation, validation_labels),
            test=(outcome.test, labels),
            threshold=outcome.threshold,
        )
        for name, outcome in outcomes.items()
    }
    return {"ece_bins": metrics.ECE_BINS, "wanted_fpr": wanted_fpr, "models": models}


def unpaired(model: str, one: Judgement, other: Judgement) -> dict[str, Any]:
    """Return other − one of a model on two test sets, with the interval for two independent
    samples.
    """
    return {
        key: comparison.difference(
            one.models[model][key]["value"],
            other.models[model][key]["value"],
            other.resampled[model][key] - one.resampled[model][key],
        )
        for key in COMPARED
    }


def elsewhere(judgement: Judgement, labels: Array) -> dict[str, Any]:
    """Return what is told of models on other rows than the test split's: the main estimates and the
    hops.
    """
    return {
        "rows": len(labels),
        "models": {
            name: {key: found[key] for key in ("accuracy", "f1", "roc_auc")}
            for name, found in judgement.models.items()
        },
        "hops": judgement.hops,
    }
