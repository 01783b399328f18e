"""Validation's extra part: what is taken out of it, and what is said about that."""

import random

import polars as pl
import pytest

from helpers.data import PUBLISHED, Row, filler, run, source
from minnow.core.params import validated
from minnow.data import extra, unlabelled
from minnow.data.params import FileOrNone
from minnow.data.validation_extra import SCHEMA, extra_part, no_part
from minnow.errors import MinnowError

SPLITS = run(source(*PUBLISHED)).splits


def part_of(*rows: Row, **tests: list[Row]) -> "tuple[pl.DataFrame, dict[str, object]]":
    held_out = {
        f"extra.{name}": extra.set_rows(source(*given), move_scheme=True)[0]
        for name, given in tests.items()
    }
    part = extra_part(source(*rows), SPLITS, held_out, file="other.csv", move_scheme=True)
    assert part.report is not None
    return part.rows, vars(part.report)


def test_every_row_is_counted_once_by_hand() -> None:
    rows, report = part_of(
        ("http://www.fill-train-0.com/", 0, None),  # a URL of train
        ("fill-validation-1.com", 1, None),  # of validation
        ("fill-train-0.com/other", 1, None),  # its domain stands in train: kept, a leak
        ("fill-test-0.com", 0, None),  # a URL of test
        ("a.fill-test-1.com/new", 1, None),  # a domain of test
        ("feed.org/new", 1, None),  # a domain of a further test set
        ("more.org", 0, None),  # of two: counted at the first
        ("last.org", 0, None),
        ("new.org", 0, None),
        ("https://new.org/", 0, None),  # a duplicate
        ("newer.org", 1, None),
        ("both.org", 0, None),
        ("both.org", 1, None),
        ("unlabelled.org", None, None),
        ("'", 1, None),
        feed=[("feed.org", 1, None), ("x.more.org", 0, None)],
        more=[("more.org/1", 0, None), ("last.org", 1, None)],
    )
    assert report == {
        "file": "other.csv",
        "rows_read": 15,
        "kept": {"safe": 1, "phishing": 2},
        "domains": 3,
        "removed": {"seen": 2, "test": 2, "extra.feed": 2, "extra.more": 1},
        "dropped": {"missing_label": 1, "empty": 1, "both_labels": 2, "duplicate": 1},
        "leak": 0.3333,
    }
    assert dict(rows.select("text", "label").rows()) == {
        "fill-train-0.com/other": 1,
        "new.org": 0,
        "newer.org": 1,
    }


def test_no_url_and_no_domain_of_a_test_set_chooses_whatever_the_rows() -> None:
    draw = random.Random(0)
    hosts = [f"{word}{number}.com" for word in ("a", "fill-test-") for number in range(60)]
    urls = [f"{draw.choice(('', 'x.', 'www.'))}{draw.choice(hosts)}/{n % 40}" for n in range(260)]
    given: list[Row] = [(url, draw.randrange(2), None) for url in urls]
    rows, report = part_of(*given[:200], feed=given[200:260])
    feed, _ = extra.set_rows(source(*given[200:260]), move_scheme=True)
    for test in (SPLITS["test"], feed):
        assert not set(rows["domain"]) & set(test["domain"])
        assert not set(rows["id"]) & set(test["id"])
    counts = [sum(report[name].values()) for name in ("kept", "removed", "dropped")]  # type: ignore[attr-defined]
    assert sum(counts) == report["rows_read"]
    assert min(report["removed"]["test"], report["removed"]["extra.feed"], rows.height) > 0  # type: ignore[index]
    shuffled = draw.sample(given[:200], 200)
    assert part_of(*shuffled, feed=given[200:260])[0].equals(rows)


def test_the_table_of_nothing_has_the_columns_of_one() -> None:
    rows, _ = part_of(("new.org", 0, None), ("newer.org", 1, None))
    assert rows.schema == no_part().rows.schema == pl.Schema(SCHEMA)
    assert no_part().report is None
    assert no_part().rows.is_empty()


def test_of_one_class_it_is_refused_and_the_losses_are_told() -> None:
    with pytest.raises(MinnowError, match=r"one class only: 0 safe and 1 phishing .* 1 in test"):
        part_of(("new.org", 1, None), ("fill-test-0.com/x", 0, None))


def test_what_the_teacher_labels_keeps_off_it() -> None:
    rows, _ = part_of(("new.org/a", 0, None), ("newer.org", 1, None), *filler(None))
    texts = pl.DataFrame({"text": ["new.org/a", "new.org/b", "free.org"]})
    kept, dropped = unlabelled.new_texts(
        texts, {**SPLITS, "validation_extra": rows}, move_scheme=True
    )
    assert kept["text"].to_list() == ["free.org"]
    assert (dropped["in_validation_extra"], dropped["domain_in_validation_or_test"]) == (1, 1)


@pytest.mark.parametrize("given", [3, True, ["a.csv"], {"a": "b"}, "../x.csv", "/dev/stdin", ""])
def test_what_names_no_file_of_the_project_is_refused_in_one_line(given: object) -> None:
    with pytest.raises(MinnowError, match=r"^params.yaml: evaluate.validation_extra") as refused:
        validated(FileOrNone, given, "evaluate.validation_extra")
    assert "\n" not in str(refused.value)


def test_null_and_a_file_are_taken() -> None:
    for given in (None, "data/raw/file/other.csv"):
        assert validated(FileOrNone, given, "evaluate.validation_extra").root == given
