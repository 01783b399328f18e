"""Results to one HTML page that needs nothing else: no script, no font, no picture from elsewhere.
Pure.

What comes from the data is text: the template escapes all of it, no link and no attribute is made
from it, and URLs are defanged. Equal results give equal bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.evaluation.records import Headline
from minnow.evaluation.results import DataReport, Evidence, Sensitivity
from minnow.layout import HOPS
from minnow.report import (
    background,
    drawings,
    formatting,
    mistakes,
    other_rows,
    probabilities,
    sections,
    verdicts,
)
from minnow.report.formatting import models_in_order
from minnow.report.mistakes import Mistake
from minnow.text.display import plain

if TYPE_CHECKING:
    import polars as pl


TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows.

    `headline` is by model, `plots` by figure or training. `formats` are what each part of the
    quantized student is stored in, by name. `missed` is phishing that the quantized student took
    for safe, `alarms` the reverse, the most confident first.
    """

    preset: str
    data: DataReport
    headline: Mapping[str, Headline]
    evidence: Evidence
    sensitivity: Sensitivity
    formats: Mapping[str, str]
    plots: Mapping[str, "pl.DataFrame"]
    missed: Sequence[Mistake]
    alarms: Sequence[Mistake]
    params: Mapping[str, Any]
    versions: Mapping[str, str]


def render(findings: Findings) -> str:
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
    return environment.get_template(TEMPLATE).render(content(findings))


def content(findings: Findings) -> dict[str, Any]:
    """Return what the template fills in, section by section."""
    evidence, quantized = findings.evidence, findings.headline["quantized"]
    hops, slices, intervals = evidence.hops, evidence.slices, evidence.intervals
    estimated, margin = intervals.models, hops.margin
    judged = models_in_order(estimated)
    return {
        "preset": plain(findings.preset),
        "synthetic": findings.data.source == "synthetic",
        "verdict": verdicts.sentence(hops, evidence.extra),
        "tiles": sections.tiles(quantized, estimated["quantized"].f1, hops.hops),
        "judged": judged,
        "judged_legend": [(model, model) for model in judged],
        "intervals": intervals,
        "confidence": f"{100 * intervals.confidence:g} %",
        "rows": formatting.count(hops.rows),
        "sample": formatting.sample_words(intervals.rows),
        "rare": probabilities.prevalence_table(estimated),
        "models": sections.models_table(estimated, findings.headline),
        "reasons": sections.unmeasured_reasons(estimated),
        "margin": formatting.short(margin),
        "hops": sections.hop_cards(hops.hops, margin, hops.rows, intervals.rows.unit),
        "figures": drawings.drawn(
            findings.plots, hops, evidence.sizes, slices.slices, findings.sensitivity.parts
        ),
        "calibration": probabilities.calibration_table(evidence.calibration),
        "slices": sections.slice_groups(slices.slices, judged),
        "hurt": sections.hurt_slices(slices, intervals.rows.unit),
        "chance_of_slices": verdicts.chance_of_slices(len(slices.watched), intervals.rows.unit),
        "small_below": slices.small_below,
        "months": background.months_table(slices),
        "slice_hops": [formatting.arrow(*hop) for hop in HOPS],
        "sensitivity": sections.sensitivity_table(findings.sensitivity, findings.formats),
        "extra": [
            other_rows.extra_section(name, evidence.extra[name]) for name in sorted(evidence.extra)
        ],
        "controls": [
            other_rows.control_section(name, evidence.controls[name], margin)
            for name in sorted(evidence.controls)
        ],
        "mistakes": mistakes.mistakes(findings.missed, findings.alarms),
        "data": background.data_facts(findings.data),
        "params": background.params_tables(findings.params),
        "versions": findings.versions,
    }
