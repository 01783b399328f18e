"""Sealed files: what was written is read, and nothing else is."""

import hashlib
import os
import random
from pathlib import Path

import polars as pl
import pytest

from helpers.errors import one_line
from helpers.rot import flipped
from minnow.core.seals import BLANK, MARK, PLACE, intact, seal
from minnow.core.tables import read_table, write_table
from minnow.errors import MinnowError

TABLE = pl.DataFrame(
    {
        "id": [f"{row:016x}" for row in range(400)],
        # A text may look like a seal.
        "text": [f"a{row}.com/{PLACE.decode()}" for row in range(400)],
        "label": [None if row % 7 == 0 else row % 2 for row in range(400)],
        "x": [row / 3 for row in range(400)],
    },
    schema_overrides={"label": pl.Int8, "x": pl.Float32},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_table(tmp_path / "t.parquet", TABLE)
    return tmp_path / "t.parquet"


def test_a_seal_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before " + PLACE + b" after")
    digest = hashlib.sha256(b"before minnow-seal-" + b"0" * 64 + b" after").hexdigest().encode()
    seal(file)
    assert file.read_bytes() == b"before minnow-seal-" + digest + b" after"
    assert intact(file.read_bytes())


@pytest.mark.parametrize("content", [b"", MARK, PLACE, BLANK, b"x" * 100, PLACE + PLACE])
def test_what_was_not_sealed_is_not_intact(content: bytes) -> None:
    assert not intact(content)


def test_any_parquet_reader_reads_a_sealed_table(file: Path) -> None:
    from pyarrow.parquet import ParquetFile
    from pyarrow.parquet import read_table as arrow_table

    assert read_table(file).equals(TABLE)
    assert read_table(file).schema == TABLE.schema == pl.read_parquet(file).schema
    assert pl.from_arrow(arrow_table(file, page_checksum_verification=True)).equals(TABLE)
    assert PLACE not in file.read_bytes()[-2000:]
    assert ParquetFile(file).metadata.row_group(0).column(0).statistics is None


def test_pages_carry_checksums(file: Path) -> None:
    from pyarrow.parquet import ParquetFile
    from pyarrow.parquet import read_table as arrow_table

    first = ParquetFile(file).metadata.row_group(0).column(1)
    middle = first.data_page_offset + first.total_compressed_size // 2
    file.write_bytes(flipped(file.read_bytes(), 8 * middle))
    with pytest.raises(OSError, match="CRC"):
        arrow_table(file, page_checksum_verification=True)


def test_no_flipped_bit_and_no_cut_of_a_table_is_believed(file: Path) -> None:
    content, draw = file.read_bytes(), random.Random(0)
    bits = [draw.randrange(8 * len(content)) for _ in range(300)]
    # The footer has the schema, the offsets and the seal.
    bits += [8 * len(content) - 1 - draw.randrange(8 * 600) for _ in range(300)]
    cuts = [content[: draw.randrange(len(content))] for _ in range(60)]
    for damaged in [*(flipped(content, bit) for bit in bits), *cuts, content + b"\0", b""]:
        file.write_bytes(damaged)
        with pytest.raises(MinnowError, match=r"t\.parquet is not what was written, and DVC"):
            read_table(file)


def test_a_table_of_nobody_is_one_line(file: Path) -> None:
    TABLE.write_parquet(file)
    with pytest.raises(MinnowError, match="is not what was written") as error:
        read_table(file)
    one_line(error)


def test_a_pipe_in_place_of_a_table_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "train.parquet")
    with pytest.raises(MinnowError, match=r"train\.parquet is no file"):
        read_table(tmp_path / "train.parquet")
