"""Results to Vega-Lite specifications for `svg.draw`, a function for each kind of chart. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from minnow.layout import BASELINE, JUDGED
from minnow.report import formatting, verdicts
from minnow.report.svg import Spec, paint
from minnow.text.display import plain

Hop = Mapping[str, Any]
# The later a model is drawn, the thinner it is: where two run on top of each other both stay
# visible.
WIDTHS = {BASELINE: 1.5, "teacher": 5.0, "student": 2.5, "quantized": 1.2}
OPACITIES = {BASELINE: 1.0, "teacher": 0.4, "student": 0.9, "quantized": 1.0}
DASHES = {BASELINE: [3, 2]}
AREAS = {BASELINE: 60, "teacher": 95, "student": 45, "quantized": 22}
SHAPES = {BASELINE: "cross", "teacher": "circle", "student": "square", "quantized": "diamond"}
# Pixels, padding included: as wide as a phone shows without shrinking the letters.
WIDTH, HEIGHT = 340, 280
# Of the slices, whose names are long and whose marks crowd.
WIDE = 400
SIGNED = "(datum.value > 0 ? '+' : '') + datum.label"


def _frame(width: int, height: int) -> Spec:
    """Return what every chart starts with; the size is that of the whole picture."""
    return {"width": width, "height": height, "autosize": {"type": "fit", "contains": "padding"}}


def _axis(field: str, title: str | None, **more: Any) -> Spec:
    """Return a quantitative channel."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def _rows(table: pl.DataFrame, **more: str) -> Spec:
    """Return a table's rows as data, with further columns of one value."""
    return {"values": [{**row, **more} for row in table.iter_rows(named=True)]}


def _line(model: str, **more: Any) -> Spec:
    """Return a model's line."""
    dash = {"strokeDash": DASHES[model]} if model in DASHES else {}
    style = {
        "color": paint(model),
        "strokeWidth": WIDTHS[model],
        "opacity": OPACITIES[model],
        **dash,
    }
    point = (
        {"point": {"size": more.pop("points"), "color": paint(model)}} if "points" in more else {}
    )
    return {"type": "line", **style, **point, **more}


def _overlaid(
    tables: Mapping[str, pl.DataFrame], encoding: Spec, *, below: Sequence[Spec] = (), **mark: Any
) -> Spec:
    """Return one line per model."""
    layers = [
        {
            "data": _rows(table),
            "mark": _line(model, **mark),
            "encoding": {"order": {"field": encoding["x"]["field"]}},
        }
        for model, table in tables.items()
    ]
    return {**_frame(WIDTH, HEIGHT), "encoding": encoding, "layer": [*below, *layers]}


def _straight(points: Sequence[tuple[float, float]], x: str, y: str) -> Spec:
    """Return a thin dashed line to compare with."""
    values = [{x: across, y: up} for across, up in points]
    return {
        "data": {"values": values},
        "mark": {"type": "line", "color": paint("muted"), "strokeDash": [2, 3]},
    }


def roc(tables: Mapping[str, pl.DataFrame]) -> Spec:
    """Return the ROC curves, columns fpr and tpr; the root of the rate spreads the corner that
    matters.
    """
    ticks = [0, 0.01, 0.05, 0.1, 0.25, 0.5, 1]
    across = _axis(
        "fpr", "false-positive rate (square-root scale)", scale={"type": "sqrt", "domain": [0, 1]}
    )
    across["axis"] = {
        "values": ticks,
        "labelExpr": "'' + datum.value",
        "labelOverlap": False,
        "tickCount": len(ticks),
    }
    up = _axis("tpr", "true-positive rate", scale={"domain": [0, 1]})
    chance = _straight([(step / 50, step / 50) for step in range(51)], "fpr", "tpr")
    return _overlaid(tables, {"x": across, "y": up}, below=[chance])


def precision_recall(tables: Mapping[str, pl.DataFrame]) -> Spec:
    """Return the precision-recall curves, columns recall and precision."""
    up = _axis("precision", "precision", scale={"zero": False})
    return _overlaid(tables, {"x": _axis("recall", "recall", scale={"domain": [0, 1]}), "y": up})


