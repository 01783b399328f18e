"""A column of texts is cleaned as one text is, character by character and step by step."""

from random import Random

import polars as pl
import pytest

from minnow.data.cleaning import OVER_COLUMN, cleaned
from minnow.text import cleaning, urls

# Each changes under cleaning; the last ones are those that data sets really hold.
DIRTY = [
    "http://example.org/",
    "HTTPS://http://example.org/a",
    " 'http://example.org/x y' ",
    '`"example.org/login"`',
    "exa\u200bmple.org/\x00path\x85",
    "example.org/?a=1&amp;amp;b=2&section=3&notit;&#38;&unknown;",
    "example.org/\ufffd\ufffdx",
    "\u00a0\u2003http:// example.org\u2028",
    "&quot;http://example.org&quot;",
    "http://",
    "",
]
# Of which nasty texts are made: halves of escapes, schemes and quotes, and what is invisible.
PIECES = [
    *("&", "&amp;", "&amp;amp;", "&#38;", "&#x26;", "&#0;", "&#xD800;", "&nbsp;", "&#\u0663;"),
    *("amp;", "&AMP;", "&not", "&notit;", "&\u212a;", "&#", "x26;", ";", "&quot;", "&apos;"),
    *("http://", "HTTPS://", "hxxp+1://", "\u017f://", "\u212attp://", "1a://", "://", ":", "/"),
    *("'", '"', "`", " ", "\t", "\n", "\r", "\x1c", "\x85", "\u00a0", "\u2003", "\u2028", "\u3000"),
    *("\ufffd", "\x00", "\x7f", "\u200b", "\u200d", "\ufeff", "\u202e", "\U000e0041", "\U0001d173"),
    *("a", "Z", "9", ".", "example.org", "?q=1", "#", "\u00e9", "\u0130", "\u00df", "\U0001f600"),
]


@pytest.mark.parametrize("move_scheme", [True, False])
def test_texts_are_cleaned_as_the_training_data_were(move_scheme: bool) -> None:
    rows = pl.DataFrame({"text": DIRTY, "label": [0] * len(DIRTY)})
    column, _ = cleaned(rows, move_scheme=move_scheme)
    assert [cleaning.normalise(text, move_scheme=move_scheme) for text in DIRTY] == column[
        "text"
    ].to_list()
    assert cleaning.normalise("HTTP://http://a.b/ 'c' ", move_scheme=True) == "a.b/ 'c"


def test_every_character_is_cleaned_as_in_the_training_data() -> None:
    """At both ends, in the middle, and in a scheme's place, for all of the basic plane."""
    letters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    texts = [f"{letter}http://a{letter}b.c{letter}" for letter in letters]
    column = pl.Series(texts, dtype=pl.String)
    for kind in cleaning.STEPS:
        column = OVER_COLUMN[kind](column)
    _, bare = urls.split_scheme(column)
    expected = OVER_COLUMN["quotes_and_blanks"](bare).to_list()
    found = [cleaning.normalise(text, move_scheme=True) for text in texts]
    assert [(repr(a), b, c) for a, b, c in zip(texts, found, expected, strict=True) if b != c] == []


def test_nasty_texts_are_cleaned_alike_in_one_and_in_a_column() -> None:
    random = Random(0)
    texts = ["".join(random.choices(PIECES, k=random.randrange(12))) for _ in range(2_000)]
    for move_scheme in (True, False):
        rows = pl.DataFrame({"text": texts, "label": [0] * len(texts)})
        column, counts = cleaned(rows, move_scheme=move_scheme)
        single = [cleaning.normalise(text, move_scheme=move_scheme) for text in texts]
        pairs = zip(texts, column["text"].to_list(), single, strict=True)
        assert [row for row in pairs if row[1] != row[2]] == []
    assert all(100 < counts[kind] < 2_000 for kind in cleaning.STEPS), "each has its share"


def test_each_step_counts_the_rows_that_it_changes() -> None:
    texts, expected = DIRTY, {}
    _, counts = cleaned(pl.DataFrame({"text": DIRTY, "label": 0}), move_scheme=True)
    for kind, step in cleaning.STEPS.items():
        after = [step(text) for text in texts]
        expected[kind] = sum(a != b for a, b in zip(texts, after, strict=True))
        texts = after
    assert {kind: counts[kind] for kind in cleaning.STEPS} == expected
    assert set(counts) == {*cleaning.STEPS, "scheme_moved"}
