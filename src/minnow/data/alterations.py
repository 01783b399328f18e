"""What an altered copy of a URL may differ in: another path, a typo, a brand in front. Pure."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Self, TypeVar

from minnow.data.url_parts import IPV4, Url

T = TypeVar("T")
# Alterations of one copy, at most.
ALTERATIONS = 3
# Draws that an alteration gets until it fits the URL.
TRIES = 8
HEX, LETTERS, DIGITS = "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz", "0123456789"
_RUNS = re.compile(r"[0-9a-f]{8,}|[0-9]+")
_BRAND = re.compile(r"[a-z]{4,15}")
# Looks alike, to a hasty eye.
TWINS = {
    "a": "4",
    "b": "8",
    "d": "cl",
    "e": "3",
    "g": "q",
    "i": "1",
    "l": "1",
    "m": "rn",
    "o": "0",
    "q": "g",
    "rn": "m",
    "s": "5",
    "t": "7",
    "u": "v",
    "v": "u",
    "vv": "w",
    "w": "vv",
    "z": "2",
    "0": "o",
    "1": "l",
}
KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


class Draw:
    """Random draws that depend on `parts` alone. Only `Random.random` is promised to stay the same
    across Pythons.
    """

    def __init__(self, *parts: object) -> None:
        digest = blake2b(repr(parts).encode(), digest_size=8).digest()
        self.random = Random(int.from_bytes(digest, "big")).random

    def below(self, end: int) -> int:
        """Return a number from 0 to `end` - 1."""
        return int(self.random() * end)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.below(len(items))]


@dataclass(frozen=True)
class Pool:
    """What alterations may borrow: URLs, and their parts as often as they occur; sorted, so that no
    order tells.
    """

    urls: Sequence[Url]
    labels: Sequence[str]
    brands: Sequence[str]
    suffixes: Sequence[str]
    segments: Sequence[str]
    parameters: Sequence[str]

    @classmethod
    def of(cls, urls: Iterable[Url]) -> Self:
        """Gather the parts of some URLs; a brand is a registered name of 4 to 15 letters and
        nothing else.
        """
        all_urls = sorted(urls, key=lambda url: url.text)
        return cls(
            all_urls,
            sorted(label for url in all_urls for label in url.labels),
            sorted(url.name for url in all_urls if url.suffix and _BRAND.fullmatch(url.name)),
            sorted(url.suffix for url in all_urls if url.suffix),
            sorted(segment for url in all_urls for segment in url.segments[1:] if segment),
            sorted(pair for url in all_urls for pair in url.query or () if pair),
        )


# Alterations: each returns the URL altered, or None where it does not fit.
Alteration = Callable[[Url, Draw, Pool], Url | None]


def other_path(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Take path, query and fragment from another URL."""
    tail = draw.pick(pool.urls).tail
    return url.with_tail(tail) if len(tail) > 1 else None


