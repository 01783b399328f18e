"""Stored logits to what is told of all models together: on the test split, on further sets, and beside controls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minnow import calibration, controls, evidence, metrics, scoring, store
from minnow.controls import Finished
from minnow.errors import MinnowError
from minnow.evidence import Judgement, Method, Outcome
from minnow.layout import BASELINE, Layout


def outcome(layout: Layout, model: str, fpr: float | None) -> Outcome:
    """Return a model's margins and its decision threshold, which validation sets; `fpr` None is probability 0.5."""
    validation, test = (metrics.margin(scoring.logits(layout, model, split)) for split in ("validation", "test"))
    return Outcome(
        validation, test, calibration.decision_threshold(validation, scoring.labels_of(layout, "validation"), fpr)
    )


def judge(layout: Layout, outcomes: Mapping[str, Outcome], labels: metrics.Array, method: Method) -> Judgement:
    """Judge all models and all hops on rows with these labels; thresholds are those of this checkout's validation."""
    return evidence.judge(
        outcomes,
        validation_labels=scoring.labels_of(layout, "validation"),
        labels=labels,
        hops=(*evidence.HOPS, *evidence.AGAINST_BASELINE),
        method=method,
    )


def on_extra_sets(layout: Layout, outcomes: Mapping[str, Outcome], method: Method) -> dict[str, Any]:
    """Return what metrics/extra.json holds: per further test set how it came about, and all models on it."""
    found = {}
    for name, facts in store.read_json(layout.extra_report(BASELINE)).items():
        table = store.read_table(layout.extra_set(BASELINE, name))
        actual = np.asarray(table["label"].to_numpy())
        # The columns of a set's logits are the label, then the logits.
        there = {
            model: store.read_logits(layout.extra_set(model, name), table["id"].to_list())[:, 1:] for model in outcomes
        }
        moved = {model: replace(each, test=metrics.margin(there[model])) for model, each in outcomes.items()}
        found[name] = {**facts, **evidence.elsewhere(judge(layout, moved, actual, method), actual)}
    return found


def on_controls(
    layout: Layout, names: Sequence[str], outcomes: Mapping[str, Outcome], fpr: float | None, method: Method
) -> dict[str, Any]:
    """Return what metrics/controls.json holds: per control its facts, and its models against those of this pipeline.

    A control without a teacher of its own is compared on this pipeline's test split; one with its own split by itself.
    """
    found = {}
    for name in names:
        finished = controls.read_control(layout, name)
        theirs = {model: of_control(finished, model, fpr) for model in finished.logits}
        if "teacher" in theirs:
            compared, hops = theirs, [("teacher", "student")]
        else:
            compared, hops = {name: theirs["student"], "student": outcomes["student"]}, [(name, "student")]
        actual, validation = finished.labels["test"], finished.labels["validation"]
        if "teacher" not in theirs and not np.array_equal(actual, scoring.labels_of(layout, "test")):
            raise MinnowError(f"{layout.control(name)} belongs to other rows; run `dvc repro` so that it is made anew")
        judgement = evidence.judge(compared, validation_labels=validation, labels=actual, hops=hops, method=method)
        found[name] = {"facts": finished.facts, **evidence.elsewhere(judgement, actual)}
    return found


def of_control(finished: Finished, model: str, fpr: float | None) -> Outcome:
    """Return the margins of a control's model on its own splits, and the threshold that its validation sets."""
    validation, test = (metrics.margin(finished.logits[model][split]) for split in ("validation", "test"))
    return Outcome(validation, test, calibration.decision_threshold(validation, finished.labels["validation"], fpr))
