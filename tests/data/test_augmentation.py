"""Laws of altered copies: of the seed and the id alone, never an old URL, always a URL."""

from collections import Counter
from hashlib import sha256
from urllib.parse import urlsplit

import polars as pl
import pytest

from helpers.urls import TRAIN, keyed
from minnow.data.augmentation import copies
from minnow.text import urls

NOTHING = pl.Series([], dtype=pl.String)


def made(
    rows: pl.DataFrame = TRAIN,
    *,
    number: int = 2,
    seed: int = 0,
    foreign: pl.Series = NOTHING,
    taken: pl.Series = NOTHING,
) -> pl.DataFrame:
    return copies(
        rows,
        TRAIN,
        number=number,
        seed=seed,
        taken=pl.concat([TRAIN["key"], taken]),
        foreign=foreign,
    )


def test_copies_of_a_seed_are_pinned() -> None:
    """A release that altered URLs otherwise would label other texts under the same params."""
    digest = sha256(made().write_csv().encode()).hexdigest()
    assert digest == "50919f501a9009e454fefa3cc5b463fb9d4d1eca66df1ae2dbcefae19d4f7ab9"


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_new_urls_that_parse(seed: int) -> None:
    table = made(seed=seed)
    assert 0.95 * 2 * TRAIN.height < table.height <= 2 * TRAIN.height
    assert table["key"].n_unique() == table.height
    assert not set(table["key"]) & set(TRAIN["key"])
    assert table["key"].equals(urls.key(table["text"]).alias("key"))
    assert table["domain"].equals(urls.registered_domain(urls.host(table["text"])).alias("domain"))
    assert set(table["copy_of"]) <= set(TRAIN["id"])
    assert max(Counter(table["copy_of"]).values()) == 2
    for text in table["text"]:
        assert urlsplit(text if text.startswith(("http://", "https://")) else f"//{text}").hostname
        assert not any(letter.isspace() for letter in text)


def test_copies_depend_on_seed_and_id_and_not_on_the_order_of_rows() -> None:
    assert made().equals(made())
    backwards = TRAIN.reverse()
    shuffled = copies(
        backwards, backwards, number=2, seed=0, taken=TRAIN["key"].reverse(), foreign=NOTHING
    )
    assert shuffled.equals(made())
    assert len(set(made()["text"]) & set(made(seed=1)["text"])) < made().height / 10
    assert not made(TRAIN.with_columns(pl.col("id") + "x"))["text"].equals(made()["text"])


def test_copies_of_some_rows_are_those_that_they_get_among_all() -> None:
    some = TRAIN.head(40)
    among = made().filter(pl.col("copy_of").is_in(some["id"].implode()))
    assert set(among["text"]) <= set(made(some)["text"])
    assert set(made(number=1)["text"]) <= set(made(number=2)["text"])


def test_copies_keep_off_what_is_taken_and_off_foreign_domains() -> None:
    first = made()
    foreign = first["domain"].value_counts().sort("count", "domain")["domain"].tail(20)
    again = made(foreign=foreign, taken=first["key"].head(100))
    assert not set(again["domain"]) & set(foreign)
    assert not set(again["key"]) & set(first["key"].head(100))
    assert again.height > 0.9 * first.height, "other draws took their place"


def test_rows_that_no_draw_makes_a_url_of_get_no_copies() -> None:
    junk = keyed(["[broken/x", "a b c/ d", "-.-/x y z"])
    alone = copies(junk, junk, number=3, seed=0, taken=junk["key"], foreign=NOTHING)
    assert alone.is_empty()
    assert copies(TRAIN, TRAIN.clear(), number=1, seed=0, taken=NOTHING, foreign=NOTHING).is_empty()
