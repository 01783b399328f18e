"""Parquet and Arrow files into tables, checked before anything believes them.

pyarrow reads them, which is tested against damaged files; polars' reader panics on some.
"""

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minnow.data.columns import Wanted, require_columns
from minnow.data.contents import require_size

# What a row takes in memory at least.
BYTES_PER_ROW = 16


def parquet_table(raw: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns of a Parquet file.

    Raises:
        MinnowError: a column is missing, or there is more than the memory has room for.
        OSError, pyarrow.ArrowException: it is damaged.
    """
    columns = list(dict.fromkeys(wanted.named.values()))
    # As a dictionary a text that occurs a million times takes little, however long it is: so it can
    # be counted before it is written out.
    file = pq.ParquetFile(pa.BufferReader(raw), read_dictionary=columns)
    require_columns(file.schema_arrow.names, wanted, name)
    require_size(name, file.metadata.num_rows * BYTES_PER_ROW)
    return _checked(file.read(columns), name)


def arrow_table(raw: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns of an Arrow file or stream.

    Raises:
        MinnowError: a column is missing, or there is more than the memory has room for.
        OSError, pyarrow.ArrowException: it is damaged.
    """
    opened = pa.ipc.open_file if raw.startswith(b"ARROW1") else pa.ipc.open_stream
    table = opened(pa.BufferReader(raw)).read_all()
    require_columns(table.schema.names, wanted, name)
    return _checked(table.select(list(dict.fromkeys(wanted.named.values()))), name)


def _checked(table: pa.Table, name: str) -> pl.DataFrame:
    table.validate(full=True)
    require_size(name, sum(map(_text_bytes, table.itercolumns())))
    plain = [_plain(column) for column in table.itercolumns()]
    checked = pa.table(plain, names=table.schema.names)
    checked.validate(full=True)
    return pl.DataFrame(pl.from_arrow(checked))


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Return what a dictionary's texts take once they are written out."""
    if not pa.types.is_dictionary(column.type):
        return 0
    return sum(
        pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
        for chunk in column.chunks
        if pa.types.is_string(chunk.type.value_type)
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    value = column.type.value_type
    return column.cast(pa.large_string() if pa.types.is_string(value) else value)
