"""Dropping rows: each is counted once, under the first reason there is to drop it."""

import polars as pl
import pytest

from minnow.data import sifting
from minnow.errors import MinnowError

ROWS = pl.DataFrame({"key": ["a", "", "b", "a", ""], "label": [1, 0, 0, 1, 1]})


def test_a_row_is_dropped_for_the_first_reason_alone() -> None:
    key = pl.col("key")
    left, dropped = sifting.filtered(
        ROWS, {"empty": key == "", "duplicate": ~key.is_first_distinct(), "b": key == "b"}
    )
    assert left.rows() == [("a", 1)]
    assert dropped == {"empty": 2, "duplicate": 1, "b": 1}


def test_a_reason_sees_what_those_before_it_left() -> None:
    first = {"first": pl.int_range(pl.len()) == 0}
    left, dropped = sifting.filtered(ROWS, first | {"next": pl.int_range(pl.len()) == 0})
    assert left["key"].to_list() == ["b", "a", ""]
    assert dropped == {"first": 1, "next": 1}


def test_classes_are_counted_by_name() -> None:
    assert sifting.class_counts(ROWS) == {"safe": 2, "phishing": 3}
    assert sifting.class_counts(ROWS.clear()) == {"safe": 0, "phishing": 0}


def test_a_class_without_rows_is_refused_with_the_losses() -> None:
    counts = {"read": 9, "dropped": {"empty": 3, "duplicate": 0}}
    sifting.require_both_classes({"safe": 1, "phishing": 1}, **counts, remedy="more")
    with pytest.raises(MinnowError) as refusal:
        sifting.require_both_classes({"safe": 0, "phishing": 2}, **counts, remedy="give more")
    assert str(refusal.value) == (
        "one class only: 0 safe and 2 phishing rows are left of the 9 read (dropped: 3 empty);"
        " give more"
    )
    assert sifting.listed_losses({"empty": 0}) == "none"
