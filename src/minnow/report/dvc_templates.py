"""Charts to the templates of `dvc plots show`, which fills in a table, its columns and their
labels. Pure.

A template draws a chart's own channels and marks, in the colours of the light page. It differs from
the report's drawing where it knows less or shows more: ranges, orders and legends come from the
data; revisions stand next to each other, or have dashes of their own; and a reader can zoom and
point.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minnow.layout import BASELINE, EVERY_MODEL, EXPORTED, MODELS, hops_among
from minnow.report import changes, confusion, curves, dots, size_bars
from minnow.report.charts import Chart, by_name, part_colours
from minnow.report.formatting import BITS, arrow
from minnow.report.svg import PAINTS, Spec, paint

STYLES = Path(__file__).parent / "templates" / "report.css"
# What DVC fills in.
DATA, TITLE, ZOOM = "<DVC_METRIC_DATA>", "<DVC_METRIC_TITLE>", "<DVC_METRIC_ZOOM_AND_PAN>"
FIELDS = {"x": "<DVC_METRIC_X>", "y": "<DVC_METRIC_Y>"}
LABELS = {"x": "<DVC_METRIC_X_LABEL>", "y": "<DVC_METRIC_Y_LABEL>"}
WIDTH, HEIGHT = "<DVC_METRIC_PLOT_WIDTH>", "<DVC_METRIC_PLOT_HEIGHT>"
# In legends; what there is takes the colours in turn, be it two revisions of one model.
ORDER = (*MODELS, EXPORTED, BASELINE)
REVISION: Spec = {"field": "rev", "type": "nominal", "sort": [], "title": "revision"}
# A column of the table; or else, of several tables, the one that a row comes from.
MODEL = (
    "isValid(datum.model) ? datum.model : isValid(datum.filename)"
    " ? replace(datum.filename, /_training\\.csv$/, '') : datum.rev"
)


def templates() -> dict[str, Spec]:
    """Return all templates by the name that dvc.yaml gives them."""
    charts = {
        "roc": lines(curves.ROC),
        "pr": lines(curves.PRECISION_RECALL),
        "calibration": lines(curves.CALIBRATION, "rows"),
        "models": lines(curves.training_chart("loss", "loss")),
        "confusion": counts(),
        "shift": shift_template(),
        "sizes": sizes(),
        "slices": slices_template(),
        "sensitivity": sensitivity_template(),
    }
    colours = light_colours()
    return {
        name: {"data": {"values": DATA}, "title": {"text": TITLE, "anchor": "middle"}}
        | coloured(chart, colours)
        for name, chart in charts.items()
    }


def anchored(chart: Chart) -> Spec:
    """Return a chart's x and y with DVC's anchors for their columns and, where they have any, for
    their titles.
    """
    return {
        name: {**channel, "field": FIELDS[name]}
        | ({"title": LABELS[name]} if channel["title"] is not None else {})
        for name, channel in chart.encoding.items()
    }


def lines(chart: Chart, *more: str) -> Spec:
    """Return lines in the colours of the models and the dashes of the revisions; a tooltip shows
    `more` columns.
    """
    looks = {
        "color": in_turn("model", ORDER, [paint(model) for model in ORDER]),
        "tooltip": tooltip("model", *FIELDS.values(), *more),
    }
    mark = {key: value for key, value in chart.mark.items() if key != "point"}
    line = {
        "params": [ZOOM],
        "mark": {**mark, "clip": True},
        "encoding": {**looks, "strokeDash": REVISION},
    }
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "transform": [{"calculate": MODEL, "as": "model"}],
        "encoding": anchored(chart),
        "layer": [*chart.below, line, *point_marks(chart, looks)],
    }


def point_marks(chart: Chart, looks: Spec) -> list[Spec]:
    """Return the layer of a line's points, none where it has none.

    As part of the line they would hide its dashes in the legend.
    """
    if "point" not in chart.mark:
        return []
    look = {"filled": True, "opacity": 1, "clip": True}
    return [{"mark": {"type": "point", **chart.mark["point"], **look}, "encoding": looks}]


def shift_template() -> Spec:
    """Return all hops in one frame, as outlines: areas would hide each other."""
    hops = [arrow(*hop) for hop in hops_among(EVERY_MODEL)]
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "transform": [{"calculate": "datum.before + ' → ' + datum.after", "as": "hop"}],
        "mark": {**changes.SHIFT.mark, "type": "line"},
        "encoding": {
            **anchored(changes.SHIFT),
            "color": in_turn("hop", hops, [paint(model) for model in ORDER]),
            "strokeDash": REVISION,
            "tooltip": tooltip("hop", *FIELDS.values()),
        },
    }


def counts() -> Spec:
    """Return a matrix for each model and revision, counted in the reader's browser."""
    x, y = confusion.CONFUSION.encoding["x"], confusion.CONFUSION.encoding["y"]
    actual = ["rev", "model", FIELDS["x"]]
    share = {"field": "share", "format": ".2%"}
    colour = in_turn("model", ORDER, [paint(model) for model in ORDER])
    return {
        "transform": [
            {
                "aggregate": [{"op": "count", "as": "rows"}],
                "groupby": [*actual, FIELDS["y"]],
            },
            {
                "joinaggregate": [{"op": "sum", "field": "rows", "as": "all"}],
                "groupby": actual,
            },
            {"calculate": "datum.rows / datum.all", "as": "share"},
        ],
        "facet": {
            # by name: with an order of its own on either side, Vega-Lite mixes up the cells
            "row": {name: look for name, look in REVISION.items() if name != "sort"},
            "column": {
                "field": "model",
                "type": "nominal",
                "sort": list(EVERY_MODEL),
                "title": None,
            },
        },
        "spec": {
            "width": 180,
            "height": 150,
            # in dvc.yaml the actual label is x
            "encoding": {
                "x": {**x, "field": FIELDS["y"], "title": LABELS["y"]},
                "y": {**y, "field": FIELDS["x"], "title": LABELS["x"]},
            },
            "layer": [
                {
                    "mark": confusion.CONFUSION.mark,
                    "encoding": {
                        "color": {**colour, "legend": None},
                        "fillOpacity": confusion.TINT,
                        "tooltip": [*tooltip("model", *FIELDS.values(), "rows"), share],
                    },
                },
                confusion.COUNTS,
            ],
        },
    }


