"""`text.cleaning` over a column of texts, with the number of rows that each step changed."""

import polars as pl

from minnow.text import urls
from minnow.text.cleaning import STEPS, without_schemes

# What no step changes, but for the scheme in front: printable ASCII without quotes and escapes, the
# host without brackets, and no second slash after it (`hxxp//a`). Most texts are such; all others
# go through the very functions that a release runs.
PLAIN = (
    r"^(?:[Hh][Tt][Tt][Pp][Ss]?://)?[A-Za-z0-9._~-]*(?::[0-9]+)?"
    r"(?:[?#][!#-&(-:<-_a-~]*|/|/[!#-&(-.0-:<-_a-~][!#-&(-:<-_a-~]*)?$"
)


def cleaned(rows: pl.DataFrame, *, move_scheme: bool) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean `text`, add `scheme`, `key` and `domain`, and count the rows that each kind of cleaning
    changed.
    """
    texts, counts = whole_texts(rows["text"].fill_null(""))
    schemes, bare = urls.split_scheme(texts)
    counts["scheme_moved"] = int((schemes != "").sum()) if move_scheme else 0
    return (
        rows.with_columns(
            (_without_schemes(texts, bare) if move_scheme else texts).alias("text"),
            (schemes if move_scheme else pl.lit("")).alias("scheme"),
            urls.key(texts).alias("key"),
            urls.registered_domain(urls.host(texts)).alias("domain"),
        ),
        counts,
    )


def whole_texts(texts: pl.Series) -> tuple[pl.Series, dict[str, int]]:
    """Return cleaned texts with their schemes, and the number of rows that each step changed."""
    places, odd, counts = *_odd(texts), {}
    for kind, step in STEPS.items():
        before, odd = odd, [step(text) for text in odd]
        counts[kind] = sum(a != b for a, b in zip(before, odd, strict=True))
    return texts.clone().scatter(places, pl.Series(odd, dtype=pl.String)), counts


def _without_schemes(texts: pl.Series, bare: pl.Series) -> pl.Series:
    """Return texts without the schemes in front; of those that are plain, `bare` is that."""
    places, odd = _odd(texts)
    shown = pl.Series([without_schemes(text) for text in odd], dtype=pl.String)
    return bare.clone().scatter(places, shown)


def _odd(texts: pl.Series) -> tuple[pl.Series, list[str]]:
    """Return where a step may change something, and the texts there."""
    odd = ~texts.str.contains(PLAIN)
    return odd.arg_true(), texts.filter(odd).to_list()
