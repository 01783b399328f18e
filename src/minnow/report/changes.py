"""Figures of what a hop changes: how far probabilities moved, and what became of F1. Pure."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from minnow.evaluation.records import Hop
from minnow.report import formatting, verdicts
from minnow.report.charts import SIGNED, WIDTH, Chart, axis, by_name, chart_rows, frame, names
from minnow.report.svg import Spec, paint

SHIFT = Chart(
    {
        "x": axis(
            "dp",
            "change of the probability of phishing",
            scale={"domain": [-1, 1]},
            axis={"labelExpr": SIGNED, "format": "~g", "values": [-1, -0.5, 0, 0.5, 1]},
        ),
        "y": axis(
            "share",
            "share of rows (square-root scale)",
            scale={"type": "sqrt", "domainMin": 0},
            axis={"format": "~%", "tickCount": 5},
        ),
    },
    {"type": "area", "interpolate": "step"},
)
DIFFERENCE = "difference of f1"
INTERVAL = ("difference", "low", "high")
ROLES = ("good", "bad", "open")


def shift_chart(after: str, table: pl.DataFrame) -> Spec:
    """Return how far the probability of phishing moved in one hop, columns dp and share, as a
    histogram.
    """
    line = {"color": paint(after), "strokeWidth": 1.2}
    mark = {**SHIFT.mark, "color": paint(after), "fillOpacity": 0.3, "line": line}
    return {
        **frame(WIDTH, 220),
        "data": chart_rows(table),
        "mark": mark,
        "encoding": SHIFT.encoding,
    }


def forest_chart(hops: Sequence[Hop], margin: float) -> Spec:
    """Return each hop's difference of f1 with its interval, against zero and the margin (shaded
    beyond it).
    """
    values = [difference_row(hop) for hop in hops]
    reach = max([margin, *(abs(value[key]) for value in values for key in INTERVAL)]) * 1.15
    hop_names = list(dict.fromkeys(value["hop"] for value in values))
    across = axis("low", DIFFERENCE, scale={"domain": [-reach, reach], "nice": False})
    across["axis"] = {"labelExpr": SIGNED, "tickCount": 5}
    place = {
        "y": names("hop", hop_names, axis={"labelPadding": 8}),
        "color": by_name("role", ROLES, [paint(role) for role in ROLES]),
    }
    rule = {"type": "rule", "strokeWidth": 2.5}
    point = {"type": "point", "filled": True, "size": 80, "opacity": 1}
    return {
        **frame(WIDTH, 66 + 34 * len(hop_names)),
        "data": {"values": values},
        "layer": [
            band(-reach, -margin),
            upright(-margin, [3, 2]),
            upright(0.0, [1, 0]),
            {"mark": rule, "encoding": {"x": across, "x2": {"field": "high"}, **place}},
            {"mark": point, "encoding": {"x": {**across, "field": "difference"}, **place}},
        ],
    }


def difference_row(hop: Hop) -> dict[str, Any]:
    """Return a hop's row: its name, the role of its verdict's colour, and the difference of f1."""
    return {
        "hop": formatting.arrow(hop.before, hop.after),
        "role": verdicts.label(hop)[1],
        **vars(hop.f1),
    }


def band(start: float, end: float) -> Spec:
    """Return the shaded region of differences that cost more than the margin."""
    return {
        "data": {"values": [{"start": start, "end": end}]},
        "mark": {"type": "rect", "color": paint("bad"), "fillOpacity": 0.09},
        "encoding": {"x": axis("start", DIFFERENCE), "x2": {"field": "end"}},
    }


def upright(place: float, dash: Sequence[int]) -> Spec:
    """Return a vertical line."""
    return {
        "data": {"values": [{"place": place}]},
        "mark": {"type": "rule", "color": paint("muted"), "strokeDash": list(dash)},
        "encoding": {"x": axis("place", DIFFERENCE)},
    }
