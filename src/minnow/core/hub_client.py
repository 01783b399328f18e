"""How the Hub is spoken to: how long we wait, where the token goes, which answers are refused.

huggingface_hub lets its HTTP client be replaced. Ours adds what the library leaves open: a time
limit on every request and on the listing as a whole, a least speed, a longest pause, and names that
stay within the cache.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
from huggingface_hub import constants, get_session, set_client_factory
from huggingface_hub.utils import get_token  # type: ignore[attr-defined]  # not exported, but public
from huggingface_hub.utils._http import default_client_factory

from minnow.core.hub_pace import keep_pace
from minnow.errors import MinnowError, listed, reason

TIMEOUT_S = 10.0  # to connect, and for the next byte
LONGEST_PAUSE_S = 60
# More than any listing of a repository needs, in all its pages.
MOST_QUESTIONS, MOST_BYTES_OF_ANSWER, LONGEST_LISTING_S = 1_000, 100_000_000, 600.0
COMMIT = re.compile("[0-9a-f]{40}")
ENTITY = re.compile(r'(W/)?"?[\w+=-][\w.+=-]*"?')
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
WAIT = ("retry-after", "ratelimit")


def install_client() -> None:
    """Let huggingface_hub speak through our client.

    Raises:
        MinnowError: the token cannot be sent, or a proxy that the environment names cannot be used.
    """
    logging.getLogger("huggingface_hub").setLevel(
        logging.CRITICAL
    )  # what matters of it we say in a line
    check_token(get_token())
    set_client_factory(client)
    get_session()  # now, since the library swallows in some places what is wrong with it


def check_token(token: str | None) -> None:
    """Refuse a token that no header can carry; the library would print it in its error.

    Raises:
        MinnowError: it holds anything but visible ASCII characters.
    """
    if token and not all("!" <= letter <= "~" for letter in token):
        raise MinnowError(
            "the token for the Hugging Face Hub (HF_TOKEN, or the file that `hf auth login` wrote)"
            " holds a blank or another character that no token has: set it anew"
        )


def client() -> httpx2.Client:
    """Return a client with limits.

    Raises:
        MinnowError: a proxy or certificates that the environment names cannot be used.
    """
    try:
        made = default_client_factory()
    except (ImportError, ValueError, httpx2.InvalidURL):
        named = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
        raise MinnowError(
            f"a proxy that {listed(named) or 'the environment'} names cannot be used: give"
            " http://HOST:PORT or https://HOST:PORT (socks5:// needs the package socksio), or unset"
            " it"
        ) from None
    except OSError as error:
        if error.filename and error.filename == os.environ.get("SSLKEYLOGFILE"):
            raise MinnowError(
                f"the file that SSLKEYLOGFILE names cannot be written ({reason(error)}): name"
                " another, or unset it"
            ) from None
        raise MinnowError(
            f"the certificates that SSL_CERT_FILE names cannot be read ({reason(error)}): name a"
            " file of certificates in PEM, or unset it"
        ) from None
    made.timeout = httpx2.Timeout(TIMEOUT_S)
    keep_pace(made)
    guard = _Guard()
    made.event_hooks = {
        "request": [*made.event_hooks["request"], guard.asking],
        "response": [guard.answered],
    }
    return made


class _Guard:
    """What every request and every answer of a client passes."""

    def __init__(self) -> None:
        self.questions, self.listing_s = 0, 0.0

    def asking(self, request: httpx2.Request) -> None:
        """Shorten what is waited for, and keep the token from other hosts: a listing may name
        another host for its next page.
        """
        request.extensions = {
            "about files": "/api/" in request.url.path,  # a redirect keeps what stood here before
            **request.extensions,
            "timeout": httpx2.Timeout(TIMEOUT_S).as_dict(),
            "asked": time.monotonic(),
        }
        if origin(str(request.url)) != origin(constants.ENDPOINT):
            request.headers.pop("authorization", None)

    def answered(self, response: httpx2.Response) -> None:
        """Refuse what would make us wait for long, or write outside the cache; bound the rest."""
        pause = pause_of(response)
        if pause > LONGEST_PAUSE_S:
            raise MinnowError(
                f"the Hub asks for a pause of {pause:,} s; run it again then, or run `hf auth"
                " login`: it lets those whom it knows ask more often"
            )
        headers = response.headers
        commit = headers.get("x-repo-commit")
        names = [headers[name] for name in ("x-linked-etag", "etag") if name in headers]
        if commit is not None and not (
            COMMIT.fullmatch(commit) and all(map(ENTITY.fullmatch, names))
        ):
            raise MinnowError(f"the Hub names a file in a way that is refused;{look_at_the_way()}")
        if response.request.extensions["about files"] or "next" in response.links:
            self.bound(response)

    def bound(self, response: httpx2.Response) -> None:
        """Bound a page of a listing: whatever its address is, it has a next one or was asked for
        as one.
        """
        self.questions += 1
        if self.questions > MOST_QUESTIONS:
            raise MinnowError(
                f"the Hub's listing has no end after {MOST_QUESTIONS} pages;{look_at_the_way()}"
            )
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Bounded(response.stream, self, response.request.extensions["asked"])


class _Bounded(httpx2.SyncByteStream):
    """The body of a page, which must end, and with all other pages in time."""

    def __init__(self, stream: httpx2.SyncByteStream, guard: _Guard, asked: float) -> None:
        self.stream, self.guard, self.asked = stream, guard, asked

    def __iter__(self) -> Iterator[bytes]:
        whole = 0
        for piece in self.stream:
            whole += len(piece)
            if whole > MOST_BYTES_OF_ANSWER:
                raise MinnowError(f"the Hub's answer has no end;{look_at_the_way()}")
            if self.guard.listing_s + time.monotonic() - self.asked > LONGEST_LISTING_S:
                raise MinnowError(
                    f"the Hub has not listed its files within {LONGEST_LISTING_S:,.0f} s: run it"
                    " again later, or on a better connection"
                )
            yield piece

    def close(self) -> None:
        self.guard.listing_s += time.monotonic() - self.asked
        self.stream.close()


def origin(address: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port of an address."""
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def pause_of(response: httpx2.Response) -> int:
    """Return for how many seconds an answer that refuses asks us to wait, 0 if it does not."""
    if response.status_code < 400:
        return 0
    retry, limit = (response.headers.get(name, "") for name in WAIT)
    found = re.search(r"\bt\s*=\s*(\d{1,9})", limit) if re.search(r"\br\s*=\s*0\b", limit) else None
    asked = [int(retry)] if re.fullmatch(r"\d{1,9}", retry.strip()) else []
    return max([*asked, int(found[1]) if found else 0])


def look_at_the_way() -> str:
    """Return what to look at where answers cannot be the Hub's."""
    return (
        f" {urlsplit(constants.ENDPOINT).netloc or constants.ENDPOINT!r} does not answer as the Hub"
        " does: open it in a browser (the network may want you to sign in), and look at HF_ENDPOINT"
        " and the proxy"
    )
