"""One text, step by step."""

import pytest

from minnow.text import cleaning


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("html_escapes", "a?b=1&amp;amp;c=2", "a?b=1&c=2"),
        ("html_escapes", "a?b&section=3&notit;&unknown;", "a?b&section=3&notit;&unknown;"),
        ("html_escapes", "&#38;&#x26;", "&&"),
        ("undecodable_bytes", "a\ufffd\ufffdb", "ab"),
        ("control_characters", "a\x00\u200b\udcffb\n", "ab"),
        ("quotes_and_blanks", " '`\"a' b\"\u00a0", "a' b"),
    ],
)
def test_a_step_by_hand(step: str, text: str, expected: str) -> None:
    assert cleaning.STEPS[step](text) == expected


def test_quotes_that_were_escaped_are_trimmed_too() -> None:
    text = "&quot;http://https://example.org&quot;"
    assert cleaning.normalise(text, move_scheme=True) == "example.org"
    assert cleaning.normalise(text, move_scheme=False) == "http://https://example.org"
