"""Parquet and Arrow files into tables, checked before anything believes them.

pyarrow reads them, which is tested against damaged files; polars' reader panics on some.
"""

from collections.abc import Iterable, Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from minnow.data.columns import Wanted, require_columns
from minnow.data.contents import require_size

# Rows that are decoded at a time, between two looks at how much it has become.
BATCH_ROWS = 4096
# What a row takes in memory at least.
BYTES_PER_ROW = 16


def parquet_table(raw: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns of a Parquet file.

    Raises:
        MinnowError: a column is missing, or there is more than the memory has room for.
        OSError, KeyError, pyarrow.ArrowException: it is damaged.
    """
    schema = pq.read_schema(pa.BufferReader(raw))
    require_columns(schema.names, wanted, name)
    columns = list(dict.fromkeys(wanted.named.values()))
    # As a dictionary a text that occurs a million times takes little, however long it is: so it can
    # be counted before it is written out.
    file = pq.ParquetFile(pa.BufferReader(raw), read_dictionary=columns)
    require_size(name, file.metadata.num_rows * BYTES_PER_ROW)
    batches = file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
    return _whole(batches, columns, name)


def arrow_table(raw: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns of an Arrow file or stream.

    Raises:
        MinnowError: a column is missing, or there is more than the memory has room for.
        OSError, pyarrow.ArrowException: it is damaged.
    """
    columns = list(dict.fromkeys(wanted.named.values()))
    is_file = raw.startswith(b"ARROW1")
    opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
    names = opened(pa.BufferReader(raw)).schema.names
    require_columns(names, wanted, name)
    chosen = pa.ipc.IpcReadOptions(included_fields=[names.index(column) for column in columns])
    reader = opened(pa.BufferReader(raw), options=chosen)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    return _whole(batches, columns, name)


def _whole(batches: Iterable[pa.RecordBatch], columns: Sequence[str], name: str) -> pl.DataFrame:
    """Return batches as one table with `columns`, none where there is no batch."""
    kept, taken = [], 0
    for batch in batches:
        batch.validate(full=True)
        taken += batch.nbytes + sum(map(_text_bytes, batch.columns))
        require_size(name, taken)
        plain = pa.table([_plain(batch.column(column)) for column in columns], names=columns)
        plain.validate(full=True)
        kept.append(plain)
    if not kept:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return pl.DataFrame(pl.from_arrow(pa.concat_tables(kept)))


def _text_bytes(column: pa.Array) -> int:
    """Return what a dictionary's texts take once they are written out."""
    if not (pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type)):
        return 0
    lengths = pc.binary_length(column.dictionary)
    return int(pc.sum(pc.take(lengths, column.indices)).as_py() or 0)


def _plain(column: pa.Array) -> pa.Array:
    if not pa.types.is_dictionary(column.type):
        return column
    value = column.type.value_type
    return column.cast(pa.large_string() if pa.types.is_string(value) else value)
