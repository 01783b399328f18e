"""The texts of a label column, and which of them means 0 and which 1."""

from collections.abc import Mapping

import polars as pl

from minnow.data.columns import Columns, Label
from minnow.errors import MinnowError, listed, nearest, shortened


def label_text(labels: pl.Series) -> pl.Series:
    """Return labels as they are compared: trimmed, in lower case, `1.0` as `1`, empty as null."""
    text = labels.str.strip_chars().str.to_lowercase().str.replace(r"^(-?\d+)\.0+$", "$1")
    return (
        text.to_frame("label")
        .select(pl.when(pl.col("label") != "").then(pl.col("label")))
        .to_series()
    )


def label_mapping(counts: Mapping[str, int], columns: Columns) -> dict[str, int]:
    """Return label text → 0 or 1, given the rows per label text.

    Raises:
        MinnowError: a label does not occur, there is one class only, or there are labels outside
        the mapping.
    """
    some = listed([f"'{shortened(text)}' ({rows} rows)" for text, rows in counts.items()], 5)
    holds = f"column '{columns.label}' holds {some or 'no label at all'}"
    positive = _occurring("positive_label", columns.positive, counts, holds)
    others = sorted(set(counts) - {positive})
    if not others:
        raise MinnowError(f"one class only: {holds}; give rows of both classes")
    if columns.negative is None and len(others) > 1:
        raise MinnowError(
            f"{holds}; set negative_label, or remove the rows with other labels than two"
        )
    negative = (
        others[0]
        if columns.negative is None
        else _occurring("negative_label", columns.negative, counts, holds)
    )
    if negative == positive:
        raise MinnowError(f"positive_label and negative_label are both '{positive}'; {holds}")
    if len(others) > 1:
        raise MinnowError(
            f"{holds}; remove the rows with labels other than '{positive}' and '{negative}'"
        )
    return {positive: 1, negative: 0}


def _occurring(name: str, label: Label, counts: Mapping[str, int], holds: str) -> str:
    text = label_text(pl.Series([str(label)])).item() or ""
    if text not in counts:
        raise MinnowError(
            f"{name} '{text}' does not occur: {holds}{nearest(text, counts)}; set {name} to one of"
            " these"
        )
    return str(text)
