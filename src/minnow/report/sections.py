"""Results to the words and figures of the page's tables, section by section. Pure; the template
escapes all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minnow.evaluation.params import Unit
from minnow.evaluation.records import (
    CalibrationError,
    Difference,
    DomainFlips,
    Estimate,
    Estimates,
    Headline,
    Hop,
    Measured,
    OperatingPoint,
    Unmeasured,
    between,
)
from minnow.evaluation.results import PartInBits, Sensitivity
from minnow.evaluation.slice_records import SliceHop, Slices, SliceScore
from minnow.layout import BASELINE, HOPS
from minnow.report import formatting, verdicts
from minnow.report.formatting import (
    BITS,
    NONE,
    count,
    megabytes,
    models_in_order,
    most_sensitive,
    number,
    percent,
    signed,
    words,
)
from minnow.text.display import plain

# Slices named as hurt most.
SHOWN_HURT = 6
# Of a metric: its key, its name on the page, and what helps to read it.
ESTIMATES = (
    ("f1", "F1", "of the class phishing"),
    ("accuracy", "Accuracy", ""),
    ("roc_auc", "ROC AUC", ""),
    ("average_precision", "Average precision", ""),
    (
        "tpr_at_fpr_1pct",
        "Phishing found at 1 % false alarms",
        "set on validation; last line: on test",
    ),
    ("tpr_at_fpr_0_1pct", "Phishing found at 0.1 % false alarms", "likewise"),
    ("brier", "Brier score", "less is better"),
    ("ece", "Calibration error", "without what chance adds; last lines: with it, and that alone"),
)


def tiles(final: Headline, f1: Estimate, hops: Sequence[Hop]) -> list[dict[str, str]]:
    """Return the few figures that stand in large type; `final` and `f1` are those of the quantized
    student.
    """
    shown = [
        (
            "Size",
            f"{megabytes(final.size_mb)} MB",
            f"{final.compression_x:.1f} times smaller than the teacher’s",
        ),
        ("F1", number(f1.value, 3), formatting.bounds(f1, 3)),
    ]
    for before, title in (
        ("teacher", "F1 against the teacher"),
        (BASELINE, "F1 against the baseline"),
    ):
        hop = between(hops, before, "quantized")
        if hop is not None:
            shown.append((title, signed(hop.f1.difference, 3), formatting.interval_text(hop.f1, 3)))
    return [dict(zip(("title", "figure", "note"), tile, strict=True)) for tile in shown]


# Of headline figures without interval: name, note, and how it is spelled.
Spelled = tuple[str, str, Callable[[Headline], str]]
HEADLINE: tuple[Spelled, ...] = (
    ("Precision", "", lambda metrics: number(metrics.precision, 3)),
    ("Recall", "", lambda metrics: number(metrics.recall, 3)),
    ("Size", "all that it needs to run", lambda metrics: f"{megabytes(metrics.size_mb)} MB"),
    ("Parameters", "", lambda metrics: count(metrics.parameters)),
    ("Smaller than the teacher", "", lambda metrics: f"{metrics.compression_x:.1f} ×"),
)


def choosing(headline: Mapping[str, Headline]) -> tuple[Spelled, ...]:
    """Return the rows of F1 on validation, and of what chooses where that is another number."""
    chooses = "chooses epochs and settings"

    def f1(metrics: Headline) -> str:
        return number(metrics.validation_f1, 3)

    def score(metrics: Headline) -> str:
        return number(metrics.validation_score, 3)

    if all(metrics.validation_score is None for metrics in headline.values()):
        return (("F1 on validation", chooses, f1),)
    return ("F1 on validation", "", f1), ("Score on validation", chooses, score)


def models_table(
    estimated: Mapping[str, Estimates], headline: Mapping[str, Headline]
) -> list[dict[str, Any]]:
    """Return a row per metric: its name, a note, and a cell per model."""
    models = models_in_order(estimated)
    rows = [
        {
            "name": name,
            "note": note,
            "cells": [estimate_cell(getattr(estimated[model], key)) for model in models],
        }
        for key, name, note in ESTIMATES
    ]
    effective = [{"value": count(estimated[model].effective_rows), "below": []} for model in models]
    note = "independent rows that would know accuracy as well"
    rows.append({"name": "Rows, effectively", "note": note, "cells": effective})
    for name, note, spell in (*HEADLINE[:2], *choosing(headline), *HEADLINE[2:]):
        cells = [{"value": spell(headline[model]), "below": []} for model in models]
        rows.append({"name": name, "note": note, "cells": cells})
    return rows


def estimate_cell(metric: Measured) -> dict[str, Any]:
    """Return a cell: the value, and below it the interval and the false-positive rate that came of
    it on test.
    """
    if isinstance(metric, Unmeasured):
        return {"value": NONE, "below": []}
    below = [formatting.bounds(metric, 3, "–")]
    if isinstance(metric, CalibrationError):
        below += [f"{number(metric.measured, 3)} with", f"{number(metric.null, 3)} alone"]
    if isinstance(metric, OperatingPoint):
        below.append(f"at {percent(metric.test_fpr.value, 2)}")
    return {"value": number(metric.value, 3), "below": below}


def unmeasured_reasons(models: Mapping[str, Estimates]) -> list[str]:
    """Return, once each, why a metric could not be measured."""
    return sorted(
        {
            f"{name}: {metric.reason}."
            for estimates in models.values()
            for key, name, _ in ESTIMATES
            if isinstance(metric := getattr(estimates, key), Unmeasured)
        }
    )


def hop_cards(hops: Sequence[Hop], margin: float, rows: int, unit: Unit) -> list[dict[str, Any]]:
    """Return each hop in words and figures; `unit` is what was drawn."""
    cards = []
    for hop in hops:
        word, role = verdicts.label(hop)
        cards.append(
            {
                "before": words(hop.before),
                "after": words(hop.after),
                "word": word,
                "role": role,
                "meaning": verdicts.meaning(hop, margin, rows),
                "facts": hop_facts(hop, unit),
            }
        )
    return cards


def hop_facts(hop: Hop, unit: Unit) -> list[tuple[str, str]]:
    """Return a hop's figures by name; of rows that were drawn by row, McNemar's p alone."""

    def change(difference: Difference) -> str:
        return f"{signed(difference.difference)} ({formatting.interval_text(difference)})"

    few = hop.tpr_at_fpr_1pct
    return [
        ("F1", change(hop.f1)),
        ("ROC AUC", change(hop.roc_auc)),
        *([("Found at 1 %", change(few))] if few else []),
        ("Flips", flips_text(hop)),
        *([("Most of them", "; ".join(map(domain_text, hop.domains)))] if hop.domains else []),
        ("Agreement", f"{percent(hop.agreement, 2)} of rows"),
        ("By row", f"McNemar’s {formatting.p_value(hop.mcnemar_p)}"),
        *([("By domain", formatting.p_value(hop.clustered_p))] if unit == "domain" else []),
        ("Verdict", f"{formatting.p_value(hop.p)}, corrected {number(hop.adjusted_p)}"),
        ("Mean |Δp|", number(hop.mean_abs_dp)),
    ]


def flips_text(flips: DomainFlips | Hop) -> str:
    """Return how many rows turned which way."""
    return f"{count(flips.worse)} to wrong, {count(flips.better)} to right"


def domain_text(flips: DomainFlips) -> str:
    """Return a domain, which nobody can follow by mistake, and its flips."""
    return f"{formatting.harmless_domain(flips.domain)}: {flips_text(flips)}"


def hurt_slices(slices: Slices, unit: Unit) -> list[dict[str, str]]:
    """Return in words the slices that compression is shown to hurt, the greatest loss first."""
    return [
        {
            "name": f"{plain(one.slice, 40)}: {plain(one.value, 40)}",
            "text": (
                f"{measure_name(one)} {signed(hop.change)};"
                f" of its {count(one.rows)} rows {count(hop.worse)} turned wrong and"
                f" {count(hop.better)} right; p by {unit} {number(hop.clustered_p)}, corrected"
                f" {number(hop.adjusted_p)}"
            ),
        }
        for one, hop in slices.hurt[:SHOWN_HURT]
    ]


def measure_name(one: SliceScore) -> str:
    """Return a slice's measure as the page spells it."""
    return "F1" if one.measure == "f1" else one.measure


