"""Preparing data: laws of the split, hand-made dirt with its counts, and files that are the same
bytes each time.
"""

from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest

from helpers.data import FIELDS, PUBLISHED, SPLIT, Row, filler, many, project, run, source
from helpers.paths import ROOT
from minnow.core import params
from minnow.data import cleaning, splits
from minnow.data.params import DataParams
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare

# Cleaning


@pytest.mark.parametrize(
    ("dirty", "clean", "kinds"),
    [
        ("a.com/?x=1&amp;y=2", "a.com/?x=1&y=2", {"html_escapes"}),
        ("a.com/?x=1&amp;amp;y&#61;2", "a.com/?x=1&y=2", {"html_escapes"}),
        ("a.com/?a=1&section=2&reg=3&copy", "a.com/?a=1&section=2&reg=3&copy", set()),
        ("a.com/?a=1&section;&nosuch;", "a.com/?a=1&section;&nosuch;", set()),
        ("\ufeffa.com/\u200bx\x00\ty", "a.com/xy", {"control_characters"}),
        ("a.com/\ufffdx", "a.com/x", {"undecodable_bytes"}),
        ("  'a.com' ", "a.com", {"quotes_and_blanks"}),
        ('"http://a.com/x"', "a.com/x", {"quotes_and_blanks", "scheme_moved"}),
        (
            "&quot;hxxps://a.com&quot;",
            "a.com",
            {"html_escapes", "quotes_and_blanks", "defanged", "scheme_moved"},
        ),
        ("http:// a.com", "a.com", {"scheme_moved"}),
        (None, "", set()),
    ],
)
def test_cleaning_by_hand(dirty: str | None, clean: str, kinds: set[str]) -> None:
    rows, counts = cleaning.cleaned(source((dirty, 1, None)).rows, move_scheme=True)
    assert rows["text"].to_list() == [clean]
    assert {kind for kind, count in counts.items() if count} == kinds


def test_scheme_stays_when_it_is_not_moved() -> None:
    rows, counts = cleaning.cleaned(source(("HTTP://a.com/", 1, None)).rows, move_scheme=False)
    assert rows.select("text", "scheme", "key", "domain").row(0) == (
        "HTTP://a.com/",
        "",
        "a.com",
        "a.com",
    )
    assert counts["scheme_moved"] == 0


# Dropping


def test_every_reason_to_drop_is_counted_and_rows_are_conserved() -> None:
    dirt: list[Row] = [
        ("http://dup.com/", 1, "train"),
        ("https://www.DUP.com", 1, "train"),
        ("both.com", 0, "train"),
        ("both.com/", 1, "validation"),
        ("nolabel.com", None, "train"),
        (" ' ", 1, "train"),
        (None, 0, "train"),
        ("http:///", 0, "train"),
    ]
    prepared = run(source(*PUBLISHED, *dirt))
    assert prepared.report.dropped == {
        "missing_label": 1,
        "empty": 3,
        "replaced_by_test_file": 0,
        "in_test_file": 0,
        "both_labels": 2,
        "duplicate": 1,
    }
    kept = sum(sum(counts.values()) for counts in prepared.report.kept.values())
    assert prepared.report.rows_read == kept + sum(prepared.report.dropped.values()) == 14
    assert prepared.splits["train"].filter(domain="dup.com")["scheme"].to_list() == ["http"]


def test_duplicates_across_published_splits_stay_in_test_before_validation_before_train() -> None:
    spread: list[Row] = [("x.com", 1, name) for name in ("train", "dev", "TEST")]
    spread += [("y.com", 0, name) for name in ("train", "val")]
    prepared = run(source(*PUBLISHED, *spread))
    where = {
        name: set(table["domain"]) & {"x.com", "y.com"} for name, table in prepared.splits.items()
    }
    assert where == {"train": set(), "validation": {"y.com"}, "test": {"x.com"}}
    assert prepared.report.dropped["duplicate"] == 3


def test_a_separate_test_file_is_taken_whole_and_removed_from_the_rest() -> None:
    fixed: list[Row] = [
        ("in.com/", 1, None),
        ("http://in.com", 1, None),
        ("in.com", 0, None),
        ("", 0, None),
    ]
    prepared = run(
        source(
            *PUBLISHED,
            ("www.in.com", 1, "train"),
            ("in.com", 0, "validation"),
            test=[*fixed, ("x", None, None)],
        )
    )
    test = prepared.splits["test"]
    assert sorted(test["text"]) == ["", "in.com", "in.com", "in.com/"]
    assert test["id"].n_unique() == 4
    assert (
        prepared.report.dropped | {"replaced_by_test_file": 2, "in_test_file": 2}
        == prepared.report.dropped
    )
    kept_anyway = {"rows_read": 5, "missing_label": 1, "duplicates_kept": 2, "both_labels_kept": 3}
    assert prepared.report.test_file is not None
    assert kept_anyway.items() <= asdict(prepared.report.test_file).items()
    assert prepared.report.carved == []


