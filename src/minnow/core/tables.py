"""Tables as Parquet or CSV, and logits with the ids of their rows."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minnow.core.files import replacing
from minnow.core.seals import PLACE, intact, seal
from minnow.errors import MinnowError
from minnow.remedies import damaged_line


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet, sealed by a digest of the whole file, or as CSV where `path` says
    so.
    """
    with replacing(path) as temporary:
        if path.suffix == ".csv":
            table.write_csv(temporary)
        else:
            write_parquet(temporary, table)
            seal(temporary)


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet with a place for the seal, and a checksum a page for those readers
    that look at them.
    """
    from pyarrow.parquet import ParquetWriter  # polars writes no checksums

    arrow = table.to_arrow()
    options = {"compression": "zstd", "write_statistics": False, "store_schema": False}
    with ParquetWriter(path, arrow.schema, write_page_checksum=True, **options) as writer:
        writer.write_table(arrow)
        writer.add_key_value_metadata({"seal": PLACE.decode()})


def read_table(path: Path) -> pl.DataFrame:
    """Return the Parquet table in `path`, which `write_table` wrote.

    Raises:
        MinnowError: the file is missing, or a byte of it is not what was written; of such a file
            nothing is parsed.
    """
    if path.exists() and not path.is_file():  # a pipe would be read for ever
        raise MinnowError(damaged_line(path, f"{path} is no file"))
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MinnowError(f"{path} is missing; `dvc repro` makes it") from None
    except OSError as error:
        raise MinnowError(damaged_line(path, f"{path} cannot be read ({error.strerror})")) from None
    if not intact(content):
        raise MinnowError(damaged_line(path, f"{path} is not what was written"))
    return pl.read_parquet(io.BytesIO(content))


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
    table = read_table(path).select(pl.col("^(id|logit_[0-9]+)$"))
    if table.schema.get("id") != pl.String or not all(
        dtype.is_numeric() for dtype in table.drop("id").dtypes
    ):
        raise MinnowError(damaged_line(path, f"{path} holds no logits with ids"))
    if table["id"].n_unique() != table.height:
        raise MinnowError(damaged_line(path, f"{path} holds an id more than once"))
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
