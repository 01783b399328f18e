"""A training's curve: one row an epoch, with the loss on train and the F1 on validation."""

from collections.abc import Mapping, Sequence

import polars as pl

COLUMNS = {"epoch": pl.Int64, "loss": pl.Float64, "validation_f1": pl.Float64}


def curve_of(history: Sequence[Mapping[str, float | None]]) -> pl.DataFrame:
    """Return the curve of what `loop.fit` returns, epoch by epoch; of nothing, its columns
    alone.
    """
    rows = [{name: row[name] for name in COLUMNS} for row in history]
    return pl.DataFrame(rows, schema=COLUMNS).with_columns(pl.col("loss", "validation_f1").round(4))
