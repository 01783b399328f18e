"""Results to one HTML page that needs nothing else: no script, no font, no picture from elsewhere. Pure.

What comes from the data is text: the template escapes all of it, no link and no attribute is made from it, and URLs are
defanged. Equal results give equal bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow import drawings, verdicts
from minnow.display import defanged, plain
from minnow.drawings import HOPS, arrow, judged
from minnow.layout import BASELINE, JUDGED, SPLITS
from minnow.verdicts import NONE, count, number, percent, short, signed

if TYPE_CHECKING:
    import polars as pl

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows: metrics/*.json and metrics/plots/*.csv in their own shapes, and what follows.

    `missed` is phishing that the quantized student took for safe, `alarms` the reverse, the most confident first.
    """

    preset: str
    prepare: Mapping[str, Any]
    headline: Mapping[str, Mapping[str, Any]]
    intervals: Mapping[str, Any]
    hops: Mapping[str, Any]
    calibration: Mapping[str, Any]
    slices: Mapping[str, Any]
    extra: Mapping[str, Any]
    controls: Mapping[str, Any]
    sizes: Mapping[str, Mapping[str, int]]
    plots: Mapping[str, "pl.DataFrame"]
    missed: Sequence[Mistake]
    alarms: Sequence[Mistake]
    params: Mapping[str, Any]
    versions: Mapping[str, str]


def render(found: Findings) -> str:
    """Return the page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The one way past the escaping: what `charts.svg` made, from which all but drawing has been taken.
    environment.filters["drawing"] = lambda figure: Markup(figure.drawing)
    return environment.get_template(TEMPLATE).render(content(found))


def content(found: Findings) -> dict[str, Any]:
    """Return what the template fills in, section by section."""
    hops, margin = found.hops["hops"], found.hops["margin"]
    return {
        "preset": plain(found.preset),
        "synthetic": found.prepare["source"] == "synthetic",
        "verdict": verdicts.headline(hops, margin, found.hops["rows"]),
        "tiles": tiles(found),
        "judged": judged(found.intervals["models"]),
        "intervals": found.intervals,
        "confidence": f"{100 * found.intervals['confidence']:g} %",
        "rows": found.intervals["rows"],
        "models": models_table(found),
        "reasons": reasons(found.intervals["models"]),
        "margin": short(margin),
        "hops": hop_cards(hops, margin, found.hops["rows"]),
        "figures": drawings.drawn(found.plots, found.hops, found.sizes, found.slices["slices"]),
        "calibration": calibration_table(found.calibration),
        "wanted_fpr": percent_or_none(found.calibration["wanted_fpr"]),
        "slices": slice_groups(found.slices["slices"]),
        "hurt": hurt(found.slices["slices"]),
        "small_below": found.slices["small_below"],
        "slice_hops": [arrow(*hop) for hop in HOPS],
        "extra": [other_set(name, each, margin) for name, each in sorted(found.extra.items())],
        "controls": [control(name, each, margin) for name, each in sorted(found.controls.items())],
        "mistakes": mistakes(found),
        "data": data_facts(found.prepare),
        "params": params_tables(found.params),
        "versions": found.versions,
    }