def other_host(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Take the host from another URL."""
    other = draw.pick(pool.urls)
    return replace(url, labels=other.labels, name=other.name, suffix=other.suffix, port=other.port)


def subdomain(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Add, drop or exchange a sub-domain."""
    if not url.suffix:
        return None
    labels = _edited(url.labels, draw, pool.labels)
    return None if labels is None else replace(url, labels=labels)


def path_segment(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Add, drop or exchange a segment of the path; a slash at its end stays there."""
    closed = url.segments[1:] and url.segments[-1] == ""
    segments = _edited(url.segments[1:-1] if closed else url.segments[1:], draw, pool.segments)
    if segments is None:
        return None
    return replace(url, segments=("", *segments, *([""] if closed or not segments else [])))


def parameter(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Add, drop or exchange a parameter of the query."""
    query = _edited(url.query or (), draw, pool.parameters)
    if query is None:
        return None
    return replace(
        url, query=query or None, segments=url.segments if url.segments[1:] else ("", "")
    )


def numbers(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Draw the digits of a run of digits or hex digits anew, or one number of an IP address."""
    if IPV4.fullmatch(url.name) and draw.below(2):
        octets = url.name.split(".")
        octets[draw.below(4)] = str(1 + draw.below(254))
        return replace(url, name=".".join(octets))
    runs = list(_RUNS.finditer(url.tail))
    if not runs:
        return None
    run = draw.pick(runs)
    drawn = "".join(draw.pick(DIGITS if digit in DIGITS else HEX[10:]) for digit in run[0])
    return url.with_tail(url.tail[: run.start()] + drawn + url.tail[run.end() :])


def other_suffix(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Exchange the public suffix, such as .com."""
    if not url.suffix or not pool.suffixes:
        return None
    return replace(url, suffix=draw.pick(pool.suffixes))


def typo(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Leave out or double a letter of the registered name, or put a neighbour on the keyboard or a
    look-alike there.
    """
    places = [at for at, letter in enumerate(url.name) if letter in LETTERS]
    if not url.suffix or len(places) < 3:
        return None
    at = draw.pick(places)
    letter = url.name[at]
    instead = draw.pick(["", letter * 2, _neighbour(letter, draw)])
    if draw.below(2):  # as often as all others: it is what is seen most
        at, letter = draw.pick(
            [(at, twin) for twin in TWINS for at in _occurrences(twin, url.name)] or [(at, letter)]
        )
        instead = TWINS.get(letter, instead)
    return replace(url, name=url.name[:at] + instead + url.name[at + len(letter) :])


def case(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Write a segment of the path in upper case, in lower case, or with a capital."""
    places = [at for at, segment in enumerate(url.segments) if segment.upper() != segment.lower()]
    if not places:
        return None
    at, write = draw.pick(places), draw.pick([str.upper, str.lower, str.capitalize])
    return replace(
        url, segments=(*url.segments[:at], write(url.segments[at]), *url.segments[at + 1 :])
    )


def truncation(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Cut off what follows some place behind the host."""
    return url.with_tail(url.tail[: draw.below(len(url.tail))]) if len(url.tail) > 1 else None


def brand(url: Url, draw: Draw, pool: Pool) -> Url | None:
    """Add another site's name: as a sub-domain, to the registered name, or as the path's first
    segment.
    """
    if not url.suffix or not pool.brands:
        return None
    name = draw.pick(pool.brands)
    ways = [
        replace(url, labels=(name, *url.labels)),
        replace(url, name=f"{name}-{url.name}"),
        replace(url, name=f"{url.name}-{name}"),
        replace(url, segments=("", name, *url.segments[1:])),
    ]
    return draw.pick(ways)


OPERATIONS: Sequence[Alteration] = (
    other_path,
    other_host,
    subdomain,
    path_segment,
    parameter,
    numbers,
    other_suffix,
    typo,
    case,
    truncation,
    brand,
)


def altered(url: Url, draw: Draw, pool: Pool) -> Url:
    """Return the URL after 1 to `ALTERATIONS` alterations, fewer where none fits; it may come out
    as it was.
    """
    for _ in range(1 + draw.below(ALTERATIONS)):
        for _ in range(TRIES):
            changed = draw.pick(OPERATIONS)(url, draw, pool)
            if changed is not None:
                url = changed
                break
    return url


def _edited(items: Sequence[str], draw: Draw, more: Sequence[str]) -> tuple[str, ...] | None:
    """Add one of `more` to the items, drop an item, or exchange one for one of `more`; None where
    that cannot be.
    """
    way = draw.below(3)
    if (way != 1 and not more) or (way != 0 and not items):
        return None
    at = draw.below(len(items) + 1 if way == 0 else len(items))
    new = () if way == 1 else (draw.pick(more),)
    return (*items[:at], *new, *items[at + (way != 0) :])


def _neighbour(letter: str, draw: Draw) -> str:
    row = next(keys for keys in KEYBOARD if letter in keys)
    at = row.index(letter)
    return draw.pick([row[near] for near in (at - 1, at + 1) if 0 <= near < len(row)])


def _occurrences(part: str, text: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(part), text)]
