"""The figure of what each model needs, by part. Pure."""

from collections.abc import Mapping

from minnow.report import formatting
from minnow.report.charts import WIDTH, Chart, axis, by_name, frame, names, part_colours
from minnow.report.svg import Spec, paint

SIZES = Chart(
    {"x": axis("mb", "megabytes"), "y": names("model", [])},
    {"type": "bar", "height": {"band": 0.62}},
)


def size_bars(sizes: Mapping[str, Mapping[str, int]]) -> Spec:
    """Return one bar per model, of its parts in megabytes (10⁶ bytes), its total at the end."""
    sums = totals(sizes)
    longest = max((size / 1e6 for size in sums.values()), default=1.0)
    scale = {"domain": [0, longest * 1.26 or 1.0], "nice": False}
    across, down = SIZES.encoding["x"], {**SIZES.encoding["y"], "sort": list(sizes)}
    segments = {
        "data": {"values": part_rows(sizes)},
        "mark": SIZES.mark,
        "encoding": {
            "x": {**across, "scale": scale},
            "color": by_name("part", parts(sizes), part_colours(len(parts(sizes)))),
            "order": {"field": "rank"},
        },
    }
    ends = {
        "data": {"values": [total_row(model, size) for model, size in sums.items()]},
        "mark": {"type": "text", "align": "left", "dx": 6, "color": paint("ink"), "fontSize": 12},
        "encoding": {"x": across, "text": {"field": "text"}},
    }
    return {
        **frame(WIDTH, 56 + 44 * len(sizes)),
        "encoding": {"y": down},
        "layer": [segments, ends],
    }


def parts(sizes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the parts that any model has, in the order of their first appearance; `other` is the
    last.
    """
    names_of_parts = dict.fromkeys(
        part for bytes_of in sizes.values() for part in sorted(bytes_of) if part != "total"
    )
    return sorted(names_of_parts, key=lambda part: part == "other")


def part_rows(sizes: Mapping[str, Mapping[str, int]]) -> list[dict[str, str | float]]:
    """Return a row per model and part; `rank` keeps the parts' order within a bar."""
    return [
        {"model": model, "part": part, "mb": bytes_of.get(part, 0) / 1e6, "rank": rank}
        for model, bytes_of in sizes.items()
        for rank, part in enumerate(parts(sizes))
    ]


def totals(sizes: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the bytes of each model."""
    return {
        model: bytes_of.get("total", sum(bytes_of.values())) for model, bytes_of in sizes.items()
    }


def total_row(model: str, size: int) -> dict[str, str | float]:
    """Return what stands at the end of a model's bar, and where."""
    return {"model": model, "mb": size / 1e6, "text": f"{formatting.megabytes(size / 1e6)} MB"}