def sizes() -> Spec:
    """Return a bar per model; DVC cannot know its total before it draws."""
    encoding = anchored(size_bars.SIZES)
    encoding["x"]["aggregate"] = "sum"
    encoding["y"]["sort"] = list(EVERY_MODEL)
    size = {"field": FIELDS["x"], "format": ".3f"}
    return by_revision(
        "row",
        {
            "width": WIDTH,
            "mark": size_bars.SIZES.mark,
            "encoding": {
                **encoding,
                "color": {**in_turn("part", [], part_colours(6)), "title": "part"},
                "tooltip": [{"field": FIELDS["y"]}, {"field": "part"}, size],
            },
        },
    )


def slices_template() -> Spec:
    """Return a row per slice with a mark per model."""
    # without a legend set to none, all these channels share one
    looks = {
        name: {key: look[key] for key in ("field", "type", "scale")} | {"title": None}
        for name, look in dots.looks(EVERY_MODEL).items()
    }
    looks["size"]["type"] = "ordinal"
    encoding = anchored(dots.SLICES)
    encoding["x"]["scale"] = {**encoding["x"]["scale"], "zero": False}
    # the long title of one revision would run into the next one's
    small = {"titleFontSize": 9, "titleFontWeight": "normal"}
    encoding["x"]["axis"] = {**encoding["x"]["axis"], **small}
    tips = tooltip(FIELDS["y"], "model", FIELDS["x"])
    return by_revision("column", rows_template(dots.SLICES, {**encoding, **looks, "tooltip": tips}))


def sensitivity_template() -> Spec:
    """Return a row per part with a mark for each number of bits."""
    encoding = anchored(dots.SENSITIVITY)
    # about the smallest damage that a part was seen to do
    encoding["x"]["scale"] = {**encoding["x"]["scale"], "constant": 1e-8}
    powers = [0.0, *(10.0**power for power in range(-8, 1))]
    encoding["x"]["axis"] = {**encoding["x"]["axis"], "values": powers, "labelOverlap": True}
    # to DVC, numbers in a table are text
    colour = {**by_name("bits", BITS, part_colours(len(BITS))), "title": "bits"}
    del colour["legend"]
    tips = [
        *tooltip(FIELDS["y"], "bits", "format"),
        {"field": "mb", "title": "MB"},
        {"field": FIELDS["x"]},
    ]
    return by_revision(
        "row", rows_template(dots.SENSITIVITY, {**encoding, "color": colour, "tooltip": tips})
    )


def rows_template(chart: Chart, encoding: Spec) -> Spec:
    """Return a chart of a row for each name."""
    return {"width": WIDTH, "height": {"step": 20}, "mark": chart.mark, "encoding": encoding}


def by_revision(direction: str, spec: Spec) -> Spec:
    """Return a specification for each revision, in a `row` or a `column`."""
    return {"facet": {direction: REVISION}, "spec": spec}


def in_turn(field: str, order: Sequence[str], looks: Sequence[Any]) -> Spec:
    """Return a channel with a legend; what there is takes the looks in this order."""
    return {
        "field": field,
        "type": "nominal",
        "sort": list(order),
        "title": None,
        "scale": {"range": list(looks)},
    }


def tooltip(*fields: str) -> list[dict[str, str]]:
    """Return what is shown of the mark under the pointer: its revision and columns."""
    return [{"field": "rev", "title": "revision"}, *({"field": field} for field in fields)]


def light_colours() -> dict[str, str]:
    """Return the colours of the report's light page by role."""
    # the light ones come first
    light = STYLES.read_text(encoding="utf-8").split("@media", 1)[0]
    return dict(re.findall(r"--([\w-]+): (#\w+)", light))


def coloured(value: Any, colours: Mapping[str, str]) -> Any:
    """Return a specification with its placeholders of colours filled in."""
    if isinstance(value, dict):
        return {key: coloured(inner, colours) for key, inner in value.items()}
    if isinstance(value, list):
        return [coloured(inner, colours) for inner in value]
    roles = {placeholder: role for role, placeholder in PAINTS.items()}
    return colours[roles[value]] if isinstance(value, str) and value in roles else value
