"""Every model on the same rows: estimates with intervals, and what each hop cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import binomtest

from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.thresholds import threshold_at_fpr
from minnow.evaluation import bootstrap, calibration, metrics
from minnow.evaluation.bootstrap import Ranked, Thresholds
from minnow.evaluation.drawn_thresholds import drawn_by_rules, few_to_set, no_interval
from minnow.evaluation.hops import hops_between
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.outcomes import Method, Outcome, Resampled, guesses_of
from minnow.evaluation.prevalence import at_prevalences
from minnow.evaluation.records import (
    OPERATING_POINTS,
    CalibrationError,
    Estimate,
    Estimates,
    Hop,
    OperatingPoint,
    SampleFacts,
    Unmeasured,
)
from minnow.evaluation.units import (
    FEW_FLIPS,
    JudgedRows,
    Units,
    effective_rows,
    equal_units,
    sample_facts,
)


@dataclass(frozen=True)
class Assessment:
    """What a set of models is worth on one test set: estimates with intervals per model, and hops
    between models.

    `resampled` holds each metric of each model in every resample, (resamples,).
    """

    sample: SampleFacts
    models: dict[str, Estimates]
    hops: tuple[Hop, ...]
    resampled: dict[str, dict[str, Array]] = field(compare=False, repr=False)


def assess(
    outcomes: Mapping[str, Outcome],
    *,
    validation: JudgedRows,
    test: JudgedRows,
    hops: Sequence[tuple[str, str]],
    method: Method,
) -> Assessment:
    """Judge all models on the same rows and the same resamples of both splits."""
    rules = [outcome.rule for outcome in outcomes.values()]
    sample = replace(sample_facts(test), no_interval=no_interval(test, validation, rules))
    draws = resampled(outcomes, validation, test, method)
    models = {}
    for name, outcome in outcomes.items():
        fixed = thresholds_of(outcome, validation)
        point = bootstrap.point(outcome.test, test, fixed)
        models[name] = Resampled(
            name, outcome, fixed, point, draws[name], known=sample.no_interval is None
        )
    return Assessment(
        sample,
        {name: estimates_of(model, validation, test, method) for name, model in models.items()},
        hops_between([(models[before], models[after]) for before, after in hops], test, method),
        draws,
    )


def resampled(
    outcomes: Mapping[str, Outcome], validation: JudgedRows, test: JudgedRows, method: Method
) -> dict[str, dict[str, Array]]:
    """Return each metric of each model in every resample, (resamples,); validation is resampled
    too, as it set the thresholds.
    """
    ranked = {
        name: Ranked.of(outcome.test, test, (outcome.threshold,))
        for name, outcome in outcomes.items()
    }
    drawn = drawn_by_rules(
        {name: outcome.validation for name, outcome in outcomes.items()},
        {name: rules_of(outcome, validation) for name, outcome in outcomes.items()},
        validation,
        resamples=method.resamples,
        seed=method.seed + 1,
    )
    thresholds: dict[str, Thresholds] = {
        name: {"decision": outcome.threshold, **drawn[name]} for name, outcome in outcomes.items()
    }
    return bootstrap.bootstrap(
        ranked, thresholds, test.units.count, resamples=method.resamples, seed=method.seed
    )


# Thresholds


def thresholds_of(outcome: Outcome, validation: JudgedRows) -> dict[str, float]:
    """Return the model's thresholds by name, taken on validation; left out where it has too few
    safe rows, or these too few domains.
    """
    points = {
        name: threshold_at_fpr(
            outcome.validation, validation.labels, fpr, least=metrics.LEAST_FALSE_POSITIVES
        )
        for name, fpr in OPERATING_POINTS.items()
        if not few_to_set(at_rate(fpr), validation)
    }
    return {
        "decision": outcome.threshold,
        **{name: threshold for name, threshold in points.items() if threshold is not None},
    }


def rules_of(outcome: Outcome, validation: JudgedRows) -> dict[str, ThresholdParams]:
    """Return the rules by which validation sets thresholds of the model, by the threshold's
    name.
    """
    fixed = thresholds_of(outcome, validation)
    rules = {name: at_rate(fpr) for name, fpr in OPERATING_POINTS.items() if name in fixed}
    return rules if outcome.rule == EVEN_ODDS else {**rules, "decision": outcome.rule}


def at_rate(fpr: float) -> ThresholdParams:
    """Return the rule that allows this share of false alarms."""
    return ThresholdParams(fpr=fpr, f1=False, precision=None)


# Estimates


def estimates_of(
    model: Resampled, validation: JudgedRows, rows: JudgedRows, method: Method
) -> Estimates:
    """Return all estimates of a model, with intervals."""
    tpr, fpr = with_interval("tpr", model, rows), with_interval("fpr", model, rows)
    return Estimates(
        accuracy=with_interval("accuracy", model, rows),
        f1=with_interval("f1", model, rows),
        roc_auc=with_interval("roc_auc", model, rows),
        tpr=tpr,
        fpr=fpr,
        effective_rows=effective_rows(guesses_of(model) == rows.labels, rows.units),
        average_precision=with_interval("average_precision", model, rows),
        brier=with_interval("brier", model, rows),
        ece=calibration_error(model),
        tpr_at_fpr_1pct=operating_point("tpr_at_fpr_1pct", model, validation, rows),
        tpr_at_fpr_0_1pct=operating_point("tpr_at_fpr_0_1pct", model, validation, rows),
        at_prevalence=at_prevalences(
            method.prevalences,
            (model.point["tpr"], model.point["fpr"]),
            (tpr, fpr),
            (model.draws["tpr"], model.draws["fpr"]),
        ),
    )


def with_interval(key: str, model: Resampled, rows: JudgedRows) -> Estimate:
    """Return an estimate with its interval; [0, 1] where none can be had.

    Where no resample differs, or few units hold what a rate counts, the bootstrap knows too little:
    the interval then holds the exact one too, of the equal units that the rows weigh as much as.
    """
    value, draws = float(model.point[key]), model.draws[key]
    if not model.known:
        return Estimate(rounded(value), 0.0, 1.0)
    low, high = bootstrap.interval(draws)
    if key != "brier" and (low == high or has_few_events(key, model, rows)):
        exact = exact_interval(value, rows.units.part(share_of(key, rows)))
        low, high = min(low, exact[0]), max(high, exact[1])
    return Estimate(rounded(value), rounded(low), rounded(high))


def has_few_events(key: str, model: Resampled, rows: JudgedRows) -> bool:
    """Return whether a metric is a rate, and fewer than FEW_FLIPS units hold a row that is called
    phishing, or one that is not: with few alarms the percentile interval ends too low.
    """
    name = "decision" if key in ("tpr", "fpr") else key.removesuffix(bootstrap.FPR)
    if name not in model.fixed:
        return False
    called, counted = metrics.predicted(model.outcome.test, model.fixed[name]), share_of(key, rows)
    holding = (rows.units.part(counted & (called == guess)).count for guess in (0, 1))
    return min(holding) < FEW_FLIPS


def share_of(key: str, rows: JudgedRows) -> Array:
    """Return the rows that a metric is a share of, as a mask (rows,): F1 and the areas have none of
    their own, all rows stand in for them.
    """
    if key.endswith("fpr"):
        return np.asarray(rows.labels == 0)
    found = key == "tpr" or key in OPERATING_POINTS
    return np.asarray(rows.labels == 1) if found else np.ones(len(rows.labels), dtype=bool)


def exact_interval(value: float, units: Units) -> tuple[float, float]:
    """Return the exact binomial interval of a share of units (Clopper & Pearson 1934)."""
    trials = max(1, round(equal_units(units)))
    exact = binomtest(round(value * trials), trials).proportion_ci(
        bootstrap.CONFIDENCE, method="exact"
    )
    return float(exact.low), float(exact.high)


def calibration_error(model: Resampled) -> CalibrationError:
    """Return the calibration error without what chance adds to it."""
    gaps = model.point["gaps"]
    value, low, high = calibration.without_chance(gaps, model.draws["gaps"])
    return CalibrationError(
        rounded(value),
        rounded(low) if model.known else 0.0,
        rounded(high) if model.known else 1.0,
        measured=rounded(np.abs(gaps).sum()),
        null=rounded(metrics.calibration_null(model.outcome.test)),
    )


def operating_point(
    name: str, model: Resampled, validation: JudgedRows, rows: JudgedRows
) -> OperatingPoint | Unmeasured:
    """Return the share of phishing found at a false-positive rate set on validation, and the rate
    that came of it.
    """
    fpr, outcome = OPERATING_POINTS[name], model.outcome
    if name not in model.fixed:
        return Unmeasured(why_unmeasured(fpr, validation))
    threshold, estimate = model.fixed[name], with_interval(name, model, rows)
    on_validation = metrics.false_positive_rate(outcome.validation, validation.labels, threshold)
    return OperatingPoint(
        estimate.value,
        estimate.low,
        estimate.high,
        threshold=threshold,
        validation_fpr=rounded(on_validation),
        test_fpr=with_interval(name + bootstrap.FPR, model, rows),
    )


def why_unmeasured(fpr: float, validation: JudgedRows) -> str:
    """Return why validation sets no threshold for a false-positive rate: too few safe rows, or too
    few domains of them.
    """
    safe, needed = validation.count(0), round(metrics.LEAST_FALSE_POSITIVES / fpr)
    few = few_to_set(at_rate(fpr), validation)
    if safe >= needed and few:
        return f"of validation {few}"
    return f"validation has {safe} safe rows; a false-positive rate of {fpr:.1%} needs {needed}"
