"""Assessments to the records of metrics/evidence."""

from collections.abc import Mapping
from dataclasses import fields

from minnow.core.params import ThresholdParams
from minnow.evaluation import bootstrap, calibration, comparison, metrics
from minnow.evaluation.calibration_records import Calibrations, WantedPrecision
from minnow.evaluation.evidence import Assessment
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.records import (
    AgainstPipeline,
    Difference,
    Estimate,
    Hops,
    Intervals,
    MainEstimates,
    OtherRows,
)
from minnow.evaluation.units import JudgedRows, too_few


def intervals_report(assessment: Assessment, method: Method) -> Intervals:
    """Return every model's estimates on the test split."""
    return Intervals(
        confidence=bootstrap.CONFIDENCE,
        resamples=method.resamples,
        seed=method.seed,
        rows=assessment.sample,
        ece_bins=metrics.ECE_BINS,
        models=assessment.models,
    )


def hops_report(assessment: Assessment, method: Method) -> Hops:
    """Return every hop on the test split."""
    return Hops(bootstrap.CONFIDENCE, method.margin, assessment.sample.total, assessment.hops)


def calibration_report(
    outcomes: Mapping[str, Outcome],
    *,
    validation: JudgedRows,
    test: JudgedRows,
    rule: ThresholdParams,
) -> Calibrations:
    """Return what validation set for each model by `rule`, and what that does on test."""
    models = {
        name: calibration.calibrated(
            validation=(outcome.validation, validation.labels),
            test=(outcome.test, test.labels),
            threshold=outcome.threshold,
        )
        for name, outcome in outcomes.items()
    }
    precision = None if rule.precision is None else WantedPrecision(**rule.precision.model_dump())
    few = too_few(validation)
    return Calibrations(metrics.ECE_BINS, rule.fpr, models, rule.f1, precision, few)


def unpaired(model: str, one: Assessment, other: Assessment) -> AgainstPipeline:
    """Return other − one of a model on two test sets, with the interval for two independent
    samples.
    """

    def difference(key: str, before: Estimate, after: Estimate) -> Difference:
        moved = other.resampled[model][key] - one.resampled[model][key]
        if one.sample.no_interval or other.sample.no_interval:
            return Difference(metrics.rounded(after.value - before.value), -1.0, 1.0)
        return comparison.difference(before.value, after.value, moved)

    before, after = one.models[model], other.models[model]
    return AgainstPipeline(
        f1=difference("f1", before.f1, after.f1),
        roc_auc=difference("roc_auc", before.roc_auc, after.roc_auc),
    )


def elsewhere(assessment: Assessment) -> OtherRows:
    """Return what is told of models on other rows than the test split's: the main estimates and the
    hops.
    """
    models = {
        name: MainEstimates(**{key.name: getattr(each, key.name) for key in fields(MainEstimates)})
        for name, each in assessment.models.items()
    }
    return OtherRows(assessment.sample.total, assessment.sample, models, assessment.hops)
