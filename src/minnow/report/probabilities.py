"""Calibration, thresholds, and what they are worth where phishing is rare, to the page's tables.
Pure; the template escapes all of it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minnow.evaluation.calibration_records import Calibration, Calibrations
from minnow.evaluation.records import Estimate, Estimates
from minnow.report.formatting import (
    NO_INTERVAL,
    bounds,
    few_words,
    models_in_order,
    number,
    percent,
    rule_words,
)

CALIBRATION: tuple[tuple[str, str, Callable[[Calibration], str]], ...] = (
    ("Temperature", "fitted on validation", lambda model: number(model.temperature, 2)),
    ("Calibration error", "test, before → after", lambda model: before_after(model, "ece")),
    (
        "A calibrated model’s",
        "error by chance alone, before → after",
        lambda model: before_after(model, "ece_null"),
    ),
    ("Brier score", "test, before → after", lambda model: before_after(model, "brier")),
    ("Log loss", "test, before → after", lambda model: before_after(model, "nll")),
    (
        "Threshold",
        "probability before temperature",
        lambda model: number(model.decision.probability_before_temperature, 3),
    ),
    (
        "False alarms on validation",
        "share of safe rows",
        lambda model: percent(model.decision.validation_fpr, 2),
    ),
    (
        "False alarms on test",
        "share of safe rows",
        lambda model: percent(model.decision.test_fpr, 2),
    ),
    (
        "Phishing found on test",
        "share of phishing rows",
        lambda model: percent(model.decision.test_tpr, 2),
    ),
)


def calibration_table(report: Calibrations) -> dict[str, Any]:
    """Return temperatures, what they did on test, and the decision thresholds: a row per figure, a
    cell per model.
    """
    models = models_in_order(report.models)
    rows = [
        {"name": name, "note": note, "cells": [spell(report.models[model]) for model in models]}
        for name, note, spell in CALIBRATION
    ]
    return {"models": models, "rows": rows, "rule": rule_words(report), "few": few_words(report)}


def before_after(model: Calibration, key: str) -> str:
    """Return a figure on test before and after the temperature."""
    before, after = (getattr(side, key) for side in (model.test.before, model.test.after))
    return f"{number(before, 3)} → {number(after, 3)}"


def prevalence_table(estimated: Mapping[str, Estimates]) -> list[dict[str, Any]]:
    """Return a row per figure and prevalence, and a cell per model; empty where none is asked
    for.
    """
    models = models_in_order(estimated)
    cells = [estimated[model].at_prevalence for model in models]
    known = [bounds(estimated[model].fpr) != NO_INTERVAL for model in models]
    return [
        {
            "name": f"{name}, {share_text(at_share[0].prevalence)} phishing",
            "note": "",
            "cells": [
                rare_cell(getattr(each, key), decimals, known=had)
                for each, had in zip(at_share, known, strict=True)
            ],
        }
        for at_share in zip(*cells, strict=True)
        for key, name, decimals in RARE
    ]


RARE = (
    ("precision", "Precision", 3),
    ("f1", "F1", 3),
    ("alarms_per_million", "False alarms in a million URLs", 0),
)


def share_text(share: float) -> str:
    """Return a share in per cent, without needless decimals."""
    return f"{100 * share:g} %"


def rare_cell(metric: Estimate, decimals: int, *, known: bool) -> dict[str, Any]:
    """Return a figure at a prevalence, and below it its interval; that none can be had, where the
    rates that it follows from have none.
    """
    value, low, high = (
        f"{figure:,.{decimals}f}" for figure in (metric.value, metric.low, metric.high)
    )
    return {"value": value, "below": [f"{low}–{high}" if known else NO_INTERVAL]}
