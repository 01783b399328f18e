"""A column of texts cleaned as `text.cleaning` cleans one, with the number of rows each step
changed.
"""

import html
import re
from collections.abc import Callable
from html.entities import html5

import polars as pl

from minnow.text import urls

ENTITY = r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"


# Cleaning
def _unescaped(texts: pl.Series) -> pl.Series:
    """Resolve HTML escapes, doubled ones too; without a `;` nothing is one (`&section=` is a
    parameter).
    """

    def resolve(match: re.Match[str]) -> str:
        known = match[0].startswith("&#") or match[0][1:] in html5
        return html.unescape(match[0]) if known else match[0]

    def unescape(text: str) -> str:
        while (resolved := re.sub(ENTITY, resolve, text)) != text:
            text = resolved
        return text

    escaped = texts.str.contains(ENTITY)
    rows = [unescape(text) for text in texts.filter(escaped).to_list()]
    return texts.clone().scatter(escaped.arg_true(), pl.Series(rows, dtype=pl.String))


def _trimmed(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"^[\s'\"`]+|[\s'\"`]+$", "")


CLEANING: dict[str, Callable[[pl.Series], pl.Series]] = {
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
    for kind, clean in CLEANING.items():
        before, texts = texts, clean(texts)
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
