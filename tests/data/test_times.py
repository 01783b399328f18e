"""Times as they are written, and splits that go by them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from helpers.data import FIELDS, FILE, HUB, SPLIT, outcome, project
from minnow.core.params import validated
from minnow.data import times
from minnow.data.params import DataParams
from minnow.data.sources import Source
from minnow.data.splits import Prepared, prepare_splits
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout

# --- as they are written --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-03-09", "2026-03-09T00:00:00"),
        (" 2026-03-09 ", "2026-03-09T00:00:00"),
        ("2026-03-09T08:30", "2026-03-09T08:30:00"),
        ("2026-03-09 08:30:15", "2026-03-09T08:30:15"),
        ("2026-03-09T08:30:15.999", "2026-03-09T08:30:15"),
        ("2026-03-09T08:30:15Z", "2026-03-09T08:30:15"),
        ("2026-03-09T08:30:15+02:00", "2026-03-09T06:30:15"),
        ("2026-03-09 20:30:15 -0530", "2026-03-10T02:00:15"),
        ("2026-03-09 00:00:00.000000", "2026-03-09T00:00:00"),
        ("2024-02-29", "2024-02-29T00:00:00"),
        ("1700000000", "2023-11-14T22:13:20"),
        ("1700000000.0", "2023-11-14T22:13:20"),
        ("1700000000.7", "2023-11-14T22:13:20"),
    ],
)
def test_times_by_hand(text: str, iso: str) -> None:
    found = times.times_of(pl.Series([text]), "seen", "a.csv")
    assert found.to_list() == [datetime.fromisoformat(iso)]


@pytest.mark.parametrize("zone", ["Z", "+00:00", "+14:00", "-09:30", "+0545"])
def test_a_zone_means_what_it_means_to_python(zone: str) -> None:
    text = f"2026-01-01T00:30:00{zone}"
    expected = datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    assert times.times_of(pl.Series([text]), "seen", "a.csv").to_list() == [expected]


@pytest.mark.parametrize(
    "text",
    [
        *("09/03/2026", "2026-13-01", "2023-02-29", "2026-03-09T24:00", "2026-03-09T08:61"),
        *("20260309", "1700000000000", "-5", "1e9", "yesterday", "2026", "2026-03-09x", "nan"),
        *("2026-03-09T08:30+25:00", "0"),
    ],
)
def test_what_is_no_time_is_one_line_that_names_the_row(text: str) -> None:
    with pytest.raises(MinnowError) as refusal:
        times.times_of(pl.Series(["2026-01-01", text, text]), "seen", "a.csv")
    assert str(refusal.value) == (
        f"a.csv: column 'seen' holds no time in 2 rows, row 2 first: {text!r}; write 2026-03-09,"
        " 2026-03-09T08:30:00Z or unix seconds"
    )


@pytest.mark.parametrize("missing", [None, "", "  "])
def test_a_missing_time_is_one_line(missing: str | None) -> None:
    with pytest.raises(MinnowError) as refusal:
        times.times_of(pl.Series(["2026-01-01", "2026-01-01", missing]), "seen", "a.csv")
    assert str(refusal.value) == (
        "a.csv: column 'seen' is empty in 1 rows, row 3 first; fill it in or drop the rows"
    )


# --- splits ---------------------------------------------------------------------------------------

BY_TIME = FIELDS | SPLIT | {"source": "file", "path": "x", "text_column": "u", "label_column": "l"}
BY_TIME |= {"positive_label": 1, "split": "time", "time_column": "seen"}


def seen(*rows: tuple[str, int, int]) -> Source:
    """Return rows of a text, a label and a day of 2026."""
    return Source(
        pl.DataFrame(
            {
                "text": [text for text, _, _ in rows],
                "label": pl.Series([label for _, label, _ in rows], dtype=pl.Int8),
                "split": pl.Series([None] * len(rows), dtype=pl.String),
                "time": [datetime(2026, 1 + day // 28, 1 + day % 28) for _, _, day in rows],
            }
        )
    )


def by_time(source: Source, **changes: Any) -> Prepared:
    return prepare_splits(source, DataParams.model_validate({**BY_TIME, **changes}))


HUNDRED = [(f"site{n}.com/x", n % 2, n) for n in range(100)]


def test_the_past_trains_and_the_last_tests() -> None:
    found = by_time(seen(*reversed(HUNDRED)), validation=0.2, test=0.1)
    assert [found.splits[name].height for name in SPLITS] == [70, 20, 10]
    for earlier, later in (("train", "validation"), ("validation", "test")):
        assert found.splits[earlier]["time"].max() < found.splits[later]["time"].min()
    assert found.report.carved == ["test", "validation"]
    assert found.report.times == {
        "train": {"first": "2026-01-01T00:00:00Z", "last": "2026-03-14T00:00:00Z"},
        "validation": {"first": "2026-03-15T00:00:00Z", "last": "2026-04-06T00:00:00Z"},
        "test": {"first": "2026-04-07T00:00:00Z", "last": "2026-04-16T00:00:00Z"},
    }
    assert found.report.uneven == ()


@pytest.mark.parametrize("step", [3, 7, 20])
def test_rows_of_one_time_are_in_one_split_and_a_cut_is_the_nearest(step: int) -> None:
    found = by_time(seen(*((text, label, day // step) for text, label, day in HUNDRED)))
    parts = [set(found.splits[name]["time"]) for name in SPLITS]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert abs(found.splits["train"].height - 50) <= step / 2
    assert abs(found.splits["test"].height - 25) <= step / 2


def test_a_day_that_holds_too_many_rows_is_named() -> None:
    rows = [(text, label, min(day // 4, 13)) for text, label, day in HUNDRED]
    found = by_time(seen(*rows))
    assert any(
        "48 rows have the time 2026-01-14T00:00:00Z and stay together: give a finer" in each
        for each in found.report.uneven
    )


def test_fewer_times_than_splits_are_refused() -> None:
    rows = [(text, label, day % 2) for text, label, day in HUNDRED]
    with pytest.raises(MinnowError, match=r"^the rows have 2 different times, and each of 3 spl"):
        by_time(seen(*rows))


OLD = [("site1.com/new", 1, 60), ("site1.com/newer", 0, 95), ("site60.com/again", 1, 96)]


def test_domains_of_the_past_are_removed_and_counted() -> None:
    """Of 103 rows site1.com's are in train, and one each in validation and test; site60.com's in
    validation and test.
    """
    found = by_time(seen(*HUNDRED, *OLD))
    texts = [text for name in ("validation", "test") for text in found.splits[name]["text"]]
    assert not {text for text, _, _ in OLD} & set(texts)
    assert found.report.past_domains == {"test": 2, "validation": 1}
    assert found.report.dropped["past_domain"] == 3
    assert found.report.leak == 0.0
    kept = sum(sum(counts.values()) for counts in found.report.kept.values())
    assert kept + sum(found.report.dropped.values()) == found.report.rows_read == 103
    domains = [set(found.splits[name]["domain"]) for name in SPLITS]
    assert sum(map(len, domains)) == len(set().union(*domains))


def test_the_past_knows_no_row_without_a_domain() -> None:
    rows = pl.DataFrame({"split": ["train", "test", "train", "test"], "domain": ["", "", "a", "a"]})
    assert times.known_before(rows).to_list() == [False, False, False, True]


def test_marked_domains_of_the_past_are_kept_and_counted() -> None:
    found = by_time(seen(*HUNDRED, *OLD), past_domains="mark")
    assert sum(table.height for table in found.splits.values()) == 103
    assert found.report.past_domains == {"test": 2, "validation": 1}
    assert "past_domain" not in found.report.dropped
    assert found.report.leak > 0


def test_of_a_url_seen_twice_the_first_time_counts() -> None:
    found = by_time(seen(*HUNDRED, ("http://SITE3.com/x", 1, 99)))
    assert found.report.dropped["duplicate"] == 1
    assert "site3.com/x" in found.splits["train"]["text"].to_list()


def test_without_a_class_left_the_line_says_what_to_do_with_the_past() -> None:
    rows = [(f"one.com/{n}" if label else f"a{n}.com", label, n) for _, label, n in HUNDRED]
    with pytest.raises(MinnowError, match=r"validation has no phishing row .*`past_domains: mark`"):
        by_time(seen(*rows))


# --- params, files and the report -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time_column": None}, "split time needs time_column, which is null"),
        ({"split_column": "part"}, "cuts all rows by time alone; set split_column: null"),
        ({"test_path": "data/raw/file/t.csv"}, "set test_path: null"),
        ({"past_domains": "keep"}, "past_domains is 'keep': must be 'remove' or 'mark'"),
    ],
    ids=str,
)
def test_what_does_not_go_with_a_split_by_time_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(MinnowError, match=words):
        validated(DataParams, {**BY_TIME, **changes}, "data")


def test_generated_data_have_no_times() -> None:
    block = FIELDS | SPLIT | {"source": "synthetic", "rows": 9, "label_noise": 0.0, "split": "time"}
    with pytest.raises(
        MinnowError, match=r"^params.yaml: data: source synthetic has no times; set"
    ):
        validated(DataParams, block, "data")


def table() -> pl.DataFrame:
    days = [f"2026-{1 + day // 28:02}-{1 + day % 28:02}" for _, _, day in HUNDRED]
    columns = {"url": [row[0] for row in HUNDRED], "label": [row[1] for row in HUNDRED]}
    return pl.DataFrame({**columns, "seen": days})


def test_a_file_is_split_by_its_column_and_the_same_whatever_its_format(tmp_path: Path) -> None:
    block = FILE | {"split": "time", "time_column": "seen"}
    made = []
    as_days = table()
    as_seconds = as_days.with_columns(pl.col("seen").str.to_date().dt.epoch("s"))
    as_dates = as_days.with_columns(pl.col("seen").str.to_date())
    for number, rows in enumerate((as_days, as_seconds, as_dates)):
        root = tmp_path / str(number)
        name = "urls.csv" if number < 2 else "urls.parquet"
        raw = Layout(project(root, block | {"path": f"data/raw/file/{name}"})).raw("file")
        rows.write_csv(raw / name) if number < 2 else rows.write_parquet(raw / name)
        made.append(outcome(root))
    (first, report), *others = made
    assert report["split"] == "time"
    assert [first[name].height for name in SPLITS] == [50, 25, 25]
    assert "time" in first["test"].columns
    for splits, told in others:
        assert all(splits[name].equals(first[name]) for name in SPLITS)
        assert told["times"] == report["times"]


def test_a_data_sets_own_splits_give_way_to_time(tmp_path: Path) -> None:
    folder = Layout(project(tmp_path, HUB, "hub")).raw("hub") / "set"
    folder.mkdir()
    rows = table().rename({"url": "text", "label": "labels"})
    rows.tail(60).write_csv(folder / "train.csv")
    rows.head(40).write_csv(folder / "test.csv")
    project(tmp_path, HUB | {"split": "time", "time_column": "seen"}, "hub")
    splits, report = outcome(tmp_path)
    assert [splits[name].height for name in SPLITS] == [50, 25, 25]
    assert report["carved"] == ["test", "validation"]


def test_a_bad_time_in_a_file_names_file_column_and_row(tmp_path: Path) -> None:
    block = FILE | {"split": "time", "time_column": "seen"}
    raw = Layout(project(tmp_path, block)).raw("file")
    rows = table().with_columns(seen=pl.when(pl.col("url") == "site7.com/x").then(pl.lit("?")))
    rows.with_columns(seen=pl.col("seen").fill_null("2026-01-01")).write_csv(raw / "urls.csv")
    with pytest.raises(
        MinnowError, match=r"urls.csv: column 'seen' holds no time in 1 rows, row 8"
    ):
        outcome(tmp_path)


def test_times_without_a_split_by_time_are_kept_for_the_months(tmp_path: Path) -> None:
    raw = Layout(project(tmp_path, FILE | {"time_column": "seen"})).raw("file")
    table().write_csv(raw / "urls.csv")
    splits, report = outcome(tmp_path)
    assert "time" in splits["test"].columns
    assert "past_domains" not in report
    assert set(report["times"]) == set(SPLITS)
