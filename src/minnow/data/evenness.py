"""Whether the splits are what was asked for: their shares of the rows, and their classes."""

from collections.abc import Mapping
from math import sqrt

import polars as pl

from minnow.errors import shortened

# A share may be off by this part of itself: one registered domain, which stays whole, that holds a
# quarter of the rows takes as much from every split that it is not in.
SHARE_OFF = 0.25
# A split's share of phishing may be off by this. Precision at one half, and with it F1, moves with
# the share of phishing about as much.
CLASS_OFF = 0.1
# Standard deviations of independent rows that are never far: splits of few rows vary by chance.
CHANCE = 4.0


def uneven(rows: pl.DataFrame, shares: Mapping[str, float]) -> tuple[str, ...]:
    """Return a sentence for each split that is far from what was asked, none for most data.

    Args:
        rows: those that were free to be split, with `split`, `label` and `domain`.
        shares: what was asked for each split that is carved; the rest is asked for train.
    """
    if rows.is_empty():
        return ()
    asked = {**shares, "train": 1 - sum(shares.values())}
    phishing = _phishing(rows)
    sentences = []
    for name, share in asked.items():
        part = rows.filter(pl.col("split") == name)
        found, inside = part.height / rows.height, _phishing(part) if part.height else phishing
        if _far(found, share, SHARE_OFF * share, rows.height) or _far(
            inside, phishing, CLASS_OFF, part.height
        ):
            sentences.append(
                f"{name} has {found:.0%} of the rows where {share:.0%} were asked, and {inside:.0%}"
                f" of it is phishing where all rows have {phishing:.0%}; {_largest(rows, part)}"
            )
    return tuple(sentences)


def _phishing(rows: pl.DataFrame) -> float:
    return int(rows["label"].sum()) / rows.height


def _far(found: float, asked: float, allowed: float, rows: int) -> bool:
    """Return whether a share of some rows is further off than is allowed, and than chance is."""
    chance = CHANCE * sqrt(asked * (1 - asked) / rows) if rows else 0.0
    return abs(found - asked) > max(allowed, chance)


def _largest(rows: pl.DataFrame, part: pl.DataFrame) -> str:
    """Return how much the largest registered domain holds, in words."""
    named = rows["domain"].filter(rows["domain"] != "")
    counts = named.value_counts().sort(["count", "domain"], descending=[True, False])
    if counts.is_empty():
        return "no row has a domain: set another `seed`"
    name, count = counts.row(0)
    side = "in it" if (part["domain"] == name).any() else "not in it"
    return (
        f"the domain {shortened(name)!r}, {side}, holds {count / rows.height:.0%} of all rows: take"
        " fewer rows of it, or set another `seed`"
    )
