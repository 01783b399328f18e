"""Every model on the same rows: estimates with intervals, and what each hop cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import binomtest

from minnow.evaluation import bootstrap, calibration, comparison, domain_flips, metrics
from minnow.evaluation.bootstrap import Ranked
from minnow.evaluation.comparison import Changes, Ruling
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.prevalence import at_prevalences
from minnow.evaluation.records import (
    RIVALS,
    CalibrationError,
    Difference,
    Estimate,
    Estimates,
    Hop,
    OperatingPoint,
    Sample,
    Unmeasured,
)
from minnow.evaluation.thresholds import Rule, drawn_by_rules
from minnow.evaluation.units import (
    Rows,
    Units,
    effective_rows,
    equal_units,
    sample_of,
    too_few_units,
)

# Share of phishing found at these false-positive rates; validation sets the thresholds.
OPERATING_POINTS = {"tpr_at_fpr_1pct": 0.01, "tpr_at_fpr_0_1pct": 0.001}


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
class Assessment:
    """What a set of models is worth on one test set: estimates with intervals per model, and hops
    between models.

    `resampled` holds each metric of each model in every resample, (resamples,).
    """

    sample: Sample
    models: dict[str, Estimates]
    hops: tuple[Hop, ...]
    resampled: dict[str, dict[str, Array]] = field(compare=False, repr=False)


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


def assess(
    outcomes: Mapping[str, Outcome],
    *,
    validation: Rows,
    test: Rows,
    hops: Sequence[tuple[str, str]],
    method: Method,
) -> Assessment:
    """Judge all models on the same rows and the same resamples of both splits."""
    sample = sample_of(test)
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
    outcomes: Mapping[str, Outcome], validation: Rows, test: Rows, method: Method
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
    thresholds = {
        name: {"decision": outcome.threshold, **drawn[name]} for name, outcome in outcomes.items()
    }
    return bootstrap.bootstrap(
        ranked, thresholds, test.units.count, resamples=method.resamples, seed=method.seed
    )


# Hops


def hops_between(
    pairs: Sequence[tuple[Resampled, Resampled]], rows: Rows, method: Method
) -> tuple[Hop, ...]:
    """Return what changed between each two models, verdicts corrected for the number of pairs."""
    changed = [
        comparison.changes(
            before.outcome.test,
            after.outcome.test,
            rows,
            thresholds=(before.outcome.threshold, after.outcome.threshold),
        )
        for before, after in pairs
    ]
    rulings = [
        ruling_between(*pair, each.net, rows, margin_of(pair[0], method))
        for pair, each in zip(pairs, changed, strict=True)
    ]
    return tuple(
        hop_of(*pair, each, said, rows, margin_of(pair[0], method))
        for pair, each, *said in zip(
            pairs, changed, rulings, comparison.corrected(rulings), strict=True
        )
    )


def margin_of(before: Resampled, method: Method) -> float:
    """Return the loss of f1 that is small enough; a rival is allowed none."""
    return 0.0 if before.name in RIVALS else method.margin


def ruling_between(
    before: Resampled, after: Resampled, net: Array, rows: Rows, margin: float
) -> Ruling:
    """Return what may be said of a difference of f1; nothing where no interval can be had."""
    if not before.known:
        return comparison.NOTHING
    moved = after.draws["f1"] - before.draws["f1"]
    one, other = (float(model.point["f1"]) for model in (before, after))
    return comparison.ruling(one, other, moved, net=net, rows=rows, margin=margin)


def hop_of(
    before: Resampled,
    after: Resampled,
    changed: Changes,
    said: Sequence[Ruling],
    rows: Rows,
    margin: float,
) -> Hop:
    """Return what changed between two models on the same rows; `said` is the ruling before and
    after its correction.
    """
    raw, corrected = said
    uncorrected = comparison.verdict(raw.allowed)
    claim = "non_inferior" if uncorrected == "undecided" else uncorrected
    guesses = domain_flips.Guesses(*(predicted(model) for model in (before, after)), rows)
    few = "tpr_at_fpr_1pct" in before.fixed and "tpr_at_fpr_1pct" in after.fixed
    return Hop(
        before=before.name,
        after=after.name,
        f1=change("f1", before, after),
        roc_auc=change("roc_auc", before, after),
        tpr_at_fpr_1pct=change("tpr_at_fpr_1pct", before, after) if few else None,
        changed=changed.flips.changed,
        worse=changed.flips.worse,
        better=changed.flips.better,
        agreement=changed.agreement,
        mcnemar_p=changed.mcnemar_p,
        clustered_p=changed.clustered_p,
        mean_abs_dp=changed.mean_abs_dp,
        verdict=comparison.verdict(corrected.allowed),
        uncorrected=uncorrected,
        p=rounded(raw.p[claim]),
        adjusted_p=rounded(corrected.p[claim]),
        rows_needed=raw.rows_needed,
        more_rows_show=raw.more_rows_show,
        domains=domain_flips.top(guesses),
        decisive=domain_flips.decisive(guesses, margin),
    )


def predicted(model: Resampled) -> Array:
    """Return a model's predictions on test at its threshold, (rows,)."""
    return metrics.predicted(model.outcome.test, model.outcome.threshold)


