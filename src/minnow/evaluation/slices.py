"""Whom does compression hurt? Each model on slices of the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import polars as pl
from scipy.stats import false_discovery_control

from minnow.evaluation.comparison import flips, mcnemar, net_flips
from minnow.evaluation.metrics import Array, predicted, rounded
from minnow.evaluation.outcomes import Outcome
from minnow.evaluation.records import WHOLE_WAY, between
from minnow.evaluation.slice_records import (
    BEYOND_CHANCE,
    Measure,
    SliceHop,
    Slices,
    SliceScore,
)
from minnow.evaluation.units import JudgedRows, Units, clustered_p, domains_of, effective_rows
from minnow.text.traits import traits

# The rows that a measure counts: with fewer, a single one moves it by more than a point.
COUNTED: dict[Measure, str] = {"f1": "phishing", "recall": "phishing", "specificity": "safe"}
SMALL_BELOW = 100


@dataclass(frozen=True)
class Slice:
    """The test rows that have one `value` of a trait, as booleans (rows,)."""

    name: str
    value: str
    rows: Array


def cut(test: pl.DataFrame, train_domains: pl.Series) -> list[Slice]:
    """Return the slices that hold any row, trait by trait; but for lengths and top-level domains,
    two values each.

    `test` has columns `text` and `domain`; it does not matter whether its texts still carry a
    scheme.
    """
    return [
        Slice(name, value, rows.to_numpy())
        for name, values in traits(test["text"], test["domain"], train_domains)
        for value, rows in values.items()
        if rows.any()
    ]


def report(
    slices: Sequence[Slice],
    rows: JudgedRows,
    outcomes: Mapping[str, Outcome],
    hops: Sequence[tuple[str, str]],
) -> Slices:
    """Return each model's score on each slice and what each hop did to it.

    A hop is left out where one of its models is.
    """
    guesses = {
        model: predicted(outcome.test, outcome.threshold) for model, outcome in outcomes.items()
    }
    known = [hop for hop in hops if guesses.keys() >= set(hop)]
    found = [scored(one, rows, guesses, known) for one in slices]
    return Slices(SMALL_BELOW, judged(found))


def scored(
    one: Slice, rows: JudgedRows, guesses: Mapping[str, Array], hops: Sequence[tuple[str, str]]
) -> SliceScore:
    """Return one slice's rows, and its models and hops by the measure that its classes allow."""
    actual, units = rows.labels[one.rows], rows.units.part(one.rows)
    here = {model: all_guesses[one.rows] for model, all_guesses in guesses.items()}
    phishing = int((actual == 1).sum())
    classes = {"safe": len(actual) - phishing, "phishing": phishing}
    measure = measure_for(**classes)
    scores = {model: score(measure, some, actual) for model, some in here.items()}
    last = here[WHOLE_WAY[1] if WHOLE_WAY[1] in here else list(here)[-1]]
    return SliceScore(
        slice=one.name,
        value=one.value,
        rows=len(actual),
        effective_rows=effective_rows(last == actual, units),
        domains=domains_of(units),
        safe=classes["safe"],
        phishing=phishing,
        small=classes[COUNTED[measure]] < SMALL_BELOW,
        measure=measure,
        models={model: rounded(value) for model, value in scores.items()},
        hops=tuple(
            SliceHop(
                before,
                after,
                change=rounded(scores[after] - scores[before]),
                **tests(here[before], here[after], actual, units),
                adjusted_p=None,
            )
            for before, after in hops
        ),
        hurt=False,
    )


class Tests(TypedDict):
    """Flips, and how likely so unequal ones are."""

    worse: int
    better: int
    mcnemar_p: float
    clustered_p: float


def tests(before: Array, after: Array, labels: Array, units: Units) -> Tests:
    """Return the flips between two models' predictions (rows,), and their p by row and by unit."""
    flipped = flips(before, after, labels)
    return {
        "worse": flipped.worse,
        "better": flipped.better,
        "mcnemar_p": rounded(mcnemar(flipped.worse, flipped.better)),
        "clustered_p": rounded(clustered_p(net_flips(before, after, labels, units))),
    }


def judged(scores: Sequence[SliceScore]) -> tuple[SliceScore, ...]:
    """Return the slices with each hop's p corrected for the number of slices that are large enough,
    and whether the whole way hurts them.

    The correction keeps the share of false ones among those called hurt below BEYOND_CHANCE
    (Benjamini & Hochberg 1995, Journal of the Royal Statistical Society B 57(1)).
    """
    large = [place for place, one in enumerate(scores) if not one.small]
    found = list(scores)
    for number in range(len(scores[0].hops) if large else 0):
        ps = [scores[place].hops[number].clustered_p for place in large]
        for place, p in zip(large, false_discovery_control(ps), strict=True):
            hops = list(found[place].hops)
            hops[number] = replace(hops[number], adjusted_p=rounded(p))
            found[place] = replace(found[place], hops=tuple(hops))
    return tuple(replace(one, hurt=is_hurt(between(one.hops, *WHOLE_WAY))) for one in found)


def is_hurt(hop: SliceHop | None) -> bool:
    """Return whether a hop is shown to lower a slice's score."""
    if hop is None or hop.adjusted_p is None:
        return False
    return hop.change < 0 and hop.worse > hop.better and hop.adjusted_p < BEYOND_CHANCE


def measure_for(safe: int, phishing: int) -> Measure:
    """Return `f1`; of one class alone, `recall` (phishing found) or `specificity` (safe let
    through).
    """
    if safe and phishing:
        return "f1"
    return "recall" if phishing else "specificity"


def score(measure: Measure, guesses: Array, labels: Array) -> float:
    """Return a slice's score; of one class alone both recall and specificity are the share of right
    predictions.
    """
    if measure != "f1":
        return float((guesses == labels).mean())
    hits = np.count_nonzero(guesses & labels)
    return 2 * hits / (np.count_nonzero(guesses) + np.count_nonzero(labels))


def slices_table(report: Slices) -> pl.DataFrame:
    """Return a report as rows for a plot: `slice` (`path: with path`; a small one says how small),
    `model`, `score`.
    """
    rows = [
        (plot_label(one), model, value)
        for one in report.slices
        for model, value in one.models.items()
    ]
    return pl.DataFrame(
        rows, schema={"slice": pl.String, "model": pl.String, "score": pl.Float64}, orient="row"
    )


def plot_label(one: SliceScore) -> str:
    """Return a slice's name and value; where it is small, with the rows that its measure counts.

    DVC writes what a plot shows into a page's script as it is, hence without what would open a tag
    there.
    """
    counted = COUNTED[one.measure]
    rows = {"safe": one.safe, "phishing": one.phishing}[counted]
    name = f"{one.slice}: {one.value}".replace("<", "")
    return name + (f" ({rows} {counted})" if one.small else "")
