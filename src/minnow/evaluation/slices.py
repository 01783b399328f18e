"""Whom does compression hurt? Each model on slices of the test rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from minnow.evaluation.comparison import flips
from minnow.evaluation.metrics import Array, predicted, rounded
from minnow.text.traits import traits

# The rows that a measure counts: with fewer, a single one moves it by more than a point.
COUNTED = {"f1": "phishing", "recall": "phishing", "specificity": "safe"}
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
    labels: Array,
    margins: Mapping[str, Array],
    thresholds: Mapping[str, float],
    hops: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Return each model's score on each slice and what each hop did to it.

    `labels` and each model's `margins` are (rows,); a row is called phishing above the model's
    threshold. A hop is left out where one of its models is.
    """
    guesses = {model: predicted(each, thresholds[model]) for model, each in margins.items()}
    known = [hop for hop in hops if guesses.keys() >= set(hop)]
    return {
        "small_below": SMALL_BELOW,
        "slices": [scored(each, labels, guesses, known) for each in slices],
    }


def scored(
    each: Slice, labels: Array, guesses: Mapping[str, Array], hops: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return one slice's rows, and its models and hops by the measure that its classes allow."""
    actual = labels[each.rows]
    within_slice = {model: all_guesses[each.rows] for model, all_guesses in guesses.items()}
    phishing = int((actual == 1).sum())
    classes = {"safe": len(actual) - phishing, "phishing": phishing}
    measure = measure_for(**classes)
    scores = {model: score(measure, some, actual) for model, some in within_slice.items()}
    return {
        "slice": each.name,
        "value": each.value,
        "rows": len(actual),
        **classes,
        "small": classes[COUNTED[measure]] < SMALL_BELOW,
        "measure": measure,
        "models": {model: rounded(value) for model, value in scores.items()},
        "hops": [
            {
                "before": before,
                "after": after,
                "change": rounded(scores[after] - scores[before]),
                **turned(within_slice[before], within_slice[after], actual),
            }
            for before, after in hops
        ],
    }


def measure_for(safe: int, phishing: int) -> str:
    """Return `f1`; of one class alone, `recall` (phishing found) or `specificity` (safe let
    through).
    """
    if safe and phishing:
        return "f1"
    return "recall" if phishing else "specificity"


def score(measure: str, guesses: Array, labels: Array) -> float:
    """Return a slice's score; of one class alone both recall and specificity are the share of right
    predictions.
    """
    if measure != "f1":
        return float((guesses == labels).mean())
    found = np.count_nonzero(guesses & labels)
    return 2 * found / (np.count_nonzero(guesses) + np.count_nonzero(labels))


def turned(before: Array, after: Array, labels: Array) -> dict[str, int]:
    """Return how many predictions went from right to wrong and the reverse."""
    counts = flips(before, after, labels)
    return {"worse": counts["worse"], "better": counts["better"]}


def table(found: Mapping[str, Any]) -> pl.DataFrame:
    """Return a report as rows for a plot: `slice` (`path: with path`; a small one says how small),
    `model`, `score`.
    """
    rows = [
        (label(each), model, value)
        for each in found["slices"]
        for model, value in each["models"].items()
    ]
    return pl.DataFrame(
        rows, schema={"slice": pl.String, "model": pl.String, "score": pl.Float64}, orient="row"
    )


def label(each: Mapping[str, Any]) -> str:
    """Return a slice's name and value; where it is small, with the rows that its measure counts.

    DVC writes what a plot shows into a page's script as it is, hence without what would open a tag
    there.
    """
    counted = COUNTED[each["measure"]]
    name = f"{each['slice']}: {each['value']}".replace("<", "")
    return name + (f" ({each[counted]} {counted})" if each["small"] else "")
