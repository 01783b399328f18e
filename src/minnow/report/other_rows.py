"""Results on other rows than the test split's to the page's words and figures: further test sets,
and controls. Pure; the template escapes all of it.
"""

from typing import Any

from minnow.evaluation.records import (
    OPERATING_POINTS,
    AgainstPipeline,
    ControlResult,
    ExtraResult,
    OtherRows,
)
from minnow.layout import EVERY_MODEL
from minnow.report import elsewhere
from minnow.report.formatting import (
    NONE,
    capital,
    count,
    flattened,
    interval_text,
    models_in_order,
    percent,
    sample_words,
    short,
    signed,
    words,
)
from minnow.report.sections import ESTIMATES, estimate_cell, hop_cards
from minnow.report.verdicts import subject
from minnow.text.display import plain

CONTROLS = {
    "no_teacher": (
        "The same student, trained on the labels alone: what learning from the teacher adds."
    ),
    "random_split": (
        "The same run under a split by row, which puts domains on both sides: how far that"
        " inflates."
    ),
}


def extra_section(name: str, result: ExtraResult) -> dict[str, Any]:
    """Return a further test set: what it holds, its models, its hops, and which thresholds do not
    carry over to it.
    """
    facts = [
        f"{count(result.rows_read)} rows read",
        f"{count(result.kept.safe)} safe and {count(result.kept.phishing)} phishing kept",
        f"{count(result.removed_seen)} removed because training or validation holds them",
        *(f"{count(rows)} dropped: {words(why)}" for why, rows in result.dropped.items() if rows),
        f"{percent(result.leak)} of the rows have a domain that training has too",
    ]
    table = comparison_table(result, result.margin)
    table["metrics"] += transfer_rows(result)
    return {
        "name": plain(name),
        "facts": facts,
        "margin": short(result.margin),
        "broken": [
            line
            for model in models_in_order(result.models)
            for line in elsewhere.broken_thresholds(result, model, subject(model))
        ],
        **table,
    }


def transfer_rows(result: ExtraResult) -> list[dict[str, Any]]:
    """Return a row for each threshold for a low false-positive rate: what came of it here."""
    models = models_in_order(result.models)
    rows = []
    for key, fpr in OPERATING_POINTS.items():
        found = [result.thresholds.get(model, {}).get(key) for model in models]
        cells = [
            estimate_cell(each.fpr) if each else {"value": NONE, "below": []} for each in found
        ]
        name = f"Safe URLs above the threshold for {100 * fpr:g} %"
        rows += [{"name": name, "note": "", "cells": cells}] if any(found) else []
    return rows


def comparison_table(result: OtherRows, margin: float) -> dict[str, Any]:
    """Return the models and hops on rows of their own."""
    models = result.models
    names = [*models_in_order(models), *sorted(set(models) - set(EVERY_MODEL))]
    shown = [(key, name) for key, name, _ in ESTIMATES if key in ("f1", "accuracy", "roc_auc")]
    shown += [("tpr", "Phishing found"), ("fpr", "Safe URLs called phishing")]
    return {
        "models": [words(name) for name in names],
        "metrics": [
            {
                "name": title,
                "note": "",
                "cells": [estimate_cell(getattr(models[name], key)) for name in names],
            }
            for key, title in shown
        ],
        "sample": sample_words(result.sample),
        "hops": hop_cards(result.hops, margin, result.rows, result.sample.unit),
    }


def control_section(name: str, result: ControlResult, margin: float) -> dict[str, Any]:
    """Return a control run: what it is, its models and hops, and all its other figures by name."""
    return {
        "name": words(name),
        "about": CONTROLS.get(name, ""),
        "against": [
            against_pipeline(model, moved) for model, moved in result.against_pipeline.items()
        ],
        "facts": [(words(key), value) for key, value in flattened(result.facts)],
        **comparison_table(result, margin),
    }


def against_pipeline(model: str, moved: AgainstPipeline) -> str:
    """Return in a sentence how far a control's model lies from the pipeline's, on other test
    rows.
    """
    f1 = moved.f1
    holds = f1.low <= 0 <= f1.high and (f1.low, f1.high) != (-1, 1)
    sure = "; the interval holds zero" if holds else ""
    return (
        f"{capital(subject(model))}: {signed(f1.difference)} of F1 against this pipeline’s own"
        f" split ({interval_text(f1)}, two independent samples){sure}."
    )