def change(key: str, before: Resampled, after: Resampled) -> Difference:
    """Return after − before of a metric, with its interval; [−1, 1] where none can be had."""
    one, other = (float(model.point[key]) for model in (before, after))
    if not before.known:
        return Difference(rounded(other - one), -1.0, 1.0)
    return comparison.difference(one, other, after.draws[key] - before.draws[key])


# Thresholds


def thresholds_of(outcome: Outcome, validation: Rows) -> dict[str, float]:
    """Return the model's thresholds by name, taken on validation; left out where it has too few
    safe rows.
    """
    points = {
        name: metrics.threshold_at_fpr(
            outcome.validation, validation.labels, fpr, least=metrics.LEAST_FALSE_POSITIVES
        )
        for name, fpr in OPERATING_POINTS.items()
    }
    return {
        "decision": outcome.threshold,
        **{name: threshold for name, threshold in points.items() if threshold is not None},
    }


def rules_of(outcome: Outcome, validation: Rows) -> dict[str, Rule]:
    """Return the rules by which validation sets thresholds of the model, by the threshold's
    name.
    """
    fixed = thresholds_of(outcome, validation)
    rules = {name: Rule(fpr=fpr) for name, fpr in OPERATING_POINTS.items() if name in fixed}
    return rules if outcome.rule is None else {**rules, "decision": outcome.rule}


# Estimates


def estimates_of(model: Resampled, validation: Rows, rows: Rows, method: Method) -> Estimates:
    """Return all estimates of a model, with intervals."""
    tpr, fpr = with_interval("tpr", model, rows), with_interval("fpr", model, rows)
    return Estimates(
        accuracy=with_interval("accuracy", model, rows),
        f1=with_interval("f1", model, rows),
        roc_auc=with_interval("roc_auc", model, rows),
        tpr=tpr,
        fpr=fpr,
        effective_rows=effective_rows(predicted(model) == rows.labels, rows.units),
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


def with_interval(key: str, model: Resampled, rows: Rows) -> Estimate:
    """Return an estimate with its interval: where every row is right or every one wrong the exact
    one, of the equal units that the rows weigh as much as; [0, 1] where none can be had.
    """
    value, draws = float(model.point[key]), model.draws[key]
    if not model.known:
        return Estimate(rounded(value), 0.0, 1.0)
    low, high = bootstrap.interval(draws)
    if low == high and key != "brier":
        low, high = exact_interval(value, rows.units.part(share_of(key, rows)))
    return Estimate(rounded(value), rounded(low), rounded(high))


def share_of(key: str, rows: Rows) -> Array:
    """Return the rows that a metric is a share of, as a mask (rows,): F1 and the areas have none of
    their own, all rows stand in for them.
    """
    if key == "fpr":
        return rows.labels == 0
    found = key == "tpr" or key in OPERATING_POINTS
    return rows.labels == 1 if found else np.ones(len(rows.labels), dtype=bool)


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
    name: str, model: Resampled, validation: Rows, rows: Rows
) -> OperatingPoint | Unmeasured:
    """Return the share of phishing found at a false-positive rate set on validation, and the rate
    that came of it.
    """
    fpr, outcome = OPERATING_POINTS[name], model.outcome
    if name not in model.fixed:
        needed = round(metrics.LEAST_FALSE_POSITIVES / fpr)
        return Unmeasured(
            f"validation has {validation.count(0)} safe rows; a false-positive rate of {fpr:.1%}"
            f" needs {needed}"
        )
    if few := too_few_units(validation.units.part(validation.labels == 0), "safe "):
        return Unmeasured(f"of validation {few}")
    threshold, estimate = model.fixed[name], with_interval(name, model, rows)
    on_validation = metrics.false_positive_rate(outcome.validation, validation.labels, threshold)
    return OperatingPoint(
        estimate.value,
        estimate.low,
        estimate.high,
        threshold=threshold,
        validation_fpr=rounded(on_validation),
        test_fpr=rounded(metrics.false_positive_rate(outcome.test, rows.labels, threshold)),
    )
