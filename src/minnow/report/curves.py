"""Figures of lines, one for each model: ROC, precision-recall, reliability, training. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from minnow.report.charts import (
    DASHES,
    HEIGHT,
    OPACITIES,
    WIDTH,
    WIDTHS,
    Chart,
    axis,
    chart_rows,
    frame,
)
from minnow.report.svg import Spec, paint

LINE = {"type": "line"}
UNIT: Spec = {"domain": [0, 1]}
RATES = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]


def straight(points: Sequence[tuple[float, float]], x: str, y: str) -> Spec:
    """Return a thin dashed line to compare with."""
    return {
        "data": {"values": [{x: across, y: up} for across, up in points]},
        "mark": {"type": "line", "color": paint("muted"), "strokeDash": [2, 3]},
    }


# The root of the rate spreads the corner that matters, and bends the line of chance.
ROC = Chart(
    {
        "x": axis(
            "fpr",
            "false-positive rate (square-root scale)",
            scale={"type": "sqrt", **UNIT},
            axis={
                "values": RATES,
                "labelExpr": "'' + datum.value",
                "labelOverlap": False,
                "tickCount": len(RATES),
            },
        ),
        "y": axis("tpr", "true-positive rate", scale=UNIT),
    },
    LINE,
    below=[straight([(step / 50, step / 50) for step in range(51)], "fpr", "tpr")],
)
PRECISION_RECALL = Chart(
    {
        "x": axis("recall", "recall", scale=UNIT),
        "y": axis("precision", "precision", scale={"zero": False}),
    },
    LINE,
)
# On the diagonal a model is calibrated.
CALIBRATION = Chart(
    {
        "x": axis("probability", "probability of phishing that the model gives", scale=UNIT),
        "y": axis("observed", "share that is phishing", scale=UNIT),
    },
    {**LINE, "point": {"size": 14}},
    below=[straight([(0, 0), (1, 1)], "probability", "observed")],
)


def training_chart(column: str, title: str) -> Chart:
    """Return one column of the training curves by epoch."""
    encoding = {"x": axis("epoch", "epoch"), "y": axis(column, title, scale={"zero": False})}
    return Chart(encoding, {**LINE, "point": {"size": 30}})


def roc_chart(table: pl.DataFrame) -> Spec:
    """Return the ROC curves, columns model, fpr and tpr."""
    return overlaid(ROC, rows_by_model(table))


def precision_recall_chart(table: pl.DataFrame) -> Spec:
    """Return the precision-recall curves, columns model, recall and precision."""
    return overlaid(PRECISION_RECALL, rows_by_model(table))


def calibration_chart(table: pl.DataFrame) -> Spec:
    """Return the reliability curves, columns model, probability and observed."""
    return overlaid(CALIBRATION, rows_by_model(table))


def training_curves(tables: Mapping[str, pl.DataFrame], column: str, title: str) -> Spec:
    """Return one column of the training curves by epoch."""
    epochs = max(last_epoch(table) for table in tables.values())
    chart = training_chart(column, title)
    across = {
        **chart.encoding["x"],
        "scale": {"domain": [1, max(epochs, 2)]},
        "axis": {"values": list(range(1, epochs + 1, max(1, epochs // 8))), "format": "d"},
    }
    chart = Chart({**chart.encoding, "x": across}, chart.mark)
    curves = {model: table.filter(pl.col(column).is_not_null()) for model, table in tables.items()}
    return {**overlaid(chart, curves, opacity=1, strokeWidth=2), "height": 240}


def last_epoch(table: pl.DataFrame) -> int:
    """Return the last epoch of a training curve, 1 without any."""
    return max(table["epoch"].to_list(), default=1)


def rows_by_model(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows of each model, in their order."""
    return {
        str(part["model"][0]): part for part in table.partition_by("model", maintain_order=True)
    }


def overlaid(chart: Chart, tables: Mapping[str, pl.DataFrame], **mark: Any) -> Spec:
    """Return one line per model, each a layer of its own, as the later ones are thinner."""
    x = chart.encoding["x"]["field"]
    layers = [
        {
            "data": chart_rows(table),
            "mark": {**line(chart.mark, model), **mark},
            "encoding": {"order": {"field": x}},
        }
        for model, table in tables.items()
    ]
    return {**frame(WIDTH, HEIGHT), "encoding": chart.encoding, "layer": [*chart.below, *layers]}


def line(mark: Spec, model: str) -> Spec:
    """Return a mark in the looks of a model."""
    looks = {"color": paint(model), "strokeWidth": WIDTHS[model], "opacity": OPACITIES[model]}
    if model in DASHES:
        looks["strokeDash"] = DASHES[model]
    if "point" in mark:
        looks["point"] = {**mark["point"], "color": paint(model)}
    return {**mark, **looks}
