"""All models judged together: on the test split, on further sets, and beside controls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minnow.controls import definitions
from minnow.controls.definitions import Finished
from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table
from minnow.errors import MinnowError
from minnow.evaluation import calibration, evidence, inputs, metrics
from minnow.evaluation.evidence import Judgement, Method, Outcome
from minnow.layout import AGAINST_BASELINE, BASELINE, HOPS, Layout


def outcome(layout: Layout, model: str, fpr: float | None) -> Outcome:
    """Return a model's margins and its decision threshold, which validation sets; `fpr` None is
    probability 0.5.
    """
    validation, test = (
        metrics.margin(inputs.logits(layout, model, split)) for split in ("validation", "test")
    )
    threshold = calibration.decision_threshold(
        validation, inputs.labels_of(layout, "validation"), fpr
    )
    return Outcome(validation, test, threshold, fpr)


def judge(
    layout: Layout, outcomes: Mapping[str, Outcome], labels: metrics.Array, method: Method
) -> Judgement:
    """Judge all models and all hops on rows with these labels; thresholds are those of this
    checkout's validation.
    """
    return evidence.judge(
        outcomes,
        validation_labels=inputs.labels_of(layout, "validation"),
        labels=labels,
        hops=(*HOPS, *AGAINST_BASELINE),
        method=method,
    )


def on_extra_sets(
    layout: Layout, outcomes: Mapping[str, Outcome], method: Method
) -> dict[str, Any]:
    """Return what metrics/extra.json holds: per further test set how it came about, and all models
    on it.
    """
    found = {}
    for name, facts in read_json(layout.extra_report(BASELINE)).items():
        table = read_table(layout.extra_set(BASELINE, name))
        actual = np.asarray(table["label"].to_numpy())
        # The columns of a set's logits are the label, then the logits.
        there = {
            model: read_logits(layout.extra_set(model, name), table["id"].to_list())[:, 1:]
            for model in outcomes
        }
        moved = {
            model: replace(each, test=metrics.margin(there[model]))
            for model, each in outcomes.items()
        }
        found[name] = {**facts, **evidence.elsewhere(judge(layout, moved, actual, method), actual)}
    return found


def on_controls(
    layout: Layout,
    names: Sequence[str],
    outcomes: Mapping[str, Outcome],
    judgement: Judgement,
    fpr: float | None,
    method: Method,
) -> dict[str, Any]:
    """Return what metrics/controls.json holds: per control its facts, and its models against those
    of this pipeline.

    A control on this pipeline's own splits is compared row by row; `judgement` is this pipeline's,
    against whose models one on another split is set, as against another sample.
    """
    found = {}
    for name in names:
        finished = definitions.read_control(layout, name)
        theirs = {model: of_control(finished, model, fpr) for model in finished.logits}
        actual, validation = finished.labels["test"], finished.labels["validation"]
        if own_split := "teacher" in theirs:
            compared, hops = theirs, [("teacher", "student")]
        elif all(
            finished.ids[split] == inputs.ids_of(layout, split) for split in ("validation", "test")
        ):
            compared, hops = (
                {name: theirs["student"], "student": outcomes["student"]},
                [(name, "student")],
            )
        else:
            raise MinnowError(
                f"{layout.control(name)} belongs to other rows; run `dvc repro` so that it is made"
                " anew"
            )
        apart = replace(method, seed=method.seed + 2) if own_split else method
        judged = evidence.judge(
            compared, validation_labels=validation, labels=actual, hops=hops, method=apart
        )
        against = (
            {model: evidence.unpaired(model, judgement, judged) for model in theirs}
            if own_split
            else {}
        )
        told = {"facts": finished.facts, "against_pipeline": against}
        found[name] = {**told, **evidence.elsewhere(judged, actual)}
    return found


def of_control(finished: Finished, model: str, fpr: float | None) -> Outcome:
    """Return the margins of a control's model on its own splits, and the threshold that its
    validation sets.
    """
    validation, test = (
        metrics.margin(finished.logits[model][split]) for split in ("validation", "test")
    )
    threshold = calibration.decision_threshold(validation, finished.labels["validation"], fpr)
    return Outcome(validation, test, threshold, fpr)
