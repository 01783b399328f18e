"""URLs: hand-worked normal forms, and laws on junk."""

from random import Random

import polars as pl
import pytest

from minnow.text import urls


def column(*texts: str | None) -> pl.Series:
    return pl.Series("url", list(texts), dtype=pl.String)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://www.A.com:80/B/?#top", "a.com/B"),
        ("https://a.com:443", "a.com"),
        ("a.com:080/x", "a.com/x"),
        ("www.127.1/x", "127.0.0.1/x"),
        (r"http:\\a.com\x", "a.com/x"),
        (r"http:/\a.com/x", "a.com/x"),
        ("http:/a.com/x", "a.com/x"),
        ("HTTPS:a.com/x", "a.com/x"),
        (r"\\a.com\x\\", "a.com/x"),
        (r"a.com\x?y=\z", r"a.com/x?y=\z"),
        ("mailto:a@b.com", "mailto:a@b.com"),
        ("a.com:0/x", "a.com:0/x"),
        ("//a.com//", "a.com"),
        ("a.com?", "a.com"),
        ("a.com/x?q=1/", "a.com/x?q=1/"),
        ("a.com/x/?q=1", "a.com/x?q=1"),
        ("a.com/?u=http://b.com/?", "a.com?u=http://b.com/?"),
        ("%61.com/%2f%7e%zz", "a.com/%2F~%zz"),
        ("a.com./x", "a.com/x"),
        ("User@H.com:8080/x", "User@h.com:8080/x"),
        ("[::A]:443/", "[::a]"),
        ("www.com", "www.com"),
        ("www.www.a.com", "a.com"),
        ("http://https://a.com", "a.com"),
        ("a b.com /x", "a b.com /x"),
        ("", ""),
        (None, ""),
        ("http://", ""),
    ],
)
def test_key_by_hand(text: str | None, expected: str) -> None:
    assert urls.key(column(text)).to_list() == [expected]


def test_key_is_idempotent_and_blind_to_scheme_and_www_on_junk() -> None:
    pieces = [
        "http",
        "://",
        ":",
        "/",
        "//",
        "www",
        "www.",
        ".",
        "..",
        "@",
        "#",
        "?",
        "%",
        "%4",
        "1",
        "%341",
        "%2f",
    ]
    pieces += ["[", "]", "[::1]", ":80", ":443", "a", "B", "\\", "x.com", "K", "é", " ", "\n"]
    random = Random(0)
    junk = column(*("".join(random.choices(pieces, k=random.randrange(9))) for _ in range(100_000)))
    keys = urls.key(junk)
    assert urls.key(keys).to_list() == keys.to_list()
    assert urls.key("https://" + junk).to_list() == keys.to_list()
    assert urls.registered_domain(urls.host(junk)).null_count() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://paypal.com@Evil.com:8080/x?y@z", "evil.com"),
        ("[2001:DB8::1]:80/x", "[2001:db8::1]"),
        ("evil.com /x", "evil.com"),
        ("https://a.com?x=/b", "a.com"),
        ("a.com\\@b.com", "a.com"),
        (r"https:\\Evil.com\x", "evil.com"),
        ("http:evil.com:80/x", "evil.com"),
        ("/path", "path"),
        ("?x", ""),
        ("", ""),
    ],
)
def test_host_by_hand(text: str, expected: str) -> None:
    assert urls.host(column(text)).to_list() == [expected]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("www.example.co.uk", "example.co.uk"),
        ("x.a.github.io", "a.github.io"),
        ("b.github.io", "b.github.io"),
        ("github.io", "github.io"),
        ("co.uk", "co.uk"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]", "[::1]"),
        ("localhost", "localhost"),
        ("a.b.nosuchsuffix", "b.nosuchsuffix"),
        ("", ""),
    ],
)
def test_registered_domain_by_hand(host: str, expected: str) -> None:
    assert urls.registered_domain(column(host)).to_list() == [expected]


def test_split_scheme_leaves_no_scheme_behind() -> None:
    texts = column(
        "HTTP://a", "hxxps://b", "ftp://c", "http://https://d", "e.com/http://x", "mailto:f", ""
    )
    schemes, rest = urls.split_scheme(texts)
    assert schemes.to_list() == ["http", "hxxps", "ftp", "http", "", "", ""]
    assert rest.to_list() == ["a", "b", "c", "d", "e.com/http://x", "mailto:f", ""]


def test_columns_may_be_empty() -> None:
    assert (
        urls.key(column()).to_list() == urls.registered_domain(urls.host(column())).to_list() == []
    )


def test_private_suffixes_are_told_from_the_registries() -> None:
    hosts = [
        "me.github.io",
        "github.io",
        "a.web.app",
        "app",
        "a.com",
        "co.uk",
        "10.0.0.1",
        "",
        "me.github.io",
    ]
    private = urls.has_private_suffix(pl.Series("host", hosts))
    assert private.to_list() == [True, True, True, False, False, False, False, False, True]
