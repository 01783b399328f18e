"""Altered copies of URLs, for a teacher to label. Pure.

A copy depends on the seed, on its source's id and number, and on the set of URLs whose parts it may
borrow; never on the order of rows, nor on which other rows get copies.
"""

from collections.abc import Sequence

import polars as pl

from minnow.data.alterations import Draw, Pool, altered
from minnow.data.url_parts import Url, well_formed
from minnow.text import urls

# Draws that a copy gets until one is a new, well-formed URL.
ATTEMPTS = 8


def copies(
    rows: pl.DataFrame,
    pool: pl.DataFrame,
    *,
    number: int,
    seed: int,
    taken: pl.Series,
    foreign: pl.Series,
) -> pl.DataFrame:
    """Return altered copies of URLs as columns `text`, `key`, `domain` and `copy_of`, the source's
    id; by key.

    Each row gets `number` copies that are well-formed, have none of the keys `taken` and no
    registered domain out of `foreign`; fewer where no draw gives one, or where two sources come to
    the same URL. Of a larger `number` the first copies are the same.

    Args:
        rows: what is copied: `id`, `text`, `domain`.
        pool: what parts are borrowed from: `text`, `domain`.
        number: copies of each row.
        seed: of all draws.
        taken: keys (`urls.key`) that no copy may have, the sources' own among them.
        foreign: registered domains that no copy may have.
    """
    sources = {
        row: Url.of(text, domain)
        for row, text, domain in rows.select("id", "text", "domain").rows()
    }
    parts = Pool.of(Url.of(text, domain) for text, domain in pool.select("text", "domain").rows())
    waiting = [(row, copy) for row in sources for copy in range(number)] if parts.urls else []
    tables = [_checked([], [])]
    for attempt in range(ATTEMPTS):
        drawn = [
            altered(sources[row], Draw(seed, row, copy, attempt), parts).text
            for row, copy in waiting
        ]
        table = _checked(waiting, drawn)
        good = table.filter(
            "well_formed",
            ~pl.col("key").is_in(taken.implode()),
            ~pl.col("domain").is_in(foreign.implode()),
        )
        tables.append(good)
        done = set(good.select("copy_of", "number").rows())
        waiting = [pair for pair in waiting if pair not in done]
    ordered = pl.concat(tables).sort("key", "copy_of", "number")
    return ordered.unique("key", keep="first", maintain_order=True).select(
        "text", "key", "domain", "copy_of"
    )


def _checked(waiting: Sequence[tuple[str, int]], texts: Sequence[str]) -> pl.DataFrame:
    """Return candidates with what decides whether they are taken."""
    column = pl.Series("text", texts, dtype=pl.String)
    return pl.DataFrame(
        {
            "text": column,
            "key": urls.key(column),
            "domain": urls.registered_domain(urls.host(column)),
            "copy_of": pl.Series([row for row, _ in waiting], dtype=pl.String),
            "number": pl.Series([copy for _, copy in waiting], dtype=pl.Int64),
            "well_formed": pl.Series([well_formed(text) for text in texts], dtype=pl.Boolean),
        }
    )
