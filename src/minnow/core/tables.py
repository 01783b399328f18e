"""Tables as Parquet or CSV, and logits with the ids of their rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minnow.core.files import replacing
from minnow.errors import MinnowError


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet, or as CSV where `path` says so."""
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.write_csv(temporary)
        else:
            table.write_parquet(temporary, compression="zstd", statistics=False)


def read_table(path: Path) -> pl.DataFrame:
    """Return the Parquet table in `path`; a MinnowError names a missing or broken file."""
    try:
        return pl.read_parquet(path)
    except FileNotFoundError:
        raise MinnowError(f"{path} is missing; `dvc repro` makes it") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MinnowError(
            f"{path} cannot be read ({first}); delete it and run `dvc repro`"
        ) from None


def write_logits(path: Path, ids: Sequence[str], logits: Any) -> None:
    """Write float32 logits of shape (rows, labels) as columns `id, logit_0, logit_1, ...`."""
    columns = {f"logit_{label}": logits[:, label] for label in range(logits.shape[1])}
    write_table(
        path, pl.DataFrame({"id": list(ids), **columns}, schema_overrides={"id": pl.String})
    )


def read_logits(path: Path, ids: Sequence[str]) -> Any:
    """Return the stored logits of exactly these rows, in their order, as a float32 array (rows,
    labels).

    Raises:
        MinnowError: an id occurs twice, is missing, or stands there without being asked for: such
            logits were computed on other data.
    """
    table = read_table(path)
    if table.schema.get("id") != pl.String or not all(
        dtype.is_numeric() for dtype in table.drop("id").dtypes
    ):
        raise MinnowError(f"{path} holds no logits with ids; delete it and run `dvc repro`")
    if table["id"].n_unique() != table.height:
        raise MinnowError(f"{path} holds an id more than once; delete it and run `dvc repro`")
    asked = pl.DataFrame({"id": list(ids)}, schema={"id": pl.String})
    missing = asked.join(table, on="id", how="anti").height
    foreign = table.join(asked, on="id", how="anti").height
    if missing or foreign:
        raise MinnowError(
            f"{path} belongs to other rows: {missing} of {asked.height} ids are missing and"
            f" {foreign} are foreign; run `dvc repro` so that the logits are computed on the"
            " present split"
        )
    joined = asked.join(table, on="id", how="left", maintain_order="left")
    # Otherwise read-only at some numbers of rows, at which torch warns.
    return joined.drop("id").cast(pl.Float32).to_numpy(writable=True)