def slice_groups(slices: Sequence[SliceScore], models: Sequence[str]) -> list[dict[str, Any]]:
    """Return the slices by trait, with the scores of these models."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in slices:
        groups.setdefault(plain(one.slice, 40), []).append(slice_row(one, models))
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def slice_row(one: SliceScore, models: Sequence[str]) -> dict[str, Any]:
    """Return one slice as a row: its scores by model, and what each hop to the quantized student
    changed.
    """
    return {
        "value": plain(one.value, 40),
        "rows": count(one.rows),
        "domains": domains_text(one),
        "small": one.small,
        "measure": measure_name(one),
        "scores": [number(one.models.get(model), 3) for model in models],
        "changes": [change_cell(between(one.hops, *hop)) for hop in HOPS],
    }


def domains_text(one: SliceScore) -> str:
    """Return a slice's domains, the largest one's share, and its effective rows."""
    if one.domains is None:
        return ""
    largest = percent(one.domains.largest_share, 0)
    return (
        f"{count(one.domains.count)} domains, {largest} in one; worth {count(one.effective_rows)}"
    )


def change_cell(hop: SliceHop | None) -> dict[str, str]:
    """Return what a hop did to a slice: the change of its score, and the rows that turned either
    way.
    """
    if hop is None:
        return {"value": NONE, "below": ""}
    return {
        "value": signed(hop.change, 3),
        "below": f"{count(hop.worse)}↓ {count(hop.better)}↑",
    }


def sensitivity_table(report: Sensitivity, formats: Mapping[str, str]) -> dict[str, Any]:
    """Return a row per part, the one that loses most in few bits first; `formats` are what is
    shipped, by part.
    """
    rows = [
        {
            "name": plain(part.name, 80),
            "weights": count(part.weights),
            "shipped": plain(formats.get(part.name, NONE)),
            "cells": [bits_cell(part.in_bits.get(bits)) for bits in BITS],
        }
        for part in most_sensitive(report.parts)
    ]
    return {
        "rows": rows,
        "measured_on": count(report.rows),
        "f1": number(report.validation_f1, 3),
        "bits": BITS,
    }


def bits_cell(part: PartInBits | None) -> dict[str, str]:
    """Return what a part costs in some number of bits."""
    if part is None:
        return {"value": NONE, "below": ""}
    flips = f"{count(part.flips)} flips, " if part.flips else ""
    return {
        "value": f"{part.kl:.1e}" if part.kl else "0",
        "below": f"{flips}{megabytes(part.bytes / 1e6)} MB in {plain(part.format)}",
    }