def calibration(tables: Mapping[str, pl.DataFrame]) -> Spec:
    """Return the reliability curves, columns probability and observed, beside the diagonal of
    perfect calibration.
    """
    unit: Spec = {"domain": [0, 1]}
    encoding = {
        "x": _axis("probability", "probability of phishing that the model gives", scale=unit),
        "y": _axis("observed", "share that is phishing", scale=unit),
    }
    diagonal = _straight([(0, 0), (1, 1)], "probability", "observed")
    return _overlaid(tables, encoding, below=[diagonal], points=14)


def confusion(model: str, table: pl.DataFrame) -> Spec:
    """Return the four counts of actual against predicted label; a cell's tint is its share of the
    actual label.
    """
    counts = table.group_by("actual", "predicted").len("rows")
    names = ("safe", "phishing")
    found = {(actual, guess): rows for actual, guess, rows in counts.iter_rows()}
    total = {actual: sum(found.get((actual, guess), 0) for guess in names) for actual in names}
    cells = [
        {
            "actual": actual,
            "predicted": guess,
            "rows": f"{found.get((actual, guess), 0):,}",
            "share": found.get((actual, guess), 0) / max(total[actual], 1),
        }
        for actual in names
        for guess in names
    ]
    order = {
        "type": "nominal",
        "sort": list(names),
        "axis": {"labelAngle": 0, "domain": False, "ticks": False},
    }
    tint = _axis("share", "", scale={"domain": [0, 1], "range": [0.06, 0.42]}, legend=None)
    return {
        **_frame(200, 165),
        "data": {"values": cells},
        "encoding": {
            "x": {"field": "predicted", "title": "predicted", **order},
            "y": {"field": "actual", "title": "actual", **order},
        },
        "layer": [
            {"mark": {"type": "rect", "color": paint(model)}, "encoding": {"fillOpacity": tint}},
            {
                "mark": {
                    "type": "text",
                    "color": paint("ink"),
                    "fontSize": 13,
                    "fontWeight": "bold",
                },
                "encoding": {"text": {"field": "rows"}},
            },
        ],
    }


def shift(after: str, table: pl.DataFrame) -> Spec:
    """Return how far the probability of phishing moved in one hop, columns dp and share, as a
    histogram.
    """
    across = _axis(
        "dp",
        "change of the probability of phishing",
        scale={"domain": [-1, 1]},
        axis={"labelExpr": SIGNED, "format": "~g", "values": [-1, -0.5, 0, 0.5, 1]},
    )
    up = _axis("share", "share of rows (square-root scale)", scale={"type": "sqrt", "domainMin": 0})
    up["axis"] = {"format": "~%", "tickCount": 5}
    return {
        **_frame(WIDTH, 220),
        "data": _rows(table),
        "mark": {
            "type": "area",
            "interpolate": "step",
            "color": paint(after),
            "fillOpacity": 0.3,
            "line": {"color": paint(after), "strokeWidth": 1.2},
        },
        "encoding": {"x": across, "y": up},
    }


def parts(sizes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the parts that any model has, in the order of their first appearance; `other` is the
    last.
    """
    names = dict.fromkeys(
        part for found in sizes.values() for part in sorted(found) if part != "total"
    )
    return sorted(names, key=lambda part: part == "other")


def part_role(number: int) -> str:
    """Return the colour's role of the part with this number, from 0."""
    return f"part-{number % 6 + 1}"


def size_by_part(sizes: Mapping[str, Mapping[str, int]]) -> Spec:
    """Return one bar per model, of its parts in megabytes (10⁶ bytes), with the total at its end."""
    names = parts(sizes)
    values = [
        {"model": model, "part": part, "mb": found.get(part, 0) / 1e6, "rank": rank}
        for model, found in sizes.items()
        for rank, part in enumerate(names)
    ]
    totals: list[dict[str, Any]] = [
        {"model": model, "mb": size / 1e6, "text": f"{formatting.megabytes(size / 1e6)} MB"}
        for model, size in _totals(sizes)
    ]
    colour = {"domain": names, "range": [paint(part_role(rank)) for rank in range(len(names))]}
    longest = max((total["mb"] for total in totals), default=1.0)
    across = _axis("mb", "megabytes", scale={"domain": [0, longest * 1.26 or 1.0], "nice": False})
    # a list, not `sort: null`, which would sort each layer by itself
    down = {"field": "model", "type": "nominal", "title": None, "sort": list(sizes)}
    return {
        **_frame(WIDTH, 56 + 44 * len(sizes)),
        "encoding": {"y": down},
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "bar", "height": {"band": 0.62}},
                "encoding": {
                    "x": across,
                    "color": {"field": "part", "type": "nominal", "scale": colour, "legend": None},
                    "order": {"field": "rank"},
                },
            },
            {
                "data": {"values": totals},
                "mark": {
                    "type": "text",
                    "align": "left",
                    "dx": 6,
                    "color": paint("ink"),
                    "fontSize": 12,
                },
                "encoding": {"x": _axis("mb", "megabytes"), "text": {"field": "text"}},
            },
        ],
    }


