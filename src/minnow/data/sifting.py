"""Rows that cannot be used: dropped, counted per reason, and an error where a class is left out."""

from collections.abc import Mapping

import polars as pl

from minnow.errors import MinnowError, listed

CLASSES = ("safe", "phishing")


def filtered(
    rows: pl.DataFrame, unwanted: Mapping[str, pl.Expr]
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Drop rows reason by reason, and return what is left with the rows dropped per reason.

    A reason sees only the rows that those before it have left.
    """
    dropped = {}
    for reason, condition in unwanted.items():
        before, rows = rows.height, rows.filter(~condition)
        dropped[reason] = before - rows.height
    return rows, dropped


def class_counts(rows: pl.DataFrame) -> dict[str, int]:
    """Return the rows of each class by its name."""
    return {name: int((rows["label"] == label).sum()) for label, name in enumerate(CLASSES)}


def listed_losses(dropped: Mapping[str, int]) -> str:
    """Return the rows dropped per reason, in words."""
    return listed([f"{count} {reason}" for reason, count in dropped.items() if count]) or "none"


def require_both_classes(
    kept: Mapping[str, int], *, read: int, dropped: Mapping[str, int], remedy: str
) -> None:
    """Refuse rows of which a class is missing.

    Args:
        kept: the rows left of each class, as `class_counts` returns them.
        read: the rows that there were.
        dropped: the rows dropped per reason.
        remedy: what the user can do.

    Raises:
        MinnowError: a class has no row.
    """
    if all(kept.values()):
        return
    left = " and ".join(f"{count} {name}" for name, count in kept.items())
    raise MinnowError(
        f"one class only: {left} rows are left of the {read} read"
        f" (dropped: {listed_losses(dropped)}); {remedy}"
    )
