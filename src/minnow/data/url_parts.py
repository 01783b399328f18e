"""A URL taken apart and put together again, and whether a text is a URL at all. Pure."""

import re
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlsplit

from minnow.text.hosts import canonical_host

LONGEST = 2_000
IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+-]*://")
_PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+-]*://)?(?P<user>[^/?#@]*@)?"
    r"(?P<host>\[[^\]/?#]*\]|[^/?#:]*)(?P<port>[^/?#]*)(?P<tail>.*)",
    re.DOTALL,
)
_TAIL = re.compile(r"(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>.*)", re.DOTALL)
_LABEL = r"(?!-)[\w-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61]")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Url:
    """A URL in parts; `text` puts them together again.

    `labels` are the sub-domains, `name` and `suffix` (with its dot) make up the registered domain;
    an IP address is all `name`. Scheme, user, port and fragment keep what marks them off.
    `segments` are the path's, between slashes: the first is empty wherever there is a path. `query`
    is None without a question mark.
    """

    scheme: str
    user: str
    labels: tuple[str, ...]
    name: str
    suffix: str
    port: str
    segments: tuple[str, ...]
    query: tuple[str, ...] | None
    fragment: str

    @classmethod
    def of(cls, text: str, domain: str) -> Self:
        """Take a URL apart, given its registered domain; its host comes out in lower case."""
        parts = _PARTS.fullmatch(text)
        assert parts is not None, "every part may be empty"
        host = parts["host"].lower()
        labels, name, suffix = _in_labels(host, domain)
        url = cls(
            parts["scheme"] or "",
            parts["user"] or "",
            labels,
            name,
            suffix,
            parts["port"],
            ("",),
            None,
            "",
        )
        return url.with_tail(parts["tail"])

    @property
    def tail(self) -> str:
        """What follows host and port."""
        query = "" if self.query is None else "?" + "&".join(self.query)
        return "/".join(self.segments) + query + self.fragment

    def with_tail(self, tail: str) -> Self:
        """Return the URL with another path, query and fragment."""
        parts = _TAIL.fullmatch(tail)
        assert parts is not None, "every part may be empty"
        query = None if parts["query"] is None else tuple(parts["query"][1:].split("&"))
        return replace(
            self, segments=tuple(parts["path"].split("/")), query=query, fragment=parts["fragment"]
        )

    @property
    def text(self) -> str:
        """The URL."""
        host = ".".join([*self.labels, self.name]) + self.suffix
        return self.scheme + self.user + host + self.port + self.tail


def _in_labels(host: str, domain: str) -> tuple[tuple[str, ...], str, str]:
    """Return a host's sub-domains, the name that was registered, and the suffix with its dot.

    A domain is in its one form (`text.hosts`), a host as it was written. Where their labels are not
    the same ones, as with another full stop (`a。com`), the host stays whole: it is all name.
    """
    plain = host if host.isascii() else canonical_host(host)
    inside = plain == domain or plain.endswith("." + domain)
    if not inside or "." not in domain or IPV4.fullmatch(domain) or not _same_labels(host, plain):
        return (), host, ""
    registered = domain.count(".") + 1
    *labels, name = (parts := host.split("."))[: len(parts) - registered + 1]
    return tuple(labels), name, "." + ".".join(parts[len(parts) - registered + 1 :])


def _same_labels(host: str, plain: str) -> bool:
    """Return whether the dots of a host as written are those of its one form."""
    return host.count(".") == plain.count(".") and not _OTHER_DOTS.search(host)


def well_formed(text: str) -> bool:
    """Return whether a URL, with a scheme or without, has a host by the rules, no blanks, and a
    port that is one.
    """
    if _UNPRINTABLE.search(text) or len(text) > LONGEST:
        return False
    try:
        parts = urlsplit(text if _SCHEME.match(text) else "//" + text)
        _ = parts.port  # raises unless it is a number up to 65,535
    except ValueError:
        return False
    host = parts.hostname or ""
    return ":" in host or _HOST.fullmatch(host) is not None
