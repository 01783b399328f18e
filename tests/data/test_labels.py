"""What the labels of a column mean, and the whole lines that are said where they mean nothing."""

import pytest

from minnow.data.columns import Columns
from minnow.data.labels import label_mapping
from minnow.errors import MinnowError


def columns(positive: str | int, negative: str | int | None = None) -> Columns:
    return Columns(text="url", label="kind", split=None, positive=positive, negative=negative)


def said(counts: dict[str, int], which: Columns) -> str:
    with pytest.raises(MinnowError) as caught:
        label_mapping(counts, which)
    return str(caught.value)


def test_labels_are_matched_as_they_are_compared() -> None:
    assert label_mapping({"bad": 2, "good": 3}, columns(" BAD ")) == {"bad": 1, "good": 0}
    assert label_mapping({"1": 2, "0": 3}, columns("1.0", 0)) == {"1": 1, "0": 0}


def test_five_labels_are_named_and_the_others_counted() -> None:
    assert said(dict.fromkeys("abcdefg", 1), columns("zzz")) == (
        "positive_label 'zzz' does not occur: column 'kind' holds 'a' (1 rows), 'b' (1 rows), 'c'"
        " (1 rows), 'd' (1 rows), 'e' (1 rows) and 2 more; set positive_label to one of these"
    )


def test_a_column_without_labels_is_said_to_hold_none() -> None:
    assert said({}, columns("")) == (
        "positive_label '' does not occur: column 'kind' holds no label at all; set positive_label"
        " to one of these"
    )


def test_a_negative_label_that_does_not_occur_is_named() -> None:
    assert said({"bad": 1, "good": 2}, columns("bad", "god")) == (
        "negative_label 'god' does not occur: column 'kind' holds 'bad' (1 rows), 'good' (2 rows);"
        " did you mean 'good'?; set negative_label to one of these"
    )
