"""Results to one HTML page that needs nothing else: no script, no font, no picture from elsewhere.
Pure.

What comes from the data is text: the template escapes all of it, no link and no attribute is made
from it, and URLs are defanged. Equal results give equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.layout import HOPS
from minnow.report import drawings, formatting, mistakes, sections, verdicts
from minnow.report.formatting import judged
from minnow.report.mistakes import Mistake
from minnow.text.display import plain

if TYPE_CHECKING:
    import polars as pl


TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows: metrics/*.json and metrics/plots/*.csv in their own shapes,
    and what follows.

    `formats` are what each part of the quantized student is stored in, by name. `missed` is
    phishing that the quantized student took for safe, `alarms` the reverse, the most confident
    first.
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
    sensitivity: Mapping[str, Any]
    formats: Mapping[str, str]
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
    # The one way past the escaping: what `svg.draw` made, from which all but drawing has been
    # taken.
    environment.filters["drawing"] = lambda figure: Markup(figure.drawing)
    return environment.get_template(TEMPLATE).render(content(found))


def content(found: Findings) -> dict[str, Any]:
    """Return what the template fills in, section by section."""
    hops, margin, rows = (found.hops[key] for key in ("hops", "margin", "rows"))
    estimated, slices = found.intervals["models"], found.slices["slices"]
    return {
        "preset": plain(found.preset),
        "synthetic": found.prepare["source"] == "synthetic",
        "verdict": verdicts.headline(hops, margin, rows),
        "tiles": sections.tiles(found.headline["quantized"], estimated["quantized"]["f1"], hops),
        "judged": judged(estimated),
        "intervals": found.intervals,
        "confidence": f"{100 * found.intervals['confidence']:g} %",
        "rows": formatting.count(rows),
        "models": sections.models_table(estimated, found.headline),
        "reasons": sections.reasons(estimated),
        "margin": formatting.short(margin),
        "hops": sections.hop_cards(hops, margin, rows),
        "figures": drawings.drawn(
            found.plots, found.hops, found.sizes, slices, found.sensitivity["parts"]
        ),
        "calibration": sections.calibration_table(found.calibration),
        "slices": sections.slice_groups(slices),
        "hurt": sections.hurt(slices),
        "chance_of_slices": verdicts.chance_of_slices(len(verdicts.watched(slices))),
        "small_below": found.slices["small_below"],
        "slice_hops": [formatting.arrow(*hop) for hop in HOPS],
        "sensitivity": sections.sensitivity(found.sensitivity, found.formats),
        "extra": [
            sections.other_set(name, each, margin) for name, each in sorted(found.extra.items())
        ],
        "controls": [
            sections.control(name, each, margin) for name, each in sorted(found.controls.items())
        ],
        "mistakes": mistakes.mistakes(found.missed, found.alarms),
        "data": sections.data_facts(found.prepare),
        "params": sections.params_tables(found.params),
        "versions": found.versions,
    }
