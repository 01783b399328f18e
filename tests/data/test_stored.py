"""What columns of Parquet and Arrow hold: text and numbers are read, all else gets one line."""

import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from minnow.data.columns import Columns
from minnow.data.sources import load_file
from minnow.errors import MinnowError

KINDS = ["parquet", "arrow"]


def labels(tmp_path: Path, kind: str, column: pa.Array, positive: Any = 1) -> list[int]:
    table = pa.table({"url": ["a.com", "b.com"], "label": column})
    path = tmp_path / f"a.{kind}"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    columns = Columns("url", "label", positive)
    return load_file(path, None, columns=columns, folder=tmp_path).rows["label"].to_list()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "positive"),
    [
        (pa.array(["1", "0"], pa.json_()), 1),
        (pa.array([1, 0], pa.bool8()), True),
        (pa.array([True, False]), True),
        (pa.array([decimal.Decimal("1.00"), 0], pa.decimal128(5, 2)), 1),
        (pa.array([1, 0]).cast(pa.decimal256(40, 2)), 1),
        (pa.array(["1", "0"], pa.string_view()), 1),
        (pa.array([1, 0]).dictionary_encode(), 1),
    ],
)
def test_what_can_be_a_text_is_read(
    tmp_path: Path, kind: str, column: pa.Array, positive: Any
) -> None:
    assert labels(tmp_path, kind, column, positive) == [1, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([1, 0], pa.duration("s")), "duration[s]"),
        (pa.array([[1], [0]]), "list<"),
        (pa.array([{"a": 1}, {"a": 0}]), "struct<a: int64>"),
        (pa.array([[("a", 1)], [("a", 0)]], pa.map_(pa.string(), pa.int8())), "map<"),
        (pa.array([b"1", b"0"]), "binary"),
        (pa.array([b"1", b"0"]).dictionary_encode(), "dictionary<values=binary"),
        (pa.array([b"0" * 16, b"1" * 16], pa.uuid()), "extension<arrow.uuid>"),
    ],
)
def test_what_can_not_is_told_by_its_kind(
    tmp_path: Path, kind: str, column: pa.Array, words: str
) -> None:
    with pytest.raises(MinnowError) as caught:
        labels(tmp_path, kind, column)
    assert str(caught.value).startswith(f"a.{kind}: column 'label' holds {words}")
    assert "; text or numbers are needed" in str(caught.value)
