"""URLs in parts, and which texts are URLs."""

import pytest

from helpers.urls import ODD, TRAIN, parsed
from minnow.data.url_parts import Url, well_formed


@pytest.mark.parametrize("text", [*ODD, *TRAIN["text"].head(60)])
def test_parts_put_together_are_the_url(text: str) -> None:
    url = parsed(text)
    host = url.text[len(url.scheme + url.user) : len(url.text) - len(url.port + url.tail)]
    assert host == host.lower()
    assert url.text.replace(host, host.lower(), 1) == text.replace("EXAMPLE", "example")
    assert url.with_tail(url.tail) == url


def test_parts_by_hand() -> None:
    assert parsed("http://user:pw@www.a.example.co.uk:81/p//q/?x=1&y#top") == Url(
        "http://",
        "user:pw@",
        ("www", "a"),
        "example",
        ".co.uk",
        ":81",
        ("", "p", "", "q", ""),
        ("x=1", "y"),
        "#top",
    )
    assert parsed("10.0.0.1/") == Url("", "", (), "10.0.0.1", "", "", ("", ""), None, "")
    assert parsed("me.github.io") == Url("", "", (), "me", ".github.io", "", ("",), None, "")


@pytest.mark.parametrize(
    "host",
    [
        *("evil\u3002com", "b\u00fccher\u3002de", "a.evil\uff0ecom", "www.evil\uff61com"),
        *("\u00e9.co\u3002uk", ".evil\u3002com", "\u00e9.com.", "\u00e9%2ecom"),
    ],
)
def test_a_host_with_another_full_stop_stays_whole(host: str) -> None:
    assert parsed(f"http://{host}:80/x").name == host
    assert parsed(f"http://{host}:80/x").text == f"http://{host}:80/x"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("example.com", True),
        ("a_b.example.com:80/x?y#z", True),
        ("http://10.0.0.1/x", True),
        ("[2001:db8::1]/x", True),
        ("пример.рф/путь", True),
        ("example.com/?u=http://b.com", True),
        ("", False),
        ("/only/path", False),
        ("a..b.com", False),
        ("-a.com", False),
        ("a-.com", False),
        (f"{'a' * 64}.com", False),
        ("a.com:99999/", False),
        ("a.com:port/", False),
        ("a.com/x y", False),
        ("a.com/\x00", False),
        ("[1:2", False),
        (f"a.com/{'x' * 2000}", False),
    ],
)
def test_well_formed(text: str, good: bool) -> None:
    assert well_formed(text) is good