def _totals(sizes: Mapping[str, Mapping[str, int]]) -> Iterable[tuple[str, int]]:
    for model, found in sizes.items():
        yield model, found.get("total", sum(found.values()))


def training(tables: Mapping[str, pl.DataFrame], column: str, title: str) -> Spec:
    """Return one column of the training curves by epoch."""
    epochs = max((int(table["epoch"].max() or 1) for table in tables.values()), default=1)  # type: ignore[arg-type]
    ticks = list(range(1, epochs + 1, max(1, epochs // 8)))
    across = _axis(
        "epoch",
        "epoch",
        scale={"domain": [1, max(epochs, 2)]},
        axis={"values": ticks, "format": "d"},
    )
    curves = {model: table.filter(pl.col(column).is_not_null()) for model, table in tables.items()}
    up = _axis(column, title, scale={"zero": False})
    return {
        **_overlaid(curves, {"x": across, "y": up}, points=30, opacity=1, strokeWidth=2),
        "height": 240,
    }


def slice_label(found: Mapping[str, Any]) -> str:
    """Return a slice's trait and value, and what is measured if that is not f1; `.com` says what it
    is by itself.
    """
    value = plain(str(found["value"]), 30)
    named = value if value.startswith(".") else f"{plain(str(found['slice']), 20)}: {value}"
    return named if found["measure"] == "f1" else f"{named} ({found['measure']})"


SCORES = [0, 0.5, 0.7, 0.8, 0.9, 0.95, 1]


def slices(found: Sequence[Mapping[str, Any]]) -> Spec:
    """Return a row per slice with a mark per model; hollow and pale where the slice is small."""
    # Two slices may share a label; their number keeps them apart.
    labels = [f"{number}|{slice_label(one)}" for number, one in enumerate(found)]
    values = [
        {"row": label, "model": model, "score": score, "small": bool(one["small"])}
        for label, one in zip(labels, found, strict=True)
        for model in JUDGED
        if (score := one["models"].get(model)) is not None
    ]
    models = [model for model in JUDGED if any(value["model"] == model for value in values)]
    colour: Spec = {"domain": models, "range": [paint(model) for model in models]}
    shape = {"domain": models, "range": [SHAPES[model] for model in models]}
    sizes = [AREAS[model] for model in models]
    down: Spec = {
        "field": "row",
        "type": "nominal",
        "title": None,
        "sort": labels,
        "scale": {"domain": labels},
    }
    down["axis"] = {
        "labelExpr": "slice(datum.label, indexof(datum.label, '|') + 1)",
        "grid": True,
        "labelLimit": 200,
        "labelPadding": 8,
    }
    lowest = min((value["score"] for value in values), default=0.0)
    # Most scores crowd below 1, and one bad slice would press them together.
    across = _axis("score", "score (stretched towards 1)", scale={"type": "pow", "exponent": 3})
    across["scale"]["domain"] = [_floor(lowest), 1.0]
    across["axis"] = {
        "orient": "top",
        "values": SCORES,
        "tickCount": len(SCORES),
        "labelExpr": "'' + datum.value",
    }
    return {
        **_frame(WIDE, 60 + 22 * len(labels)),
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "strokeWidth": 1.5, "opacity": 1},
        "encoding": {
            "x": across,
            "y": down,
            "fill": {"field": "model", "type": "nominal", "scale": colour, "legend": None},
            "stroke": {"field": "model", "type": "nominal", "scale": colour, "legend": None},
            "shape": {"field": "model", "type": "nominal", "scale": shape, "legend": None},
            "size": {
                "field": "model",
                "type": "nominal",
                "scale": {"domain": models, "range": sizes},
                "legend": None,
            },
            "fillOpacity": {"condition": {"test": "datum.small", "value": 0}, "value": 0.85},
        },
    }


def sensitivity(parts: Sequence[Mapping[str, Any]], bits: Sequence[str]) -> Spec:
    """Return a row per part with a mark for each number of bits, at the damage that it does."""
    labels = [plain(part["name"], 60) for part in parts]
    values = [
        {"part": label, "bits": one, "kl": part["in_bits"][one]["kl"]}
        for label, part in zip(labels, parts, strict=True)
        for one in bits
        if one in part["in_bits"]
    ]
    # No logarithm holds a damage of 0: below the smallest one there is, the scale goes on linearly.
    smallest = min((value["kl"] for value in values if value["kl"]), default=1.0)
    most = max((value["kl"] for value in values), default=0.0) or 1.0
    ticks = [0.0] + [10.0**power for power in range(-15, 3) if smallest <= 10.0**power <= most]
    scale = {"type": "symlog", "constant": smallest, "domain": [0, most], "nice": False}
    across = _axis("kl", "mean KL divergence, nats (logarithmic)", scale=scale)
    across["axis"] = {"orient": "top", "values": ticks, "format": "~g"}
    colour: Spec = {
        "domain": list(bits),
        "range": [paint(part_role(rank)) for rank in range(len(bits))],
    }
    down: Spec = {"field": "part", "type": "nominal", "title": None, "sort": labels}
    down["axis"] = {"grid": True, "labelLimit": 230, "labelPadding": 8}
    return {
        **_frame(WIDE, 60 + 20 * len(labels)),
        "data": {"values": values},
        "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.9},
        "encoding": {
            "x": across,
            "y": down,
            "color": {"field": "bits", "type": "nominal", "scale": colour, "legend": None},
        },
    }


def _floor(score: float) -> float:
    """Return the tenth below a score, so that a mark does not sit on the axis."""
    return max(0.0, (int(score * 10 - 1e-9)) / 10)


def forest(hops: Sequence[Hop], margin: float) -> Spec:
    """Return each hop's difference of f1 with its interval, against zero and the margin (shaded
    beyond it).
    """
    values: list[dict[str, Any]] = [
        {
            "hop": formatting.arrow(hop["before"], hop["after"]),
            "role": verdicts.label(hop)[1],
            **{key: hop["f1"][key] for key in INTERVAL},
        }
        for hop in hops
    ]
    reach = max([margin, *(abs(value[key]) for value in values for key in INTERVAL)]) * 1.15
    names = list(dict.fromkeys(value["hop"] for value in values))
    roles = ["good", "bad", "open"]
    colour = {
        "field": "role",
        "type": "nominal",
        "legend": None,
        "scale": {"domain": roles, "range": [paint(role) for role in roles]},
    }
    across = _axis("low", "difference of f1", scale={"domain": [-reach, reach], "nice": False})
    across["axis"] = {"labelExpr": SIGNED, "tickCount": 5}
    down = {
        "field": "hop",
        "type": "nominal",
        "title": None,
        "sort": names,
        "axis": {"labelPadding": 8},
    }
    return {
        **_frame(WIDTH, 66 + 34 * len(names)),
        "data": {"values": values},
        "layer": [
            _band(-reach, -margin),
            _upright(-margin, [3, 2]),
            _upright(0.0, [1, 0]),
            {
                "mark": {"type": "rule", "strokeWidth": 2.5},
                "encoding": {"x": across, "x2": {"field": "high"}, "y": down, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {"x": {**across, "field": "difference"}, "y": down, "color": colour},
            },
        ],
    }


INTERVAL = ("difference", "low", "high")


def _band(start: float, end: float) -> Spec:
    """Return the shaded region of differences that cost more than the margin."""
    return {
        "data": {"values": [{"start": start, "end": end}]},
        "mark": {"type": "rect", "color": paint("bad"), "fillOpacity": 0.09},
        "encoding": {"x": _axis("start", "difference of f1"), "x2": {"field": "end"}},
    }


def _upright(place: float, dash: list[int]) -> Spec:
    """Return a vertical line."""
    return {
        "data": {"values": [{"place": place}]},
        "mark": {"type": "rule", "color": paint("muted"), "strokeDash": dash},
        "encoding": {"x": _axis("place", "difference of f1")},
    }
