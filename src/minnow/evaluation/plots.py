"""Results to tables: the data of the figures that `dvc plots show` and the report draw."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import polars as pl
from sklearn.metrics import precision_recall_curve, roc_curve

from minnow.core.thresholds import DECIMALS
from minnow.evaluation import metrics
from minnow.evaluation.metrics import Array
from minnow.evaluation.outcomes import Outcome
from minnow.layout import hops_among

# Points kept of a curve: more than a screen shows.
CURVE_POINTS = 400
# Edges of the histogram of how far a hop moved the probabilities.
SHIFT_EDGES = np.linspace(-1, 1, 42)
LABEL_NAMES = np.array(["safe", "phishing"])
ResultT = TypeVar("ResultT")


def plot_tables(
    outcomes: Mapping[str, Outcome],
    labels: Array,
    sizes: Mapping[str, Mapping[str, int]],
    slices: pl.DataFrame,
) -> dict[str, pl.DataFrame]:
    """Return the table of each figure; `labels` (rows,) are those of test.

    Models are in the order of `outcomes`. `slices` has a row per slice and model.
    """
    margins = {model: outcome.test for model, outcome in outcomes.items()}
    return {
        "roc": by_model(margins, lambda test: roc(test, labels)),
        "pr": by_model(margins, lambda test: precision_recall(test, labels)),
        "calibration": by_model(margins, lambda test: calibration(test, labels)),
        "confusion": by_model(outcomes, lambda outcome: confusion(outcome, labels)),
        "shift": shifts(margins),
        "sizes": size_by_part(sizes),
        "slices": slices,
    }


def by_model(
    models: Mapping[str, ResultT], table: Callable[[ResultT], pl.DataFrame]
) -> pl.DataFrame:
    """Return the table of every model below each other, with a first column `model`."""
    return pl.concat(
        table(result).select(pl.lit(model).alias("model"), pl.all())
        for model, result in models.items()
    )


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
    return table.with_columns(pl.col("probability", "observed").round(DECIMALS))


def shift(before: Array, after: Array) -> pl.DataFrame:
    """Return the histogram of p_after − p_before: the middle of each bin, in [-1, 1], and the share
    of rows in it.
    """
    moved = metrics.probability(after) - metrics.probability(before)
    counts, _ = np.histogram(moved, SHIFT_EDGES)
    middles = (SHIFT_EDGES[1:] + SHIFT_EDGES[:-1]) / 2
    return pl.DataFrame({"dp": middles, "share": counts / len(moved)}).select(
        pl.all().round(DECIMALS) + 0.0
    )


def shifts(margins: Mapping[str, Array]) -> pl.DataFrame:
    """Return the histograms of all hops below each other, with first columns `before`, `after`."""
    return pl.concat(
        shift(margins[before], margins[after]).select(
            pl.lit(before).alias("before"), pl.lit(after).alias("after"), pl.all()
        )
        for before, after in hops_among(margins)
    )


def size_by_part(sizes: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """Return the megabytes (10⁶ bytes) of each part of each model."""
    rows = [
        {"model": model, "part": part, "mb": round(size / 1e6, DECIMALS)}
        for model, parts in sizes.items()
        for part, size in parts.items()
        if part != "total"
    ]
    return pl.DataFrame(rows)


def thinned(curve: pl.DataFrame) -> pl.DataFrame:
    """Return at most CURVE_POINTS evenly spaced rows, first and last among them, rounded."""
    rows = np.linspace(0, curve.height - 1, min(CURVE_POINTS, curve.height)).round().astype(int)
    return curve.select(pl.all().gather(rows).round(DECIMALS))
