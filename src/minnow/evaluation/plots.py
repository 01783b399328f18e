"""Results to tables: the data behind `dvc plots show`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import precision_recall_curve, roc_curve

from minnow.evaluation import metrics
from minnow.evaluation.evidence import Outcome
from minnow.evaluation.metrics import Array
from minnow.layout import HOPS

# Points kept of a curve: more than a screen shows.
CURVE_POINTS = 400
# Edges of the histogram of how far a hop moved the probabilities.
SHIFT_EDGES = np.linspace(-1, 1, 42)
LABEL_NAMES = np.array(["safe", "phishing"])


def plot_tables(
    outcomes: Mapping[str, Outcome], labels: Array, sizes: Mapping[str, Any]
) -> dict[str, pl.DataFrame]:
    """Return the plots' tables by file name; `labels` (rows,) are those of test."""
    tables = {"sizes": size_by_part(sizes)}
    for model, outcome in outcomes.items():
        tables[f"confusion_{model}"] = confusion(outcome, labels)
        tables[f"roc_{model}"] = roc(outcome.test, labels)
        tables[f"pr_{model}"] = precision_recall(outcome.test, labels)
        tables[f"calibration_{model}"] = calibration(outcome.test, labels)
    for before, after in HOPS:
        tables[f"shift_{before}_{after}"] = shift(outcomes[before].test, outcomes[after].test)
    return tables


def confusion(outcome: Outcome, labels: Array) -> pl.DataFrame:
    """Return actual and predicted label of every row, by name, in an order that depends on the
    counts alone.
    """
    guesses = metrics.predicted(outcome.test, outcome.threshold)
    return pl.DataFrame({"actual": LABEL_NAMES[labels], "predicted": LABEL_NAMES[guesses]}).sort(
        "actual", "predicted"
    )


def roc(margins: Array, labels: Array) -> pl.DataFrame:
    """Return false- and true-positive rates, both rising from 0 to 1."""
    fpr, tpr, _ = roc_curve(labels, margins)
    return thinned(pl.DataFrame({"fpr": fpr, "tpr": tpr}))


def precision_recall(margins: Array, labels: Array) -> pl.DataFrame:
    """Return recall, rising, and the precision at it."""
    precision, recall, _ = precision_recall_curve(labels, margins)
    return thinned(pl.DataFrame({"recall": recall[::-1], "precision": precision[::-1]}))


def calibration(margins: Array, labels: Array) -> pl.DataFrame:
    """Return mean probability, share of phishing and rows of each bin of the calibration error."""
    probability, observed, rows = metrics.calibration_bins(margins, labels)
    table = pl.DataFrame({"probability": probability, "observed": observed, "rows": rows})
    return table.with_columns(pl.col("probability", "observed").round(metrics.DECIMALS))


def shift(before: Array, after: Array) -> pl.DataFrame:
    """Return the middle of each bin of p_after − p_before, in [-1, 1], and the share of rows in it."""
    moved = metrics.probability(after) - metrics.probability(before)
    counts, _ = np.histogram(moved, SHIFT_EDGES)
    middles = (SHIFT_EDGES[1:] + SHIFT_EDGES[:-1]) / 2
    return pl.DataFrame({"dp": middles, "share": counts / len(moved)}).select(
        pl.all().round(metrics.DECIMALS) + 0.0
    )


def size_by_part(sizes: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """Return the megabytes (10⁶ bytes) of each part of each model."""
    rows = [
        {"model": model, "part": part, "mb": round(size / 1e6, metrics.DECIMALS)}
        for model, parts in sizes.items()
        for part, size in parts.items()
        if part != "total"
    ]
    return pl.DataFrame(rows)


def thinned(curve: pl.DataFrame) -> pl.DataFrame:
    """Return at most CURVE_POINTS evenly spaced rows, the first and the last among them, rounded."""
    rows = np.linspace(0, curve.height - 1, min(CURVE_POINTS, curve.height)).round().astype(int)
    return curve.select(pl.all().gather(rows).round(metrics.DECIMALS))
