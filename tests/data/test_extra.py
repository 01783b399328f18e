"""Test sets beside the split: what is taken out of them, and what is said about that."""

import polars as pl
import pytest

from helpers.data import PUBLISHED, Row, filler, run, source
from minnow.core.params import validated
from minnow.data import cleaning, extra, splits, unlabelled
from minnow.data.params import ExtraParams
from minnow.data.splits import row_ids
from minnow.errors import MinnowError
from minnow.layout import SPLITS


def prepared(*urls: str) -> pl.DataFrame:
    """A split of these URLs, made as `prepare` makes it."""
    rows: list[Row] = [(url, 1, None) for url in urls]
    table, _ = splits.usable_rows(cleaning.cleaned(source(*rows).rows, move_scheme=True)[0], None)
    return table


def chosen(
    *rows: Row,
    train: pl.DataFrame | None = None,
    validation: pl.DataFrame | None = None,
    unlabelled: pl.DataFrame | None = None,
) -> extra.ExtraSet:
    nothing = prepared("nothing.org")
    seen = extra.Seen(
        train=nothing if train is None else train,
        validation=nothing if validation is None else validation,
        unlabelled=nothing if unlabelled is None else unlabelled,
    )
    return extra.extra_set(source(*rows), seen, file="extra.csv", move_scheme=True)


def test_every_row_is_counted_once_by_hand() -> None:
    kept = chosen(
        ("http://www.SEEN.com:80/a/", 1, None),  # train
        ("seen-too.com", 0, None),  # validation
        ("x.train.com/new", 1, None),  # its domain stands in train
        ("train.com/new", 0, None),  # so does this one's
        ("validation.com/new", 1, None),  # in validation only: no leak
        (" new.org ", 0, None),
        ("https://new.org/", 0, None),  # a duplicate
        ("both.org", 0, None),
        ("both.org", 1, None),
        ("unlabelled.org", None, None),
        ("'", 1, None),
        (None, 1, None),
        train=prepared("seen.com/a", "train.com"),
        validation=prepared("seen-too.com", "validation.com"),
    )
    assert kept.report.as_json() == {
        "file": "extra.csv",
        "rows_read": 12,
        "kept": {"safe": 2, "phishing": 2},
        "removed_seen": 2,
        "dropped": {"missing_label": 1, "empty": 2, "both_labels": 2, "duplicate": 1},
        "leak": 0.5,
    }
    assert dict(kept.rows.select("text", "label").rows()) == {
        "x.train.com/new": 1,
        "train.com/new": 0,
        "validation.com/new": 1,
        "new.org": 0,
    }


def test_the_rows_are_cleaned_and_named_as_prepare_does() -> None:
    rows: list[Row] = [("HTTP://A.com/&amp;x ", 1, "test"), ("b.net/\ufffd", 0, "test")]
    by_prepare = run(source(*rows, *filler("train"), *filler("validation"))).splits["test"]
    kept = chosen(*rows)
    assert kept.rows.equals(by_prepare.select("id", "text", "label", "domain"))
    assert kept.rows.schema == by_prepare.select("id", "text", "label", "domain").schema


def test_nothing_depends_on_the_order_of_the_rows() -> None:
    rows: list[Row] = [
        (f"{number % 40}.com/{'HTTP' * (number % 3)}", number % 2, None) for number in range(100)
    ]
    there, back = chosen(*rows), chosen(*reversed(rows))
    assert there.rows.equals(back.rows)
    assert there.report == back.report


def test_urls_of_train_and_validation_are_found_even_beside_a_test_file_with_duplicates() -> None:
    """Only the test file's ids tell duplicates apart; those of train and validation are the keys'
    own.
    """
    test: list[Row] = [("dup.com", 1, None), ("dup.com", 1, None), ("dup.com", 0, None)]
    splits = run(source(*PUBLISHED, test=test)).splits
    assert splits["test"]["id"].n_unique() == 3
    for name in ("train", "validation"):
        keys = cleaning.cleaned(splits[name].with_columns(split=None), move_scheme=True)[0]["key"]
        assert row_ids(keys).to_list() == splits[name]["id"].to_list()
    again: list[Row] = [*filler("train"), *filler("validation"), *test[:1], ("new.com", 0, None)]
    kept = chosen(*again, train=splits["train"], validation=splits["validation"])
    assert kept.report.removed_seen == 4
    assert sorted(kept.rows["text"]) == ["dup.com", "new.com"], "the test split takes nothing out"


