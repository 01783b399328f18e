"""A training's curve: one row an epoch, with the loss on train and the F1 on validation; with an
extra part of validation also what the number that chooses is on each of both.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from minnow.training.history import PARTS

COLUMNS = {"epoch": pl.Int64, "loss": pl.Float64, "validation_f1": pl.Float64}


def curve_of(history: Sequence[Mapping[str, float | None]]) -> pl.DataFrame:
    """Return the curve of what `loop.fit` returns, epoch by epoch; of nothing, its columns
    alone.
    """
    extra = bool(history) and PARTS[0] in history[0]
    schema = COLUMNS | (dict.fromkeys(PARTS, pl.Float64) if extra else {})
    rows = [{name: row[name] for name in schema} for row in history]
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col(pl.Float64).round(4))
