"""Defanged URLs, and hosts in several spellings, through the functions that prepare data."""

import polars as pl
import pytest

from helpers import data
from minnow.data import extra, unlabelled
from minnow.data.cleaning import cleaned
from minnow.data.extra import Seen
from minnow.data.unlabelled import TextFile

DEFANGED = [
    f"hxxps://{name}[.]evil{number}[.]com/verify"
    for number in range(8)
    for name in ("login", "secure", "mail")
]
PLAIN = [text.replace("hxxps", "https").replace("[.]", ".") for text in DEFANGED]
SAFE = [f"https://www.shop{number}.net/item/{number}" for number in range(12)]


def rows(phishing: list[str]) -> list[data.Row]:
    return [*((text, 1, None) for text in phishing), *((text, 0, None) for text in SAFE)]


def test_splits_are_those_of_the_urls_as_they_were() -> None:
    shares = {"validation": 0.3, "test": 0.3}
    found, wanted = (data.run(data.source(*rows(texts)), **shares) for texts in (DEFANGED, PLAIN))
    assert all(found.splits[name].equals(wanted.splits[name]) for name in wanted.splits)
    assert found.report.leak == 0
    assert (found.report.cleaned["defanged"], wanted.report.cleaned["defanged"]) == (24, 0)
    domains = pl.concat(found.splits.values())["domain"]
    assert set(domains) == {f"evil{n}.com" for n in range(8)} | {f"shop{n}.net" for n in range(12)}


def test_a_url_and_its_defanged_twin_are_duplicates() -> None:
    shares = {"validation": 0.3, "test": 0.3}
    report = data.run(data.source(*rows(DEFANGED + PLAIN)), **shares).report
    assert report.dropped["duplicate"] == 24


def test_the_leak_of_a_random_split_is_seen() -> None:
    shares = {"validation": 0.3, "test": 0.3}
    source = data.source(*rows(DEFANGED))
    assert data.run(source, method="random", **shares).report.leak > 0


def prepared(texts: list[str]) -> pl.DataFrame:
    table, _ = cleaned(pl.DataFrame({"text": texts}), move_scheme=True)
    return data.splits.usable_rows(
        table.with_columns(label=pl.lit(1), split=pl.lit(None, pl.String)), None
    )[0]


@pytest.mark.parametrize(("seen", "given"), [(PLAIN, DEFANGED), (DEFANGED, PLAIN)])
def test_seen_urls_are_removed_from_a_further_set(seen: list[str], given: list[str]) -> None:
    nothing = prepared([])
    new = [*rows(given), ("hxxp://new[.]org", 1, None)]
    found = extra.extra_set(
        data.source(*new), Seen(prepared(seen), nothing, nothing), file="x", move_scheme=True
    )
    assert found.report.removed_seen == 24
    assert found.report.kept == {"safe": 12, "phishing": 1}


def test_unlabelled_texts_keep_out_of_held_out_domains() -> None:
    splits = {"train": prepared(["a.org"]), "validation": prepared(PLAIN[:12])}
    splits["test"] = prepared(["bücher7.de/x"])
    texts = pl.DataFrame({"text": [*DEFANGED[:3], "hxxp://z[.]evil0[.]com", "xn--bcher7-3ya.de/y"]})
    texts = pl.concat([texts, pl.DataFrame({"text": ["hxxp://new[.]org"]})])
    found = unlabelled.texts_to_label(
        TextFile("x", texts), splits, move_scheme=True, copies=0, seed=0
    )
    assert found.rows["text"].to_list() == ["new.org"]


def test_two_spellings_of_one_host_are_one_site() -> None:
    both = [("http://bücher7.de/login", 1, None), ("http://xn--bcher7-3ya.de/login", 0, None)]
    report = data.run(data.source(*both, *rows(PLAIN)), validation=0.3, test=0.3).report
    assert report.dropped["both_labels"] == 2
