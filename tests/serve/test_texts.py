"""What may be asked: lists, arrays and columns of texts; all else is named by place and type."""

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from minnow.errors import MinnowError
from minnow.serve.texts import asked_texts

TEXTS = ["a.b", "c.d"]


@pytest.mark.parametrize(
    "given",
    [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="string"),
        pl.Series(TEXTS),
    ],
)
def test_lists_arrays_and_columns_are_taken(given: Any) -> None:
    assert asked_texts(given) == TEXTS


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (None, "NoneType"),
        (float("nan"), "float nan"),
        (b"a.b", "bytes b'a.b'"),
        (7, "int 7"),
        pytest.param(10**9_999, "int", id="thousands of digits"),
        (True, "bool True"),
        (["a.b"], "list"),
        ({"url": "a.b"}, "dict"),
        (pd.NA, "NAType"),
        (np.float32(1.5), "float32"),
        (np.array(TEXTS), "ndarray"),
        (object(), "object"),
        (type("T" * 500, (), {})(), "T" * 39 + "…"),
        (type("T\nX\x1b", (), {})(), "T X\ufffd"),
        (type("F", (float,), {"__repr__": lambda _: "x\ny"})(1), "F"),
        pytest.param(type("I", (int,), {"__repr__": lambda _: 1 / 0})(1), "I", id="no repr"),
        (np.float64("nan"), "float64"),
    ],
)
def test_what_is_no_text_is_named_with_its_place(value: object, named: str) -> None:
    with pytest.raises(MinnowError) as refusal:
        asked_texts(["a.b", "c.d", value])
    message = str(refusal.value)
    assert message.startswith(
        f"predict takes texts, and the one at position 2 of 3 (counted from 0) is {named}: "
    )
    assert "\n" not in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("a.b", "the text 'a.b'"),
        (b"a.b", "bytes b'a.b'"),
        (None, "NoneType"),
        (3.5, "float 3.5"),
        ({"a.b": 1}, "dict"),
        (pd.DataFrame({"a.b": TEXTS}), "DataFrame"),
        (np.array([TEXTS]), "ndarray"),
        (np.array("a.b"), "ndarray"),
        ("\0" * 400, "the text '" + r"\x00" * 15 + "…: put it into a list"),
        ({"a.b"}, "given set: answers come in the order"),
        (frozenset(TEXTS), "given frozenset: answers come in the order"),
        ({"a.b": 1}.keys(), "given dict_keys: answers come in the order"),
        ({1: "a.b"}.values(), "given dict_values: answers come in the order"),
        (pa.array(TEXTS), "given StringArray: give what .to_pylist() of the column"),
        (pa.chunked_array([TEXTS]), "given ChunkedArray: give what .to_pylist() of the column"),
        (pa.table({"url": TEXTS}), "given Table: give what .to_pylist() of the column"),
    ],
)
def test_what_is_no_list_is_refused(given: object, named: str) -> None:
    with pytest.raises(MinnowError, match=r"^predict takes a list of URLs, given ") as refusal:
        asked_texts(given)
    assert named in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= 300


@pytest.mark.parametrize(
    "given",
    [pl.Series(["a.b", None]), pd.Series(["a.b", float("nan")]), pl.DataFrame({"x": TEXTS})],
)
def test_gaps_in_a_column_are_named(given: object) -> None:
    with pytest.raises(MinnowError, match=r"predict takes"):
        asked_texts(given)
