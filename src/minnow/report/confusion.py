"""The figure of actual against predicted labels. Pure."""

import polars as pl

from minnow.report.charts import Chart, axis, frame
from minnow.report.svg import Spec, paint

LABELS = ("safe", "phishing")


def label_axis(field: str) -> Spec:
    """Return a channel of labels."""
    look = {"labelAngle": 0, "domain": False, "ticks": False}
    return {"field": field, "title": field, "type": "nominal", "sort": list(LABELS), "axis": look}


CONFUSION = Chart(
    {"x": label_axis("predicted"), "y": label_axis("actual")},
    {"type": "rect"},
)
# A cell's tint is its share of the actual label.
TINT = axis("share", "", scale={"domain": [0, 1], "range": [0.06, 0.42]}, legend=None)
COUNTS: Spec = {
    "mark": {"type": "text", "color": paint("ink"), "fontSize": 13, "fontWeight": "bold"},
    "encoding": {"text": {"field": "rows", "type": "quantitative", "format": ","}},
}


def confusion_chart(model: str, table: pl.DataFrame) -> Spec:
    """Return a model's four counts; columns actual and predicted, a row for each row of test."""
    mark = {**CONFUSION.mark, "color": paint(model)}
    return {
        **frame(200, 165),
        "data": {"values": cells(table)},
        "encoding": CONFUSION.encoding,
        "layer": [{"mark": mark, "encoding": {"fillOpacity": TINT}}, COUNTS],
    }


def cells(table: pl.DataFrame) -> list[dict[str, str | int | float]]:
    """Return the four cells, those without rows too: their labels, rows and share of the actual
    label.
    """
    counts = {
        (actual, predicted): rows
        for actual, predicted, rows in table.group_by("actual", "predicted").len().iter_rows()
    }
    values: list[dict[str, str | int | float]] = []
    for actual in LABELS:
        rows = [counts.get((actual, predicted), 0) for predicted in LABELS]
        values += [
            {"actual": actual, "predicted": predicted, "rows": n, "share": n / max(sum(rows), 1)}
            for predicted, n in zip(LABELS, rows, strict=True)
        ]
    return values
