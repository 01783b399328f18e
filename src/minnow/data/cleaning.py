"""The steps of `text.cleaning` over a column of texts, with the number of rows each one changed."""

from collections.abc import Callable

import polars as pl

from minnow.text import urls
from minnow.text.cleaning import ENDS, ENTITY, STEPS, unescaped


def _unescaped(texts: pl.Series) -> pl.Series:
    """Resolve HTML escapes in the few rows that hold any."""
    escaped = texts.str.contains(ENTITY)
    rows = [unescaped(text) for text in texts.filter(escaped).to_list()]
    return texts.clone().scatter(escaped.arg_true(), pl.Series(rows, dtype=pl.String))


def _trimmed(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(ENDS, "")


# By the names of STEPS; a column holds no surrogates.
OVER_COLUMN: dict[str, Callable[[pl.Series], pl.Series]] = {
    "html_escapes": _unescaped,
    "undecodable_bytes": lambda texts: texts.str.replace_all("\ufffd", "", literal=True),
    "control_characters": lambda texts: texts.str.replace_all(r"[\p{Cc}\p{Cf}]", ""),
    "quotes_and_blanks": _trimmed,
}


def cleaned(rows: pl.DataFrame, *, move_scheme: bool) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean `text`, add `scheme`, `key` and `domain`, and count the rows that each kind of cleaning
    changed.
    """
    texts = rows["text"].fill_null("")
    counts = {}
    for kind in STEPS:
        before, texts = texts, OVER_COLUMN[kind](texts)
        counts[kind] = int((before != texts).sum())
    schemes, bare = urls.split_scheme(texts)
    counts["scheme_moved"] = int((schemes != "").sum()) if move_scheme else 0
    return (
        rows.with_columns(
            (_trimmed(bare) if move_scheme else texts).alias("text"),
            (schemes if move_scheme else pl.lit("")).alias("scheme"),
            urls.key(texts).alias("key"),
            urls.registered_domain(urls.host(texts)).alias("domain"),
        ),
        counts,
    )
