"""The test rows that the quantized student gets wrong by most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minnow.core.tables import read_table
from minnow.layout import MODELS, Layout
from minnow.report.formatting import percent
from minnow.text.display import defanged

# Errors shown of each direction.
SHOWN = 10


@dataclass(frozen=True)
class Mistake:
    """A test row that the quantized student got wrong: its text, and each model's probability of
    phishing.
    """

    text: str
    probabilities: Mapping[str, float]


def mistakes(missed: Sequence[Mistake], alarms: Sequence[Mistake]) -> list[dict[str, Any]]:
    """Return the hardest errors of either direction, their URLs defanged."""
    directions = (
        ("Phishing that it calls safe", "phishing", missed),
        ("Safe URLs that it calls phishing", "safe", alarms),
    )
    return [
        {
            "title": title,
            "label": label,
            "rows": [
                {
                    "url": defanged(mistake.text),
                    "cells": [percent(mistake.probabilities.get(model)) for model in MODELS],
                }
                for mistake in rows
            ],
        }
        for title, label, rows in directions
    ]


def hardest(
    texts: Sequence[str], labels: Sequence[int], margins: Sequence[float], threshold: float
) -> tuple[list[int], list[int]]:
    """Return the rows that a model gets wrong by most: phishing called safe, and the reverse. At
    most SHOWN each.

    `margins` are phishing logit − safe logit; a row is called phishing above `threshold`.
    """
    wrong = [row for row, margin in enumerate(margins) if (margin > threshold) != bool(labels[row])]
    wrong.sort(key=lambda row: (-abs(margins[row] - threshold), texts[row]))
    missed, alarms = ([row for row in wrong if labels[row] == label][:SHOWN] for label in (1, 0))
    return missed, alarms


def collected(layout: Layout, threshold: float) -> tuple[list[Mistake], list[Mistake]]:
    """Return the hardest errors of the quantized student on test: phishing called safe, and the
    reverse.
    """
    from minnow.evaluation import inputs, metrics

    test = read_table(layout.split("test"))
    margins = {model: metrics.margins_of(inputs.logits(layout, model, "test")) for model in MODELS}
    probabilities = {model: metrics.probability(margins[model]) for model in MODELS}
    texts = test["text"].to_list()
    missed, alarms = (
        [Mistake(texts[row], {m: float(probabilities[m][row]) for m in MODELS}) for row in rows]
        for rows in hardest(
            texts, test["label"].to_list(), margins["quantized"].tolist(), threshold
        )
    )
    return missed, alarms
