"""All models judged together: on the test split, on further sets, and beside controls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from minnow.controls import definitions
from minnow.controls.definitions import Finished
from minnow.core.params import ThresholdParams
from minnow.core.tables import read_logits, read_table
from minnow.core.thresholds import decision_threshold, short_of
from minnow.errors import MinnowError
from minnow.evaluation import evidence, inputs, metrics, results
from minnow.evaluation.evidence import Assessment, Method, Outcome
from minnow.evaluation.records import ControlResult, ExtraFacts, ExtraResult
from minnow.layout import AGAINST_BASELINE, BASELINE, HOPS, Layout


def outcome_of(layout: Layout, model: str, rule: ThresholdParams) -> Outcome:
    """Return a model's margins and its decision threshold, which `rule` takes from validation."""
    validation, test = (
        metrics.margins_of(inputs.logits(layout, model, split)) for split in ("validation", "test")
    )
    threshold = decision_threshold(validation, inputs.labels_of(layout, "validation"), rule)
    return Outcome(validation, test, threshold, rule)


def unmet(outcomes: Mapping[str, Outcome], labels: metrics.Array) -> Iterator[str]:
    """Yield a sentence for each model whose threshold falls short of the precision wanted on
    validation, whose labels these are.
    """
    for model, outcome in outcomes.items():
        wanted = outcome.rule.precision
        said = wanted and short_of(outcome.validation, labels, wanted)
        if said:
            yield f"{model}: {said}"


def assess_pipeline(
    layout: Layout, outcomes: Mapping[str, Outcome], labels: metrics.Array, method: Method
) -> Assessment:
    """Judge all models and all hops on rows with these labels; thresholds are those of this
    checkout's validation.
    """
    return evidence.assess(
        outcomes,
        validation_labels=inputs.labels_of(layout, "validation"),
        labels=labels,
        hops=(*HOPS, *AGAINST_BASELINE),
        method=method,
    )


def on_extra_sets(
    layout: Layout, outcomes: Mapping[str, Outcome], method: Method
) -> dict[str, ExtraResult]:
    """Return by further test set how it came about, and what all models are worth on it."""
    facts_by_set = results.read_record(dict[str, ExtraFacts], layout.extra_report(BASELINE))
    return {
        name: on_extra_set(layout, name, facts, outcomes, method)
        for name, facts in facts_by_set.items()
    }


def on_extra_set(
    layout: Layout,
    name: str,
    facts: ExtraFacts,
    outcomes: Mapping[str, Outcome],
    method: Method,
) -> ExtraResult:
    """Return how a further test set came about, and what all models are worth on it."""
    table = read_table(layout.extra_set(BASELINE, name))
    ids, labels = table["id"].to_list(), np.asarray(table["label"].to_numpy())
    moved = {
        # the columns of a set's logits are the label, then the logits
        model: replace(
            outcome,
            test=metrics.margins_of(read_logits(layout.extra_set(model, name), ids)[:, 1:]),
        )
        for model, outcome in outcomes.items()
    }
    rows = evidence.elsewhere(assess_pipeline(layout, moved, labels, method), labels)
    return ExtraResult(**vars(rows), **vars(facts))


def on_controls(
    layout: Layout,
    names: Sequence[str],
    outcomes: Mapping[str, Outcome],
    assessment: Assessment,
    method: Method,
) -> dict[str, ControlResult]:
    """Return by control its facts, and its models against those of this pipeline.

    A control on this pipeline's own splits is compared row by row; `assessment` is this
    pipeline's, against whose models one on another split is set, as against another sample.
    """
    return {name: beside_control(layout, name, outcomes, assessment, method) for name in names}


def beside_control(
    layout: Layout,
    name: str,
    outcomes: Mapping[str, Outcome],
    assessment: Assessment,
    method: Method,
) -> ControlResult:
    """Return a control's facts, and its models against those of this pipeline.

    Raises:
        MinnowError: it was made from other rows than this pipeline's.
    """
    control, rule = definitions.read_control(layout, name), outcomes["student"].rule
    theirs = {model: of_control(control, model, rule) for model in control.logits}
    own_split = "teacher" in theirs
    if own_split:
        compared, hops = theirs, [("teacher", "student")]
        method = replace(method, seed=method.seed + 2)
    else:
        require_same_rows(control, layout, name)
        compared = {name: theirs["student"], "student": outcomes["student"]}
        hops = [(name, "student")]
    labels = control.labels["test"]
    assessed = evidence.assess(
        compared,
        validation_labels=control.labels["validation"],
        labels=labels,
        hops=hops,
        method=method,
    )
    against = {
        model: evidence.unpaired(model, assessment, assessed) for model in theirs if own_split
    }
    rows = evidence.elsewhere(assessed, labels)
    return ControlResult(**vars(rows), facts=control.facts, against_pipeline=against)


def require_same_rows(control: Finished, layout: Layout, name: str) -> None:
    """Refuse a control that was made from other rows than this pipeline's."""
    if any(control.ids[split] != inputs.ids_of(layout, split) for split in control.ids):
        raise MinnowError(
            f"{layout.control(name)} belongs to other rows; run `dvc repro` so that it is made anew"
        )


def of_control(control: Finished, model: str, rule: ThresholdParams) -> Outcome:
    """Return the margins of a control's model on its own splits, and the threshold that `rule`
    takes from its validation.
    """
    validation, test = (
        metrics.margins_of(control.logits[model][split]) for split in ("validation", "test")
    )
    threshold = decision_threshold(validation, control.labels["validation"], rule)
    return Outcome(validation, test, threshold, rule)
