"""Sweeps as a Vega-Lite specification: a row of plots for each parameter that varies, and one of
size against F1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minnow.experiments.sweeps import (
    CHOOSES,
    MEASURES,
    REPORTED,
    SWEPT_MODELS,
    TITLES,
    Group,
    Point,
    Run,
    as_number,
    by_preset,
    front,
    grouped,
    points,
    varying,
)
from minnow.layout import BASELINE, JUDGED

# Apart for colour-blind eyes too (Okabe and Ito).
COLOURS = {BASELINE: "#009e73", "teacher": "#555555", "student": "#0072b2", "quantized": "#d55e00"}
Specification = dict[str, Any]


def chart(runs: Sequence[Run]) -> Specification:
    """Return the specification of everything, presets below each other."""
    rows = []
    for preset, members in by_preset(runs).items():
        rows += [parameter_chart(preset, key, grouped(members, [key])) for key in varying(members)]
        rows += [front_chart(preset, drawn) for drawn in [points(members)] if drawn]
    return below_each_other(rows)


def front_specification(title: str, candidates: Sequence[Point]) -> Specification:
    """Return the specification of size against F1 alone."""
    return below_each_other([front_chart(title, candidates)])


def below_each_other(rows: Sequence[Specification]) -> Specification:
    """Return rows of plots as one specification."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "padding": 16,
        "config": {"font": "sans-serif", "axis": {"labelFontSize": 11, "titleFontSize": 12}},
        "vconcat": list(rows),
        "spacing": 40,
        "resolve": {"scale": {"color": "independent"}, "legend": {"color": "independent"}},
    }


def parameter_chart(preset: str, key: str, groups: Sequence[Group]) -> Specification:
    """Return mean ± standard deviation of both models at each value; a single run has no bar."""
    values = sorted((group.values[0] for group in groups), key=_numbers_first)
    labels = {"labelAngle": 0, "labelLimit": 90}
    place = {
        "x": {"field": "value", "type": "nominal", "sort": values, "title": key, "axis": labels},
        "xOffset": {"field": "model", "sort": list(SWEPT_MODELS)},
        "color": _colour(SWEPT_MODELS),
    }
    y = _f1("mean", "F1, mean ± sd")
    bar = {**place, "y": {**y, "field": "low"}, "y2": {"field": "high"}}
    layers: list[Specification] = [
        {
            "transform": [{"filter": "datum.several"}],
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": bar,
        },
        {
            "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
            "encoding": {**place, "y": y},
        },
    ]
    rows = [row for group in groups for row in _spreads(group)]
    return _panels(f"{preset}: {key}", rows, layers, width=max(160, 64 * len(values)))


def front_chart(preset: str, candidates: Sequence[Point]) -> Specification:
    """Return size against F1, the points ringed that no other beats on validation."""
    best = front(candidates)
    rows = [
        {
            "model": p.model,
            "label": p.label or p.model,
            "mb": p.size_mb,
            "f1": f1,
            "measure": TITLES[key],
            "front": on,
        }
        for p, on in ((p, p in best) for p in candidates)
        for key, f1 in ((CHOOSES, p.validation_f1), (REPORTED, p.f1))
    ]
    models = [model for model in JUDGED if any(p.model == model for p in candidates)]
    x = {
        "field": "mb",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False, "padding": 24},
        "title": "MB",
        "axis": {"labelOverlap": "greedy"},
    }
    place = {"x": x, "y": _f1("f1", "F1, mean")}
    on_front = [{"filter": "datum.front"}]
    ring = {"type": "point", "size": 220, "color": "black", "strokeWidth": 1.5, "opacity": 1}
    # Aslant and downwards, where the larger and better ones do not stand.
    text = {"type": "text", "align": "left", "dx": 12, "angle": 40, "fontSize": 10, "limit": 200}
    layers: list[Specification] = [
        {
            "mark": {"type": "point", "filled": True, "size": 60},
            "encoding": {**place, "color": _colour(models)},
        },
        {"transform": on_front, "mark": ring, "encoding": place},
        {"transform": on_front, "mark": text, "encoding": {**place, "text": {"field": "label"}}},
    ]
    title = f"{preset}: size against F1; ringed: no other is as small and as good on validation"
    return _panels(title, rows, layers, width=320)


def _spreads(group: Group) -> list[dict[str, Any]]:
    rows = []
    for model, measure in MEASURES:
        spread = group.spread(model, measure)
        sd = spread.sd or 0.0
        ends = {"low": spread.mean - sd, "high": spread.mean + sd, "several": spread.sd is not None}
        rows.append(
            {
                "value": group.values[0],
                "model": model,
                "measure": TITLES[measure],
                "mean": spread.mean,
                **ends,
            },
        )
    return rows


def _panels(
    title: str, rows: list[dict[str, Any]], layers: Sequence[Mapping[str, Any]], *, width: int
) -> Specification:
    """Return two plots side by side, on validation and on test, with one scale."""
    order = [TITLES[CHOOSES], TITLES[REPORTED]]
    return {
        "title": {"text": title, "anchor": "start"},
        "data": {"values": rows},
        "facet": {"column": {"field": "measure", "type": "nominal", "sort": order, "title": None}},
        "spec": {"width": width, "height": 220, "layer": list(layers)},
    }


def _colour(models: Sequence[str]) -> Specification:
    scale = {"domain": list(models), "range": [COLOURS[model] for model in models]}
    return {"field": "model", "type": "nominal", "scale": scale, "title": None}


def _f1(field: str, title: str) -> Specification:
    scale = {"zero": False, "padding": 16}
    return {
        "field": field,
        "type": "quantitative",
        "scale": scale,
        "title": title,
        "axis": {"format": ".3f"},
    }


def _numbers_first(text: str) -> tuple[bool, float, str]:
    number = as_number(text)
    return number is None, number or 0.0, text
