"""Results to tables: the data behind `dvc plots show`, and what changed against the teacher."""

from collections.abc import Mapping

import numpy as np
import polars as pl
from sklearn.metrics import precision_recall_curve, roc_curve

from minnow import metrics
from minnow.metrics import Array

# Points kept of a curve: more than a screen shows.
CURVE_POINTS = 400
LABEL_NAMES = np.array(["safe", "phishing"])


def agreement_with_teacher(logits: Mapping[str, Array], labels: Array) -> dict[str, dict[str, float | int]]:
    """Return for every model but the teacher how its predictions differ from the teacher's."""
    return {
        model: metrics.agreement(values, logits["teacher"], labels)
        for model, values in logits.items()
        if model != "teacher"
    }


def plot_tables(logits: Mapping[str, Array], labels: Array) -> dict[str, pl.DataFrame]:
    """Return the plots' tables by file name: `confusion_<model>`, `roc_<model>` and `pr_<model>`."""
    tables: dict[str, pl.DataFrame] = {}
    for model, values in logits.items():
        tables[f"confusion_{model}"] = confusion(values, labels)
        tables[f"roc_{model}"] = roc(values, labels)
        tables[f"pr_{model}"] = precision_recall(values, labels)
    return tables


def confusion(logits: Array, labels: Array) -> pl.DataFrame:
    """Return actual and predicted label of every row, by name, in an order that depends on the counts alone."""
    names = {"actual": LABEL_NAMES[labels], "predicted": LABEL_NAMES[metrics.predicted(logits)]}
    return pl.DataFrame(names).sort("actual", "predicted")


def roc(logits: Array, labels: Array) -> pl.DataFrame:
    """Return false- and true-positive rates, both rising from 0 to 1."""
    fpr, tpr, _ = roc_curve(labels, metrics.margin(logits))
    return thinned(pl.DataFrame({"fpr": fpr, "tpr": tpr}))


def precision_recall(logits: Array, labels: Array) -> pl.DataFrame:
    """Return recall, rising, and the precision at it."""
    precision, recall, _ = precision_recall_curve(labels, metrics.margin(logits))
    return thinned(pl.DataFrame({"recall": recall[::-1], "precision": precision[::-1]}))


def thinned(curve: pl.DataFrame) -> pl.DataFrame:
    """Return at most CURVE_POINTS evenly spaced rows, the first and the last among them, rounded."""
    rows = np.linspace(0, curve.height - 1, min(CURVE_POINTS, curve.height)).round().astype(int)
    return curve.select(pl.all().gather(rows).round(metrics.DECIMALS))
