"""Params.yaml with one to three things wrong, the same ones for the same seed."""

import random
import re
from collections.abc import Callable, Iterator

# What may stand where a value stood: legal for one field or another, or for none.
VALUES = (
    *("null", "true", "yes", "~", "''", "[]", "{}", "[[]]", "[null]", "{a: 1}", "- 1", "|", ">"),
    *("0", "-1", "1", "0.5", "1e-4", "1.0e-4", "1.0e+308", "1.0e+400", ".inf", "-.inf", ".nan"),
    *("9" * 25, "9" * 5000, "0x" + "f" * 1000, "0b1", "0o7", "1_000", "1:30:00", "4294967296"),
    *("2024-02-30", "2024-02-28", "2024-02-28T25:00:00", "!!int abc", "!x y", "!!binary x", "!"),
    *("&a 1", "*a", "&a [*a]", "<<", "x" * 5000, "../../../etc", "/etc/passwd", "~/x", "a\\0b"),
    *(
        '"\\0"',
        '"\\ud800"',
        '"\\u202e"',
        "$(touch /tmp/mutant)",
        "`id`",
        "'; rm -rf x'",
        "${preset}",
    ),
    *("é" * 300, "a/" * 400, "hub", "file", "embedded", "teacher", "no_teacher", "random_split"),
    *(
        "[no_teacher, no_teacher]",
        "['../../victim']",
        "[0, 1, 2]",
        "[-1]",
        "[1.5]",
        "'5'",
        "'1e-4'",
    ),
)
JUNK = "\0\t\n\r :-#&*!|>'\"%@`{}[],?~\x1b\x85\u2028\ufeff\U0001f41f"


def mutants(text: str, seed: int, number: int) -> Iterator[str]:
    """Yield `number` documents made of one; the nth depends on text, seed and n alone."""
    for count in range(number):
        draw = random.Random(f"{seed} {count}")
        mutant = text
        for _ in range(draw.randint(1, 3)):
            mutant = draw.choice(CHANGES)(mutant, draw)
        yield mutant


def other_value(text: str, draw: random.Random) -> str:
    """Put another value behind a key."""
    places = list(re.finditer(r"(?m)^( *[a-z_0-9]+:) [^#\n]+", text))
    return _replaced(text, draw, places, lambda place: f"{place[1]} {draw.choice(VALUES)} ")


def other_key(text: str, draw: random.Random) -> str:
    """Put another key before a value."""
    places = list(re.finditer(r"(?m)^( *)([a-z_0-9]+):", text))
    keys = ("'5'", "5", "null", "yes", "<<", "preset", "? [a]", "x" * 5000, "../x", "''", "layers")
    return _replaced(
        text, draw, places, lambda place: f"{place[1]}{draw.choice([*keys, place[2][:-1]])}:"
    )


def other_letters(text: str, draw: random.Random) -> str:
    """Put junk in the place of up to three characters."""
    at = draw.randrange(len(text) + 1)
    junk = "".join(draw.choice(JUNK) for _ in range(draw.randint(0, 3)))
    return text[:at] + junk + text[at + draw.randint(0, 3) :]


def other_lines(text: str, draw: random.Random) -> str:
    """Leave a line out, write it twice, move it, or indent it otherwise."""
    lines = text.splitlines()
    at = draw.randrange(len(lines)) if lines else 0
    line = lines.pop(at) if lines else ""
    again = draw.choice(([], [line, line], [f"  {line}"], [line.strip()]))
    to = draw.choice((at, draw.randrange(len(lines) + 1)))
    return "\n".join([*lines[:to], *again, *lines[to:]]) + "\n"


def cut_short(text: str, draw: random.Random) -> str:
    """Leave the end out, as a full disk does."""
    return text[: draw.randrange(len(text) + 1)]


CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    *(other_value, other_value, other_value, other_key),
    *(other_letters, other_lines, cut_short),
)


def _replaced(
    text: str,
    draw: random.Random,
    places: list[re.Match[str]],
    new: Callable[[re.Match[str]], str],
) -> str:
    if not places:
        return text
    place = draw.choice(places)
    return text[: place.start()] + new(place) + text[place.end() :]
