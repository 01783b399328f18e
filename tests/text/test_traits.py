"""Traits of URLs: which value a URL has of each, and that every row has just one."""

from itertools import groupby

import polars as pl
import pytest

from helpers.urls import NOTHING, with_domains
from minnow.data import synthetic
from minnow.text import urls
from minnow.text.traits import traits

# A trait, one of its values, and where that value holds.
Part = tuple[str, str, list[bool]]


def parts(*texts: str, train: pl.Series = NOTHING) -> list[Part]:
    """Return the values that any row has, trait by trait."""
    table = with_domains(*texts)
    return [
        (name, value, rows.to_list())
        for name, values in traits(table["text"], table["domain"], train)
        for value, rows in values.items()
        if rows.any()
    ]


def values_of(text: str, *, train: pl.Series = NOTHING) -> dict[str, str]:
    """Return the one value of each trait of a URL."""
    cut = parts(text, train=train)
    assert len({name for name, _, _ in cut}) == len(cut)
    return {name: value for name, value, _ in cut}


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("a" * 15 + ".com", "length", "under 20"),
        ("a" * 16 + ".com", "length", "20 to 39"),
        ("https://" + "a" * 15 + ".com", "length", "under 20"),
        ("a.com/" + "b" * 33, "length", "20 to 39"),
        ("a.com/" + "b" * 34, "length", "40 to 79"),
        ("a.com/" + "b" * 73, "length", "40 to 79"),
        ("a.com/" + "b" * 74, "length", "80 and more"),
        ("a.com/" + "é" * 14, "length", "20 to 39"),
        ("a.com/" + "é" * 13, "length", "under 20"),
        ("", "length", "under 20"),
        ("a.com", "path", "without path"),
        ("a.com/", "path", "without path"),
        ("http://a.com//", "path", "without path"),
        ("a.com/#top", "path", "without path"),
        ("a.com?", "path", "without path"),
        ("a.com:8080", "path", "without path"),
        ("a.com/x", "path", "with path"),
        ("a.com\\x", "path", "with path"),
        ("a.com?q=1", "path", "with path"),
        ("10.0.0.1/x", "host", "IP address"),
        ("http://user@10.0.0.1:80/", "host", "IP address"),
        ("[::1]:80/x", "host", "IP address"),
        ("10.0.0.256", "host", "name"),
        ("10.0.0.1.com", "host", "name"),
        ("1.2.3.4.5", "host", "name"),
        ("a.com/10.0.0.1", "host", "name"),
        ("me.github.io/x", "hosting", "free"),
        ("a.b.web.app", "hosting", "free"),
        ("github.com/me", "hosting", "own domain or address"),
        ("example.co.uk", "hosting", "own domain or address"),
        ("10.0.0.1", "hosting", "own domain or address"),
        ("a.com/me.github.io", "hosting", "own domain or address"),
        ("xn--pypal-4ve.com", "punycode", "in the host"),
        ("www.XN--pypal-4ve.com", "punycode", "in the host"),
        ("axn--b.com", "punycode", "none"),
        ("a.com/xn--b", "punycode", "none"),
        ("a.b.co.uk", "top-level domain", ".uk"),
        ("A.COM./x", "top-level domain", ".com"),
        ("10.0.0.1", "top-level domain", "other"),
        ("[::1]", "top-level domain", "other"),
        ("localhost", "top-level domain", "other"),
        ("", "top-level domain", "other"),
    ],
)
def test_where_a_url_lies(text: str, name: str, value: str) -> None:
    assert values_of(text)[name] == value


def test_domains_of_train_are_registered_ones() -> None:
    train = pl.Series("domain", ["a.co.uk", "me.github.io"])
    assert values_of("x.a.co.uk/y", train=train)["domain"] == "seen in train"
    assert values_of("b.co.uk", train=train)["domain"] == "unseen in train"
    assert values_of("you.github.io", train=train)["domain"] == "unseen in train"


def test_a_row_without_a_domain_was_never_seen() -> None:
    train = pl.Series("domain", ["", "a.com"])
    assert values_of("?id=1", train=train)["domain"] == "unseen in train"
    assert values_of("a.com/login", train=train)["domain"] == "seen in train"


def test_every_row_has_one_value_of_every_trait() -> None:
    texts, _ = synthetic.generate(2_000, seed=0, label_noise=0)
    cut = parts(*texts, train=with_domains(*texts)["domain"].head(500))
    names = [name for name, _ in groupby(cut, key=lambda part: part[0])]
    assert names == ["length", "path", "host", "hosting", "punycode", "domain", "top-level domain"]
    for name in names:
        masks = [rows for trait, _, rows in cut if trait == name]
        assert [sum(values) for values in zip(*masks, strict=True)] == [1] * len(texts), name


def test_the_scheme_moves_no_row() -> None:
    texts, _ = synthetic.generate(500, seed=0, label_noise=0)
    bare = urls.split_scheme(pl.Series(texts))[1].to_list()
    assert parts(*bare) == parts(*(f"http://{text}" for text in bare))


def test_top_level_domains_are_ordered_by_rows_and_then_by_name() -> None:
    counts = {
        "com": 5,
        "zz": 3,
        "aa": 3,
        "net": 4,
        "b1": 2,
        "b3": 2,
        "b2": 2,
        "c1": 1,
        "c3": 1,
        "c2": 1,
    }
    texts = [f"x{number}.{name}" for name, rows in counts.items() for number in range(rows)]
    expected = {
        ".com": 5,
        ".net": 4,
        ".aa": 3,
        ".zz": 3,
        ".b1": 2,
        ".b2": 2,
        ".b3": 2,
        ".c1": 1,
        "other": 2,
    }
    for order in (texts, texts[::-1]):
        suffixes = [part for part in parts(*order) if part[0] == "top-level domain"]
        assert [(value, sum(rows)) for _, value, rows in suffixes] == list(expected.items())


def months_of(*days: str) -> dict[str, list[bool]]:
    table = with_domains(*(f"a{number}.com" for number in range(len(days))))
    times = pl.Series(days).str.to_datetime("%Y-%m-%d")
    cut = dict(traits(table["text"], table["domain"], NOTHING, times))
    return {value: rows.to_list() for value, rows in cut["month"].items() if rows.any()}


def test_months_are_in_order_and_each_row_has_one() -> None:
    found = months_of("2026-02-28", "2025-12-01", "2026-02-01", "2025-12-31")
    assert found == {"2025-12": [False, True, False, True], "2026-02": [True, False, True, False]}
    assert list(found) == ["2025-12", "2026-02"]


def test_of_many_months_the_earliest_share_a_value() -> None:
    days = [f"{year}-{month:02}-15" for year in (2024, 2025, 2026) for month in range(1, 11)]
    found = months_of(*days)
    assert len(found) == 25
    assert found["before 2024-07"] == [day < "2024-07" for day in days]
    assert [sum(rows) for rows in zip(*found.values(), strict=True)] == [1] * 30


def test_without_times_there_are_no_months() -> None:
    assert "month" not in values_of("a.com")
