"""Splits that are far from what was asked, and the domain that may be why."""

from pathlib import Path

import polars as pl
import pytest

from helpers.data import FILE, Row, many, outcome, project, run, source
from minnow.data.evenness import uneven
from minnow.layout import Layout

SMALL: list[Row] = [(f"a{n}.com/x", int(n % 4 == 0), None) for n in range(2000)]
LARGE: list[Row] = [(f"big.com/{n}", 1, None) for n in range(1000)]


@pytest.mark.parametrize("seed", range(4))
def test_a_domain_with_a_third_of_the_rows_is_named(seed: int) -> None:
    report = run(source(*SMALL, *LARGE), seed=seed).report
    assert report.uneven
    assert all("'big.com'" in each and "holds 33% of all rows" in each for each in report.uneven)
    assert report.as_json()["uneven"] == report.uneven
    assert type(report).from_json(report.as_json()) == report


@pytest.mark.parametrize("seed", range(4))
def test_even_data_have_nothing_to_say_and_no_key(seed: int) -> None:
    report = run(source(*SMALL), seed=seed).report
    assert report.uneven == ()
    assert "uneven" not in report.as_json()


def test_few_rows_vary_by_chance() -> None:
    asked = {"test": 0.25, "validation": 0.25}
    for inside, far in [(14, False), (16, True)]:  # 6 are asked, and 4 deviations are 8.5 more
        rows = pl.DataFrame(
            {
                "domain": [f"a{n}.com" for n in range(24)],
                "label": [n % 2 for n in range(24)],
                "split": ["test"] * inside + ["train"] * (24 - inside),
            }
        )
        assert any(said.startswith("test has") for said in uneven(rows, asked)) == far


def test_the_lack_of_a_domain_is_no_domain_to_blame() -> None:
    """Without a domain each row goes by itself; so many in one split were put there by another."""
    rows = pl.DataFrame(
        {
            "domain": [""] * 300 + ["big.com"] * 150 + [f"a{n}.com" for n in range(150)],
            "label": [n % 2 for n in range(600)],
            "split": ["train"] * 300 + ["test"] * 300,
        }
    )
    said = uneven(rows, {"test": 0.2})
    assert said
    assert all("the domain 'big.com'" in each and "holds 25% of all rows" in each for each in said)
    alone = uneven(rows.with_columns(domain=pl.lit("")), {"test": 0.2})
    assert alone
    assert all(each.endswith("no row has a domain: set another `seed`") for each in alone)


def test_published_splits_are_not_judged() -> None:
    rows = [(text, label, "train" if text.startswith("a1") else "test") for text, label, _ in SMALL]
    rows += [(f"v{n}.com", n % 2, "validation") for n in range(9)]
    assert run(source(*rows)).report.uneven == ()


def test_the_stage_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, FILE)
    table = many(600)
    big = table.head(300).with_columns(url="big.com/" + pl.col("url"))
    table.tail(300).vstack(big).write_csv(Layout(root).raw("file") / "urls.csv")
    _, report = outcome(root)
    assert report["uneven"]
    assert "minnow: warning: " in capsys.readouterr().err
