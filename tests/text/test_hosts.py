"""One form for one host, and junk as it is."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow.text import urls
from minnow.text.hosts import canonical_host

PUNYCODE = "xn--bcher7-3ya.de"


@pytest.mark.parametrize(
    "spelling",
    [
        *("bücher7.de", "BÜCHER7.DE", "bu\u0308cher7.de", "b\u00fccher7\u3002de", PUNYCODE),
        *(
            "\uff42ücher\uff17\uff0ede",
            "bücher7\uff61de",
            "bücher7.de.",
            "XN--BCHER7-3YA.de",
            "b%C3%BCcher7.de",
        ),
        *(
            "www.bücher7.de",
            "http://\uff57\uff57\uff57\uff0ebücher7.de:80",
            "bücher7.de\u3002",
            "b%c3%bccher7%E3%80%82de",
        ),
    ],
)
def test_one_host_has_one_key_and_one_domain(spelling: str) -> None:
    column = pl.Series([f"{spelling}/login"])
    assert urls.key(column).to_list() == [f"{PUNYCODE}/login"]
    hosts = urls.host(column).str.strip_prefix("www.")
    assert urls.registered_domain(hosts).to_list() == [PUNYCODE]


@pytest.mark.parametrize(
    ("plain", "spellings"),
    [
        (
            "xn--mgba3gch31f.com",
            [
                "\u0646\u0627\u0645\u0647\u0627\u06cc.com",
                "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com",
                "xn--mgba3gch31f060k.com",
                "%D9%86%D8%A7%D9%85%D9%87%E2%80%8C%D8%A7%DB%8C.com",
            ],
        ),
        ("xn--10cl1a0b.com", ["\u0dc1\u0dca\u200d\u0dbb\u0dd3.com", "XN--10CL1A0B660P.com"]),
        ("evil.com", ["ev\u200cil.com", "xn--evil-176a.com", "xn--\u200cevil-176a.com"]),
    ],
)
def test_joiners_make_no_other_host(plain: str, spellings: list[str]) -> None:
    """Cleaning removes them, and punycode hides them from it."""
    column = pl.Series([plain, *spellings])
    assert set(urls.key(column)) == set(urls.registered_domain(urls.host(column))) == {plain}


@pytest.mark.parametrize("host", ["xn--evil.com", "xn--.com", "xn--evil-.com", "xn--99999999.com"])
def test_what_is_no_punycode_stays_as_it_is(host: str) -> None:
    assert canonical_host(host) == host


@pytest.mark.parametrize(
    ("address", "spellings"),
    [
        ("127.0.0.1", ["127.0.0.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "127.1"]),
        ("127.0.0.1", ["127.000.000.001", "127.0.0.1.", "127.0.1", "127.0x.0.0x1", "127.1:080"]),
        (
            "127.0.0.1",
            ["\uff11\uff12\uff17\u30020.0.1", "%31%32%37.1", "%EF%BC%91%EF%BC%92%EF%BC%97.1"],
        ),
        ("255.255.255.255", ["4294967295", "0xffffffff", "255.0xffffff", "037777777777"]),
        ("[::1]", ["[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::1]:80", "[::0.0.0.1]"]),
        ("[::ffff:7f00:1]", ["[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:FFFF:7F00:1]"]),
    ],
)
def test_one_address_has_one_key_and_one_domain(address: str, spellings: list[str]) -> None:
    column = pl.Series([f"http://{spelling}/x" for spelling in spellings])
    assert set(urls.key(column)) == {f"{address}/x"}
    assert set(urls.registered_domain(urls.host(column))) == {address}


@pytest.mark.parametrize(
    "host",
    [
        *(
            "1.2.3.4.5",
            "256.1.1.1",
            "4294967296",
            "08.1",
            "1..2",
            "a.1",
            "0xg",
            "1.2.3.256",
        ),
        *("[::1::]", "[1:2]", "[::1", "[::1%25a]", "[]", "9" * 200),
    ],
)
def test_what_is_no_address_stays_as_it_is(host: str) -> None:
    assert canonical_host(host) == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("\uff11\uff12\uff17\u3002\uff10\uff0e\uff10\uff61\uff11", "127.0.0.1"),
        ("faß.de", "xn--fa-hia.de"),
        ("i❤.ws", "xn--i-7iq.ws"),
        ("a_b.é.fr", "a_b.xn--9ca.fr"),
        ("\u212a.com", "k.com"),
    ],
)
def test_hosts_by_hand(host: str, expected: str) -> None:
    assert canonical_host(host) == expected


@pytest.mark.parametrize(
    "junk",
    [
        *(
            "a\uff0fb.é",
            "\u2100.com",
            "a\uff1fé.com",
            "é.com\uff1a80",
            "é@b",
            "é b.com",
            "%ff.com",
            "%2f%2f.com",
        ),
        *("é" * 64 + ".com", "é." * 200, "\U0001f600" * 2_000, "\ue000.com", "\ufe0f", "%", "%zz"),
        *("", ".", "..", "\u3002", "\ud800.com"),
    ],
)
def test_junk_stays_as_it_is(junk: str) -> None:
    assert canonical_host(junk) == junk


def test_a_suffix_in_punycode_is_the_suffix_in_unicode() -> None:
    hosts = urls.host(pl.Series(["a.公司.cn", "b.xn--55qx5d.cn", "c.b.xn--55qx5d.cn"]))
    assert urls.registered_domain(hosts).to_list() == [
        "a.xn--55qx5d.cn",
        "b.xn--55qx5d.cn",
        "b.xn--55qx5d.cn",
    ]


PIECES = [
    "é",
    "ü",
    "%C3%BC",
    "%e3%80%82",
    "\u3002",
    "\uff0e",
    "\uff41",
    "\uff0f",
    "\uff1a",
    "\uff20",
    "\uff1f",
    "\ufe0f",
    "xn--",
    "ß",
]
PIECES += [
    "www.",
    "\uff57\uff57\uff57",
    ".",
    "/",
    ":",
    ":80",
    "@",
    "?",
    "#",
    "%3",
    "%",
    "34",
    "[",
    "]",
    "xn--evil-176a",
    "\u200c",
    "%E2%80%8D",
    "\\",
    "http",
    "\uff48ttp",
    "127.1",
    "0x7f",
    "[::1]",
    "017",
    ":080",
    "a",
    "B",
    "-",
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), max_size=30))
def test_a_key_is_its_own_key(texts: list[str]) -> None:
    keys = urls.key(pl.Series(texts, dtype=pl.String))
    assert urls.key(keys).to_list() == keys.to_list()
    assert urls.key("https://" + keys).to_list() == keys.to_list()


def test_escapes_nested_in_escapes_take_time_that_grows_with_their_number() -> None:
    """Round by round these 300,000 characters would take an hour."""
    assert urls.key(pl.Series(["a.b/" + "%3" * 150_000 + "4"])).to_list() == ["a.b/4"]
    assert urls.key(pl.Series(["a/%%341%2f%3%35%zz%"])).to_list() == ["a/A%2F5%zz%"]
