"""Figures of a row for each thing and a dot for each way to do it: slices and their models, parts
and their bits. Pure.
"""

from collections.abc import Sequence
from typing import Any

from minnow.evaluation.results import SensitivePart
from minnow.evaluation.slice_records import SliceScore
from minnow.layout import EVERY_MODEL
from minnow.report.charts import (
    AREAS,
    SHAPES,
    WIDE,
    Chart,
    axis,
    by_name,
    frame,
    names,
    part_colours,
)
from minnow.report.svg import Spec, paint
from minnow.text.display import plain

SCORES = [0, 0.5, 0.7, 0.8, 0.9, 0.95, 1]
# Most scores crowd below 1, and one bad slice would press them together.
SLICES = Chart(
    {
        "x": axis(
            "score",
            "score (stretched towards 1)",
            scale={"type": "pow", "exponent": 3},
            axis={
                "orient": "top",
                "values": SCORES,
                "tickCount": len(SCORES),
                "labelExpr": "'' + datum.value",
            },
        ),
        "y": names("slice", [], axis={"grid": True, "labelLimit": 200, "labelPadding": 8}),
    },
    {"type": "point", "filled": True, "strokeWidth": 1.5, "opacity": 1},
)
# No logarithm holds a damage of 0: below the smallest one there is, the scale goes on linearly.
SENSITIVITY = Chart(
    {
        "x": axis(
            "kl",
            "mean KL divergence, nats (logarithmic)",
            scale={"type": "symlog"},
            axis={"orient": "top", "format": "~g"},
        ),
        "y": names("part", [], axis={"grid": True, "labelLimit": 230, "labelPadding": 8}),
    },
    {"type": "point", "filled": True, "size": 45, "opacity": 0.9},
)


def slices_chart(scores: Sequence[SliceScore]) -> Spec:
    """Return a row per slice with a mark per model; hollow and pale where the slice is small."""
    # Two slices may share a label; their number keeps them apart.
    labels = [f"{number}|{slice_label(score)}" for number, score in enumerate(scores)]
    values: list[dict[str, Any]] = [
        {"slice": label, "model": model, "score": value, "small": score.small}
        for label, score in zip(labels, scores, strict=True)
        for model in EVERY_MODEL
        if (value := score.models.get(model)) is not None
    ]
    models = [model for model in EVERY_MODEL if any(value["model"] == model for value in values)]
    across, down = SLICES.encoding["x"], SLICES.encoding["y"]
    lowest = min((value["score"] for value in values), default=0.0)
    without_number = "slice(datum.label, indexof(datum.label, '|') + 1)"
    return {
        **frame(WIDE, 60 + 22 * len(labels)),
        "data": {"values": values},
        "mark": SLICES.mark,
        "encoding": {
            "x": {**across, "scale": {**across["scale"], "domain": [tenth_below(lowest), 1.0]}},
            "y": {
                **down,
                "sort": labels,
                "scale": {"domain": labels},
                "axis": {**down["axis"], "labelExpr": without_number},
            },
            **looks(models),
            "fillOpacity": {"condition": {"test": "datum.small", "value": 0}, "value": 0.85},
        },
    }


def looks(models: Sequence[str]) -> Spec:
    """Return the channels that tell models apart, whatever their colours: by shape and size too."""
    colours = [paint(model) for model in models]
    return {
        "fill": by_name("model", models, colours),
        "stroke": by_name("model", models, colours),
        "shape": by_name("model", models, [SHAPES[model] for model in models]),
        "size": by_name("model", models, [AREAS[model] for model in models]),
    }


def slice_label(score: SliceScore) -> str:
    """Return a slice's trait and value, and what is measured if that is not f1; `.com` says what it
    is by itself.
    """
    value = plain(score.value, 30)
    name = value if value.startswith(".") else f"{plain(score.slice, 20)}: {value}"
    return name if score.measure == "f1" else f"{name} ({score.measure})"


def tenth_below(score: float) -> float:
    """Return the tenth below a score, so that a mark does not sit on the axis."""
    return max(0.0, (int(score * 10 - 1e-9)) / 10)


def sensitivity_chart(parts: Sequence[SensitivePart], bits: Sequence[str]) -> Spec:
    """Return a row per part with a mark for each number of bits, at the damage that it does."""
    labels = [plain(part.name, 60) for part in parts]
    values: list[dict[str, Any]] = [
        {"part": label, "bits": number, "kl": part.in_bits[number].kl}
        for label, part in zip(labels, parts, strict=True)
        for number in bits
        if number in part.in_bits
    ]
    return {
        **frame(WIDE, 60 + 20 * len(labels)),
        "data": {"values": values},
        "mark": SENSITIVITY.mark,
        "encoding": {
            "x": damage_axis([value["kl"] for value in values]),
            "y": {**SENSITIVITY.encoding["y"], "sort": labels},
            "color": by_name("bits", bits, part_colours(len(bits))),
        },
    }


def damage_axis(damages: Sequence[float]) -> Spec:
    """Return the channel of KL divergences, from zero to the greatest, with the powers of ten."""
    smallest = min(filter(None, damages), default=1.0)
    most = max(damages, default=0.0) or 1.0
    ticks = [0.0] + [10.0**power for power in range(-15, 3) if smallest <= 10.0**power <= most]
    across = SENSITIVITY.encoding["x"]
    scale = {**across["scale"], "constant": smallest, "domain": [0, most], "nice": False}
    return {**across, "scale": scale, "axis": {**across["axis"], "values": ticks}}