def test_the_leak_of_a_test_file_is_measured() -> None:
    fixed: list[Row] = [("fill-train-0.com/other", 0, None), ("new.com", 1, None)]
    assert run(source(*PUBLISHED, test=fixed)).report.leak == 0.5


# Splitting


def test_domains_are_disjoint_and_nothing_leaks_under_the_domain_split() -> None:
    table = many(2000)
    rows = source(*((url, label, None) for url, label in table.rows()))
    apart, at_random = run(rows), run(rows, method="random")
    domains = [set(table["domain"]) for table in apart.splits.values()]
    assert sum(map(len, domains)) == len(set.union(*domains))
    assert apart.report.leak == 0
    assert at_random.report.leak > 0
    for prepared in (apart, at_random):
        ids = pl.concat(prepared.splits.values())["id"]
        assert ids.n_unique() == len(ids)
    assert at_random.splits["test"].height / len(ids) == pytest.approx(0.2, abs=0.03)


def test_rows_without_a_domain_are_split_one_by_one_and_leak_nothing() -> None:
    """What they share is the lack of a domain; an address is a domain of its own."""
    bare: list[Row] = [(f"?id={n}", n % 2, None) for n in range(1000)]
    addresses: list[Row] = [(f"10.0.{n % 50}.1/{n}", n % 2, None) for n in range(500)]
    found = run(source(*bare, *addresses))
    without = [table.filter(domain="").height for table in found.splits.values()]
    assert without == [pytest.approx(each, abs=60) for each in (600, 200, 200)]
    assert found.report.leak == 0
    assert sum(found.report.domains.values()) == 50
    assert run(source(*bare), method="random").report.leak == 0
    apart = run(source(*addresses)).splits
    assert not set(apart["train"]["domain"]) & set(apart["test"]["domain"])


def test_rows_without_a_domain_keep_their_split_when_others_come_or_go() -> None:
    bare: list[Row] = [(f"?q={n}", n % 2, None) for n in range(300)]
    few, many_ = (run(source(*rows, *filler(None))).splits["test"] for rows in (bare[:200], bare))
    assert set(few["id"]) <= set(many_["id"])


def test_private_suffixes_separate_domains() -> None:
    rows, _ = cleaning.cleaned(
        source(("a.github.io/x", 1, None), ("b.github.io/x", 0, None)).rows, move_scheme=True
    )
    assert rows["domain"].to_list() == ["a.github.io", "b.github.io"]


@pytest.mark.parametrize("method", ["domain", "random"])
def test_the_order_of_rows_changes_nothing_and_the_seed_does(method: str) -> None:
    table = pl.concat(
        [many(600), many(600).with_columns(pl.col("url").str.replace("://", "://www."))]
    )
    rows: list[Row] = [(url, label, None) for url, label in table.rows()]
    first, backwards = (run(source(*order), method=method) for order in (rows, rows[::-1]))
    assert all(first.splits[name].equals(backwards.splits[name]) for name in SPLITS)
    assert first.report == backwards.report
    assert not first.splits["test"].equals(run(source(*rows), method=method, seed=1).splits["test"])


def test_places_are_even_and_pinned() -> None:
    places = splits.unit(pl.Series([f"{n}.com" for n in range(20_000)]), seed=0).to_list()
    assert min(places) >= 0
    assert max(places) < 1
    assert sum(places) / len(places) == pytest.approx(0.5, abs=0.01)
    assert places[0] == pytest.approx(0.29214579854787315, abs=1e-12)
    assert splits.row_ids(pl.Series(["a.com"])).to_list() == ["ea0a1c0ec47b5b65"]


def test_splits_that_are_not_published_are_carved_from_train_alone() -> None:
    train: list[Row] = [(f"t{n}.com", n % 2, "train") for n in range(400)]
    prepared = run(source(*train, *filler("test")))
    assert prepared.report.carved == ["validation"]
    assert prepared.splits["test"].height == 2
    assert prepared.splits["validation"].height == pytest.approx(80, abs=25)
    assert run(source(*train)).report.carved == ["test", "validation"]


# Files


def test_two_runs_write_the_same_bytes_and_no_path(tmp_path: Path) -> None:
    block = FIELDS | SPLIT | {"source": "synthetic", "rows": 500, "label_noise": 0.02}
    roots = [project(tmp_path / name, block, "embedded") for name in ("one", "two")]
    for root in roots:
        prepare.main(root)
    files = [Layout(roots[0]).metrics("prepare"), *map(Layout(roots[0]).split, SPLITS)]
    assert all(
        file.read_bytes() == (roots[1] / file.relative_to(roots[0])).read_bytes() for file in files
    )
    assert str(tmp_path) not in files[0].read_text()
    assert pl.read_parquet_schema(files[1]) == {
        "id": pl.String,
        "text": pl.String,
        "label": pl.Int8,
        "domain": pl.String,
        "scheme": pl.String,
    }


@pytest.mark.parametrize("name", ["embedded", "hub", "file"])
def test_the_shipped_presets_are_valid(name: str) -> None:
    document = params.read_params(Layout(ROOT).params)
    place = f"presets.{name}.data"
    assert params.validated(DataParams, params.pick(document, place), place)
