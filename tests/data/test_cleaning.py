"""A column of texts is cleaned as one text is: what a release does with a text is what training
did.
"""

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minnow.data import synthetic
from minnow.data.cleaning import PLAIN, cleaned
from minnow.text import cleaning

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
    "hxxps://exa[.]mple[.]org/a",
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
    *("hxxps", "h**p", "meow", "[:]", "[", "]", "(", "}", "<", ">", "[.]", "[dot]", " dot ", "\\"),
    *("&#11", "&#50;", "&am", "p;", "^", "@", "[at]", ",", "%", "*", "\u3002", "\u201c"),
    *("%5B", "%5d", "5B", "\uff3b", "\u3011", "\uff1a", "\uff0f", "h[tt]p", "[d]", "//", "hxxp//"),
    *("a", "Z", "9", ".", "example.org", "?q=1", "#", "\u00e9", "\u0130", "\u00df", "\U0001f600"),
]


TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), st.text())
UNICODE_TEXTS = TEXTS.filter(lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text))


def as_a_column(texts: list[str], *, move_scheme: bool) -> list[str]:
    """Return texts as `prepare` cleans them."""
    rows, _ = cleaned(pl.DataFrame({"text": texts}), move_scheme=move_scheme)
    return rows["text"].to_list()


def one_by_one(texts: list[str], *, move_scheme: bool) -> list[str]:
    """Return texts as a release cleans them."""
    return [cleaning.normalise(text, move_scheme=move_scheme) for text in texts]


@pytest.mark.parametrize("move_scheme", [True, False])
def test_texts_are_cleaned_as_the_training_data_were(move_scheme: bool) -> None:
    texts = DIRTY + synthetic.generate(500, seed=0, label_noise=0.0)[0]
    assert as_a_column(texts, move_scheme=move_scheme) == one_by_one(texts, move_scheme=move_scheme)


@pytest.mark.parametrize("move_scheme", [True, False])
def test_every_character_is_cleaned_as_in_the_training_data(move_scheme: bool) -> None:
    """At both ends, in the middle, and in a scheme's place, for all of the basic plane."""
    letters = [chr(code) for code in range(0x10000) if not 0xD800 <= code < 0xE000]
    texts = [f"{sign}http{sign}://a{sign}b.c{sign}" for sign in letters]
    assert as_a_column(texts, move_scheme=move_scheme) == one_by_one(texts, move_scheme=move_scheme)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(UNICODE_TEXTS, max_size=20), st.booleans())
def test_any_texts_are_cleaned_alike_in_one_and_in_a_column(texts: list[str], move: bool) -> None:
    assert as_a_column(texts, move_scheme=move) == one_by_one(texts, move_scheme=move)


@settings(max_examples=1_500, deadline=None, derandomize=True)
@given(TEXTS, st.booleans())
@example("&[amp;[dot]b", False)
@example("[.]'a", False)
@example("hxxp://a[.]b/h**p://c", True)
def test_a_cleaned_text_is_cleaned_to_itself(text: str, move: bool) -> None:
    once = cleaning.normalise(text, move_scheme=move)
    assert cleaning.normalise(once, move_scheme=move) == once


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.from_regex("(?:http(?:s)?://)?[A-Za-z0-9.]{0,9}(?::80)?(?:[/?#][!-~]{0,20})?"))
def test_a_plain_text_needs_no_step(text: str) -> None:
    if pl.Series([text]).str.contains(PLAIN).item():
        assert cleaning.normalise(text, move_scheme=False) == text


def test_each_step_counts_the_rows_that_it_changes() -> None:
    texts, expected = DIRTY, {}
    _, counts = cleaned(pl.DataFrame({"text": DIRTY, "label": 0}), move_scheme=True)
    for kind, step in cleaning.STEPS.items():
        after = [step(text) for text in texts]
        expected[kind] = sum(a != b for a, b in zip(texts, after, strict=True))
        texts = after
    assert {kind: counts[kind] for kind in cleaning.STEPS} == expected
    assert all(expected.values()), "each has its share"
    assert set(counts) == {*cleaning.STEPS, "scheme_moved"}