def test_rows_that_only_the_teacher_labelled_are_taken_out_too() -> None:
    texts = pl.DataFrame({"text": ["http://www.A.com/x/", "b.com"]})
    labelled, _ = unlabelled.new_texts(
        texts, dict.fromkeys(SPLITS, prepared("nothing.org")), move_scheme=True
    )
    kept = chosen(
        ("a.com/x", 1, None),
        ("b.com/", 0, None),
        ("c.com", 0, None),
        ("d.com", 1, None),
        unlabelled=labelled,
    )
    assert kept.report.removed_seen == 2
    assert sorted(kept.rows["text"]) == ["c.com", "d.com"]


def test_a_contradiction_between_the_set_and_train_is_removed_as_seen() -> None:
    kept = chosen(
        ("a.com", 0, None), ("b.com", 1, None), ("c.com", 0, None), train=prepared("a.com")
    )
    assert kept.report.removed_seen == 1
    assert kept.report.kept == {"safe": 1, "phishing": 1}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [("a.com", 1, None), ("b.com", 0, None)],
            (
                r"0 safe and 0 phishing rows are left of the 2 read \(dropped: 2 seen in training"
                r" or validation\)"
            ),
        ),
        (
            [("c.com", 1, None), ("b.com", 0, None)],
            r"0 safe and 1 phishing rows .* give a set with rows of both",
        ),
        (
            [("c.com", 0, None), ("c.com", 1, None)],
            r"0 safe and 0 phishing .*dropped: 2 both_labels\)",
        ),
        (
            [("", 0, None), ("d.com", 1, None), ("d.com", 1, None)],
            r"dropped: 1 empty, 1 duplicate\)",
        ),
    ],
)
def test_a_set_without_both_classes_is_one_clear_error(rows: list[Row], words: str) -> None:
    with pytest.raises(MinnowError, match=words) as caught:
        chosen(*rows, train=prepared("a.com"), validation=prepared("b.com"))
    assert "\n" not in str(caught.value)


def test_labels_go_to_the_logits_by_id() -> None:
    rows = pl.DataFrame({"id": ["b", "a"], "text": ["y", "x"], "label": [1, 0]})
    rows = rows.with_columns(domain=pl.Series(["y.org", "x.org"]))
    logits = pl.DataFrame({"id": ["a", "b"], "logit_0": [1.0, 2.0], "logit_1": [-1.0, -2.0]})
    assert extra.with_labels(logits, rows).rows() == [
        ("b", 1, "y.org", 2.0, -2.0),
        ("a", 0, "x.org", 1.0, -1.0),
    ]
    columns = ["id", "label", "domain", "logit_0", "logit_1"]
    assert extra.with_labels(logits, rows).columns == columns


# --- extra in params.yaml ----------------------------------------------------------------


def test_names_and_files_come_as_they_stand() -> None:
    files = {"hannousse-2021": "data/raw/file/h.csv", "PSU_1000": "data/raw/file/p.csv.gz"}
    assert validated(ExtraParams, files, "extra").files == files
    assert validated(ExtraParams, {}, "extra").files == {}


@pytest.mark.parametrize("given", [None, ["a"]])
def test_what_is_no_block_hears_how_to_say_none(given: object) -> None:
    with pytest.raises(
        MinnowError, match=r"extra is .*: must be a block of names.*, \{\} for none"
    ):
        validated(ExtraParams, given, "extra")


@pytest.mark.parametrize("name", ["a b", "../up", "a/b", "", "a.b", "é", "a\n", "x" * 99 + "!"])
def test_names_that_are_no_plain_file_names_are_refused(name: str) -> None:
    with pytest.raises(MinnowError, match=r"extra: .* use at most 64 letters, digits, - and _"):
        validated(ExtraParams, {name: "data/raw/file/h.csv"}, "extra")


@pytest.mark.parametrize(
    "given", [None, [], "data/raw/file/h.csv", {"a": 1}, {"a": None}, {1: "x"}]
)
def test_what_is_no_mapping_of_names_to_files_is_refused(given: object) -> None:
    with pytest.raises(MinnowError, match=r"params.yaml: extra") as caught:
        validated(ExtraParams, given, "extra")
    assert "\n" not in str(caught.value)
