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
from minnow.data.swallowed import shown
from minnow.errors import MinnowError, shortened

# Rows that are decoded at a time, between two looks at how much it has become.
BATCH_ROWS = 4096
# What a row takes in memory at least.
BYTES_PER_ROW = 16
# What becomes a text, or a number's.
TEXTS = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null),
    *(pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
    *(pa.types.is_date, pa.types.is_time, pa.types.is_timestamp),
)


def parquet_table(raw: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns of a Parquet file.

    Raises:
        MinnowError: a column is missing, or there is more than the memory has room for.
        OSError, KeyError, pyarrow.ArrowException: it is damaged.
    """
    schema = pq.read_schema(pa.BufferReader(raw))
    columns = _wanted_columns(schema, wanted, name)
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
    is_file = raw.startswith(b"ARROW1")
    opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
    schema = opened(pa.BufferReader(raw)).schema
    columns = _wanted_columns(schema, wanted, name)
    places = [schema.names.index(column) for column in columns]
    chosen = pa.ipc.IpcReadOptions(included_fields=places)
    reader = opened(pa.BufferReader(raw), options=chosen)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
    return _whole(batches, columns, name)


def _wanted_columns(schema: pa.Schema, wanted: Wanted, name: str) -> list[str]:
    """Return the names of the columns to read, once all are there and hold what can be a text.

    Raises:
        MinnowError: one is missing, or holds something else.
    """
    require_columns(schema.names, wanted, name)
    columns = list(dict.fromkeys(wanted.named.values()))
    for column in columns:
        held = schema.field(column).type
        # Asked here, for what comes after takes some types for damage, and panics on others.
        if not any(is_kind(_inner(held)) for is_kind in TEXTS):
            raise MinnowError(
                f"{name}: column {shown(column)} holds {shortened(str(held))}; text or numbers are"
                " needed: convert it, or name another column"
            )
    return columns


def _inner(held: pa.DataType) -> pa.DataType:
    """Return the type of the values themselves."""
    if isinstance(held, pa.BaseExtensionType):
        return _inner(held.storage_type)
    return _inner(held.value_type) if pa.types.is_dictionary(held) else held


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
    """Return a column without what polars does not take: extensions, dictionaries, decimal256."""
    if isinstance(column, pa.Bool8Array):
        return column.storage.cast(pa.bool_())
    if isinstance(column, pa.ExtensionArray):
        return _plain(column.storage)
    if pa.types.is_dictionary(column.type):
        value = column.type.value_type
        return _plain(column.cast(pa.large_string() if pa.types.is_string(value) else value))
    return column.cast(pa.large_string()) if pa.types.is_decimal256(column.type) else column
