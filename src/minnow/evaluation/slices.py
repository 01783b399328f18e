"""Whom does compression hurt? Each model on slices of the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from minnow.evaluation.comparison import Flips, flips, mcnemar
from minnow.evaluation.evidence import Outcome
from minnow.evaluation.metrics import Array, predicted, rounded
from minnow.evaluation.records import (
    BEYOND_CHANCE,
    WHOLE_WAY,
    Measure,
    SliceHop,
    Slices,
    SliceScore,
    between,
)
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
    """Return the slices that hold any row, trait by trait; but for lengths, top-level domains and
    months, two values each.

    `test` has columns `text` and `domain`, and perhaps `time`, whose months are slices too; it does
    not matter whether its texts still carry a scheme.
    """
    times = test["time"] if "time" in test.columns else None
    return [
        Slice(name, value, rows.to_numpy())
        for name, values in traits(test["text"], test["domain"], train_domains, times)
        for value, rows in values.items()
        if rows.any()
    ]


def report(
    slices: Sequence[Slice],
    labels: Array,
    outcomes: Mapping[str, Outcome],
    hops: Sequence[tuple[str, str]],
) -> Slices:
    """Return each model's score on each slice and what each hop did to it.

    `labels` are (rows,). A hop is left out where one of its models is.
    """
    guesses = {
        model: predicted(outcome.test, outcome.threshold) for model, outcome in outcomes.items()
    }
    known = [hop for hop in hops if guesses.keys() >= set(hop)]
    return Slices(SMALL_BELOW, tuple(scored(one, labels, guesses, known) for one in slices))


def scored(
    one: Slice, labels: Array, guesses: Mapping[str, Array], hops: Sequence[tuple[str, str]]
) -> SliceScore:
    """Return one slice's rows, and its models and hops by the measure that its classes allow."""
    actual = labels[one.rows]
    here = {model: all_guesses[one.rows] for model, all_guesses in guesses.items()}
    phishing = int((actual == 1).sum())
    classes = {"safe": len(actual) - phishing, "phishing": phishing}
    measure = measure_for(**classes)
    scores = {model: score(measure, some, actual) for model, some in here.items()}
    small = classes[COUNTED[measure]] < SMALL_BELOW
    changes = tuple(
        turned(
            before,
            after,
            rounded(scores[after] - scores[before]),
            flips(here[before], here[after], actual),
        )
        for before, after in hops
    )
    whole_way = between(changes, *WHOLE_WAY)
    return SliceScore(
        slice=one.name,
        value=one.value,
        rows=len(actual),
        safe=classes["safe"],
        phishing=phishing,
        small=small,
        measure=measure,
        models={model: rounded(value) for model, value in scores.items()},
        hops=changes,
        hurt=whole_way is not None and not small and beyond_chance(whole_way),
    )


def turned(before: str, after: str, change: float, flipped: Flips) -> SliceHop:
    """Return what a hop did to a slice, from the change of its score and the flips behind it."""
    return SliceHop(
        before=before,
        after=after,
        change=change,
        worse=flipped.worse,
        better=flipped.better,
        mcnemar_p=rounded(mcnemar(flipped.worse, flipped.better)),
    )


def beyond_chance(hop: SliceHop) -> bool:
    """Return whether a hop is shown to lower a slice's score: by the p before it was rounded."""
    return (
        hop.change < 0 and hop.worse > hop.better and mcnemar(hop.worse, hop.better) < BEYOND_CHANCE
    )


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
