"""What holds an exported model against the one that was evaluated: each check is a number, its
limit, and the rows that are furthest off.

Nothing here is believed of a model that was not computed: a number that is not finite, or not
there, is beyond every limit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minnow.core.selection import area_under_roc, f1_at
from minnow.errors import MinnowError, listed, shortened, together
from minnow.export.parts import Array

# Rows that a broken check names.
WORST = 3


@dataclass(frozen=True)
class Limits:
    """How far an exported model may be from the evaluated one on validation.

    `flips` is the share of rows that may get another label, though one always may, and these must
    lie within `near` of the threshold, as margins. `probability`, `roc_auc` and `f1` bound the
    largest change of a row's probability, the change of the area, and what F1 may lose, but for
    what a single row can change.
    """

    flips: float
    near: float
    probability: float
    roc_auc: float
    f1: float


# Above what six students of 3 x 384 and 3 x 256 showed that learned real URLs, on 1,295 and 3,752
# rows of validation (docs/release.md). It is the evaluated model that is off its own numbers, since
# it computes in bfloat16. None of the six passes in integers.
LIMITS: Mapping[Literal["exact", "fast"], Limits] = {
    "exact": Limits(flips=0.001, near=0.1, probability=0.03, roc_auc=5e-4, f1=0.002),
    "fast": Limits(flips=0.002, near=0.1, probability=0.03, roc_auc=5e-4, f1=0.002),
}
# What each check measures, in words.
WORDS = {
    "cleaned_texts": "texts cleaned otherwise:",
    "tokens": "texts with other tokens:",
    "odd_tokens": "odd texts with other tokens:",
    "logit_error": "a logit is off float64 by",
    "beside_others": "texts that others beside them change:",
    "flips": "rows with another label:",
    "flip_distance": "another label at a distance from the threshold of",
    "probability_change": "a probability changes by",
    "roc_auc_change": "the ROC AUC changes by",
    "f1_loss": "F1 loses",
}
# How far a logit may be from float64, for each unit of its size above 1.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Judged:
    """Rows of validation: ids, labels (rows,), the evaluated model's logits (rows, 2) and the
    exported one's, and the threshold that the former's margins are cut at.
    """

    ids: Sequence[str]
    labels: Array
    evaluated: Array
    exported: Array
    threshold: float

    @property
    def margins(self) -> tuple[Array, Array]:
        """Phishing logit − safe logit, evaluated and exported, each (rows,) in float64."""
        before, after = (
            np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)
            for logits in (self.evaluated, self.exported)
        )
        return before, after


@dataclass(frozen=True)
class Check:
    """What was found, the most that is allowed, and the rows that are furthest off; `name` is one
    of WORDS.
    """

    name: str
    found: float
    limit: float
    worst: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.found <= self.limit

    @property
    def complaint(self) -> str:
        """What is wrong, in words."""
        rows = f" (rows {listed(self.worst, WORST)})" if self.worst else ""
        return f"{WORDS[self.name]} {self.found:.3g}, above {self.limit:.3g}{rows}"

    def as_json(self) -> dict[str, Any]:
        """Return what is written of it: numbers that other processors give too."""
        return {"found": rounded_up(self.found), "limit": self.limit}


def rounded_up(value: float) -> float:
    """Return a number as the next of 1, 2 and 5 times a power of ten, whole ones as they are: what
    rounding in float32 adds to it varies between processors.
    """
    if not math.isfinite(value) or value <= 0 or value == int(value):
        return max(value, 0.0)
    power = math.floor(math.log10(value))
    steps = (float(f"{step}e{power}") for step in (1, 2, 5, 10))
    return next(step for step in steps if value <= step)


def require(checks: Sequence[Check], what: str) -> None:
    """Refuse an exported model that does not hold every limit.

    Raises:
        MinnowError: names what is broken, and the worst rows.
    """
    if broken := [check.complaint for check in checks if not check.holds]:
        raise MinnowError(
            f"{what} is not the model that was evaluated: {together(broken)}; set export.mode to"
            " exact, or to none, which exports nothing"
        )


def worst_of(ids: Sequence[str], distances: Array) -> tuple[str, ...]:
    """Return the ids of the rows that are furthest off, those without a number first; none of
    those that are not off at all.
    """
    off = np.where(np.isfinite(distances), distances, np.inf)
    order = np.argsort(-off, kind="stable")[:WORST]
    return tuple(shortened(ids[row]) for row in order if off[row] > 0)


def against_evaluated(rows: Judged, limits: Limits) -> list[Check]:
    """Return the checks of labels, probabilities, ranking and F1."""
    return [*_flips(rows, limits), _probability(rows, limits), *_scores(rows, limits)]


def _flips(rows: Judged, limits: Limits) -> list[Check]:
    """Other labels: how many, and how far from the threshold. No number is no label."""
    before, after = rows.margins
    flipped = (before > rows.threshold) != (after > rows.threshold)
    flipped |= ~np.isfinite(before) | ~np.isfinite(after)
    distances = np.where(flipped, np.abs(before - rows.threshold), 0.0)
    allowed = max(1, math.floor(limits.flips * len(rows.ids)))
    # A row at the threshold itself is off by nothing, and yet is one.
    marked = worst_of(rows.ids, np.where(flipped, distances + 1, 0.0))
    return [
        Check("flips", float(flipped.sum()), float(allowed), marked),
        Check("flip_distance", float(distances.max()), limits.near, marked),
    ]


def _probability(rows: Judged, limits: Limits) -> Check:
    before, after = (1 / (1 + np.exp(-np.clip(each, -500, 500))) for each in rows.margins)
    change = np.abs(before - after)
    worst = worst_of(rows.ids, change)
    return Check("probability_change", float(change.max()), limits.probability, worst)


def _scores(rows: Judged, limits: Limits) -> list[Check]:
    """Ranking, and F1 at the same threshold, whose gains count as no loss. Of few rows, what a
    single one can change is allowed: one by 1 / rows of its class.
    """
    phishing = max(1, int((rows.labels == 1).sum()))
    fewer = max(1, min(phishing, int((rows.labels == 0).sum())))
    area, loss = _score_changes(rows)
    return [
        Check("roc_auc_change", area, max(limits.roc_auc, 1 / fewer)),
        Check("f1_loss", loss, max(limits.f1, 1 / phishing)),
    ]


def _score_changes(rows: Judged) -> tuple[float, float]:
    """Return the change of the ROC AUC and what F1 loses, no numbers where a margin is none."""
    before, after = rows.margins
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return math.nan, math.nan
    area = abs(area_under_roc(before, rows.labels) - area_under_roc(after, rows.labels))
    old, new = (f1_at(each, rows.labels, rows.threshold) for each in (before, after))
    return area, max(0.0, old - new)


def against_reference(ids: Sequence[str], logits: Array, reference: Array) -> Check:
    """Return the check of float32 logits (rows, labels) against those in float64."""
    distances = np.abs(logits - reference) / np.maximum(1, np.abs(reference))
    furthest = distances.max(axis=1)
    worst = worst_of(ids, furthest)
    return Check("logit_error", float(furthest.max()), ROUNDING, worst)


def equal_to_the_bit(name: str, ids: Sequence[str], one: Array, other: Array) -> Check:
    """Return the check that two ways to compute logits (rows, labels) give the same numbers."""
    unequal = (one != other).any(axis=1).astype(float)
    return Check(name, float(unequal.sum()), 0.0, worst_of(ids, unequal))


def same_values(name: str, ids: Sequence[str], one: Sequence[Any], other: Sequence[Any]) -> Check:
    """Return the check that every row has the same value both ways, such as its token ids."""
    unequal = np.array([a != b for a, b in zip(one, other, strict=True)], float)
    return Check(name, float(unequal.sum()), 0.0, worst_of(ids, unequal))
