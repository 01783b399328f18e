"""What the figures have in common: size, channels, and how each model looks. Pure.

A figure is drawn twice: into the report as SVG, from a function of its data that returns a whole
specification, and by `dvc plots show`, which fills its data into a template (see dvc_templates).
What both draw on is a `Chart`. They differ where they must: the report knows its data and is as
narrow as a phone; a template does not, and shows several revisions next to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from minnow.layout import BASELINE, EXPORTED
from minnow.report.svg import Spec, paint

# The later a model is drawn, the thinner it is: where two run on top of each other both stay
# visible.
WIDTHS = {BASELINE: 1.5, "teacher": 5.0, "student": 2.5, "quantized": 1.2, EXPORTED: 1.2}
OPACITIES = {BASELINE: 1.0, "teacher": 0.4, "student": 0.9, "quantized": 1.0, EXPORTED: 1.0}
DASHES = {BASELINE: [3, 2], EXPORTED: [1, 5]}
AREAS = {BASELINE: 60, "teacher": 95, "student": 45, "quantized": 22, EXPORTED: 8}
SHAPES = {
    **{BASELINE: "cross", "teacher": "circle", "student": "square", "quantized": "diamond"},
    EXPORTED: "triangle-up",
}
# Pixels, padding included: as wide as a phone shows without shrinking the letters.
WIDTH, HEIGHT = 340, 280
# Of the slices, whose names are long and whose marks crowd.
WIDE = 400
SIGNED = "(datum.value > 0 ? '+' : '') + datum.label"


@dataclass(frozen=True)
class Chart:
    """What a figure draws wherever it is drawn: its channels by name, and its mark without colour.

    `below` are layers under the data that need none of it.
    """

    encoding: Spec
    mark: Spec
    below: Sequence[Spec] = ()


def frame(width: int, height: int) -> Spec:
    """Return what every chart starts with; the size is that of the whole picture."""
    return {"width": width, "height": height, "autosize": {"type": "fit", "contains": "padding"}}


def axis(field: str, title: str | None, **more: Any) -> Spec:
    """Return a quantitative channel."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def names(field: str, order: Sequence[str], **more: Any) -> Spec:
    """Return a channel of names without a title; an order of none is that of the data."""
    # a list, not `sort: null`, which would sort each layer by itself
    return {"field": field, "type": "nominal", "title": None, "sort": list(order), **more}


def by_name(field: str, values: Sequence[str], looks: Sequence[Any]) -> Spec:
    """Return a channel that looks differently for each value, without a legend: the page has its
    own.
    """
    scale = {"domain": list(values), "range": list(looks)}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}


def chart_rows(table: pl.DataFrame) -> Spec:
    """Return a table's rows as data."""
    return {"values": table.to_dicts()}


def part_role(number: int) -> str:
    """Return the colour's role of the part with this number, from 0."""
    return f"part-{number % 6 + 1}"


def part_colours(count: int) -> list[str]:
    """Return the colours of so many parts."""
    return [paint(part_role(number)) for number in range(count)]
