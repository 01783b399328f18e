"""URLs, odd ones too, for the tests of what alters them."""

import polars as pl

from minnow.data import cleaning, synthetic
from minnow.data.alterations import Pool
from minnow.data.url_parts import Url
from minnow.text import urls

NOTHING = pl.Series("domain", [], dtype=pl.String)
ODD = [
    "",
    "localhost",
    "10.0.0.1:8080/verify/account?id=1",
    "[2001:db8::1]:443/x",
    "http://user:pw@www.a.example.co.uk:81/p//q/?x=1&y=http://b.com/#top",
    "me.github.io",
    "github.io?",
    "a.com/?",
    "a.com#frag?no=query",
    "EXAMPLE.com/Path",
    "a@b.com",
    "a_b.c-d.org./x",
    "co.uk/a",
    "[broken/x",
    "пример.рф/путь",
]


def keyed(texts: list[str]) -> pl.DataFrame:
    """Return rows as `prepare` would, by their key."""
    rows, _ = cleaning.cleaned(pl.DataFrame({"text": texts}), move_scheme=False)
    return (
        rows.unique("key", maintain_order=True)
        .with_columns(pl.col("key").alias("id"))
        .filter(pl.col("key") != "")
    )


TRAIN = keyed(synthetic.generate(300, seed=3, label_noise=0.0)[0])


def pool() -> Pool:
    """Return what the rows of TRAIN have to lend."""
    return Pool.of(Url.of(text, domain) for text, domain in TRAIN.select("text", "domain").rows())


def parsed(text: str) -> Url:
    """Return a URL in parts."""
    return Url.of(text, urls.registered_domain(urls.host(pl.Series([text]))).item())


def with_domains(*texts: str) -> pl.DataFrame:
    """Return texts with their registered domains."""
    column = pl.Series("text", texts, dtype=pl.String)
    return pl.DataFrame({"text": column, "domain": urls.registered_domain(urls.host(column))})
