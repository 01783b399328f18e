"""One text: step by step, made safe to show and back, and hostile in time that grows with its
length.
"""

import time
import unicodedata

import pytest

from minnow.text import cleaning
from minnow.text.display import defanged


@pytest.mark.parametrize(
    ("step", "text", "expected"),
    [
        ("html_escapes", "a?b=1&amp;amp;c=2", "a?b=1&c=2"),
        ("html_escapes", "a?b&section=3&notit;&unknown;", "a?b&section=3&notit;&unknown;"),
        ("html_escapes", "&#38;&#x26;", "&&"),
        ("html_escapes", "&amp;#38;AMP;quot;&#x000041;", '"A'),
        ("html_escapes", "&am&#112;;lt;", "<"),
        ("html_escapes", "a&#8203;&#xD800;&#0;&zwnj;b&#150;", "ab–"),
        ("html_escapes", f"a&#{'9' * 5_000};&#{'0' * 5_000}66;", "aB"),
        ("html_escapes", f"a&#{'9' * 5_000}", f"a&#{'9' * 5_000}"),
        ("html_escapes", "&#\u0663;&\u212a;", "&#\u0663;&\u212a;"),
        ("undecodable_bytes", "a\ufffd\ufffdb", "ab"),
        ("control_characters", "a\x00\u200b\udcffb\n", "ab"),
        ("quotes_and_blanks", " '`\"a' b\"\u00a0", "a' b"),
        ("quotes_and_blanks", "<'\u201ca.b/<i>\u201d>'", "a.b/<i"),
        ("quotes_and_blanks", "a.b/<i>", "a.b/<i>"),
    ],
)
def test_a_step_by_hand(step: str, text: str, expected: str) -> None:
    assert cleaning.STEPS[step](text) == expected


def test_quotes_that_were_escaped_are_trimmed_too() -> None:
    text = "&quot;http://https://example.org&quot;"
    assert cleaning.normalise(text, move_scheme=True) == "example.org"
    assert cleaning.normalise(text, move_scheme=False) == "http://https://example.org"


def test_what_is_removed_is_what_unicode_calls_invisible() -> None:
    """A Unicode that is older than the list knows a few of them as unassigned."""
    for sign in map(chr, range(0x110000)):
        invisible = unicodedata.category(sign) in ("Cc", "Cf", "Cs")
        removed = cleaning.INVISIBLE.fullmatch(sign) is not None
        assert removed == invisible or (removed and unicodedata.category(sign) == "Cn"), hex(
            ord(sign)
        )


def test_every_blank_is_trimmed() -> None:
    for sign in map(chr, range(0x110000)):
        if sign.isspace():
            assert cleaning.normalise(f"{sign}a{sign}", move_scheme=True) == "a", hex(ord(sign))


# --- Made safe to show ----------------------------------------------------------------------------

WHOLE = "https://login.evil.com/x.php"
HOST = "login.evil.com/x.php"


@pytest.mark.parametrize(
    "text",
    [
        *("hxxps://login.evil.com/x.php", "hXXps://login[.]evil[.]com/x.php"),
        *("HXXPS://login(.)evil{.}com/x.php", "h**ps://login.evil.com/x[.]php"),
        *("h__ps://login<.>evil.com/x.php", "hxxp[s]://login[.]evil.com/x.php"),
        *("https[:]//login.evil.com/x.php", "https[://]login.evil.com/x.php"),
        *("https:[//]login.evil.com/x.php", "https[:][/][/]login.evil.com/x.php"),
        *("[https]://login.evil.com/x.php", "htt[p]s://login.evil.com/x.php"),
        *("https:\\/\\/login.evil.com\\/x.php", "https://login\\.evil\\.com/x\\.php"),
        *("https://login^.evil^.com/x.php", "https://login[dot]evil(DOT)com/x.php"),
        *("https://login dot evil dot com/x.php", "https://login[ . ]evil[punkt]com/x.php"),
        *("https://login[.evil.]com/x.php", "https://login[[.]]evil[(.)]com/x.php"),
        *("https://[login][.]evil[.com]/x.php", "https://login[,]evil.com/x.php"),
        *("https://login[.]evil[.]com[/]x[.]php", "https://login[\u3002]evil.com/x.php"),
        *("xxxxs://login.evil.com/x.php", "<hxxps://login[.]evil[.]com/x.php>"),
        *("'hxxps://login[.]evil[.]com/x.php'", "\u201chxxps://login.evil.com/x.php\u201d"),
        *("hxxps://login&#91;.&#93;evil.com/x.php", "hx\u200bxps://login[.]evil.com/x.php"),
        # As Markdown, a command line and a query escape it
        *(r"hxxps://login\[.\]evil\[.\]com/x.php", r"hxxps\[:\]//login\[.\]evil\[.\]com/x.php"),
        *(r"https\[:\]//login.evil.com/x.php", r"hxxps\://login\.evil\.com/x.php"),
        *("hxxps^:^/^/login^.evil^.com^/x.php", r"hxxps:\\login[.]evil[.]com\x.php"),
        *(r"hxxps[:]\\login[.]evil[.]com\x.php", "https://login%5b%2E%5Devil.com/x.php"),
        "hxxps%5B:%5D//login%5B.%5Devil%5B.%5Dcom/x.php",
        # With blanks, and what marks the scheme off bent
        *("hxxps://login [.] evil [.] com/x.php", "login [dot] evil (dot) com/x.php"),
        *("https://login [.]evil[.] com/x.php", "hxxps: //login.evil.com/x.php"),
        *("https ://login[.]evil[.]com/x.php", "hxxps:/login[.]evil[.]com/x.php"),
        *("hxxps//login.evil.com/x.php", "https://login . evil . com/x.php"),
        *("hxxps://login . evil[.]com/x.php", "login . evil[.]com/x.php"),
        *("h..ps://login.evil.com/x.php", "h...ps//login[.]evil . com/x.php"),
        # With wide signs
        *("hxxps://login\u3010.\u3011evil.com/x.php", "https://login\uff3b.\uff3devil.com/x.php"),
        *("https://login\uff08.\uff09evil.com/x.php", "hxxps\uff1a//login.evil.com/x.php"),
        *(
            "hxxps\uff1a\uff0f\uff0flogin.evil.com\uff0fx.php",
            "https[\uff1a]//login.evil.com/x.php",
        ),
        # Schemes and words that are less usual, and brackets around it all
        *("h[tt]ps://login.evil.com/x.php", "h[xx]ps://login.evil.com/x.php"),
        *("[h]ttps://login.evil.com/x.php", "(h)ttps://login.evil.com/x.php"),
        *("hxxp_s://login.evil.com/x.php", "h@@ps://login.evil.com/x.php"),
        *("h%%ps://login.evil.com/x.php", "hxxps://login[point]evil[ponto]com/x.php"),
        *("hxxps://login[d]evil[d]com/x.php", "[hxxps://login.evil.com/x.php]"),
        *("(https://login[.]evil[.]com/x.php)", "{hxxps://login.evil.com/x.php}"),
    ],
)
def test_every_usual_way_is_undone(text: str) -> None:
    whole = WHOLE if text[:5] != "login" else HOST
    assert cleaning.normalise(text, move_scheme=False) == whole
    assert cleaning.normalise(text, move_scheme=True) == HOST


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fxp://a[.]b/x", "ftp://a.b/x"),
        ("meow://a.b", "http://a.b"),
        ("user[@]evil[.]com", "user@evil.com"),
        ("user(at)evil[dot]com/x", "user@evil.com/x"),
        ("1[.]2[.]3[.]4[:]8080/x", "1.2.3.4:8080/x"),
        ("2001[:]db8[:]0[:]0[:]0[:]0[:]0[:]1", "2001:db8:0:0:0:0:0:1"),
        ("hxxp://[::1]/x", "http://[::1]/x"),
        ("hxxp://http://h**p://a.b", "http://http://http://a.b"),
        ("hxxps[://]a[.]com/r?u=hxxps[://]c[.]d/x", "https://a.com/r?u=https://c.d/x"),
        ("hxxp://login[verify]evil[.]com", "http://login[verify]evil.com"),
        ("hxxp://a[.]b/x\uff08y\uff09%5B1%5D", "http://a.b/x\uff08y\uff09%5B1%5D"),
        ("(hxxp://a[.]b/x_(y))", "http://a.b/x_(y)"),
        ("hxxp://a[.]b/x_(y)", "http://a.b/x_(y)"),
    ],
)
def test_other_schemes_and_hosts_are_undone_too(text: str, expected: str) -> None:
    assert cleaning.normalise(text, move_scheme=False) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://a.b/?a[.]=1&x(dot)y",
            "a.b/x[.]y{.}z",
            "http://[::1]/x",
            "[::]:80",
            "[::ffff:1.2.3.4]",
        ),
        *("http://a.b/hxxp://c[.]d", "http://a.b/\\.git", "http://a.b\\.git", "http://a.b/ dot c"),
        *("HTTPS://A.b", "{domain}/x", "http://a-dot-b.appspot.com/x", "a.b/?u=http[:]//c.d"),
        *(
            "https://dot.com",
            "ftp://a.b",
            "http\u017f://a.b",
            "\u212attp://a.b",
            "a(1)@b.c",
            "h..p",
        ),
        *("a.b#x[.]y", "http:///x", "a.b/<br>", "xn--a.b", r"http:\\a.b\x", "http:/a.b/x"),
        *(
            "http:a.b",
            "https//a.b",
            "meow//a.b",
            "a.b//hxxp//c",
            "a.b/x%5B.%5D",
            "https\uff1a//a.b",
        ),
        *(
            "a.b/\uff08x\uff09",
            "a\uff08x\uff09.b",
            r"a.b\:80",
            "[x](http://a.b)",
            "login[d]evil.com",
            *("a . b", "http://a.b. c", "http://a.b .c", "http://a.b/x . y", "h.t.p//x", "h.p//x"),
        ),
    ],
)
def test_real_urls_with_such_signs_stay(text: str) -> None:
    assert cleaning.normalise(text, move_scheme=False) == text


@pytest.mark.parametrize(
    "text", ["https://a.b.c/x.php?y=1", "http://1.2.3.4:80/x", "a.b", "ftp://a.b/x", "a.b:80/x"]
)
def test_what_minnow_itself_makes_safe_to_show_is_undone(text: str) -> None:
    shown = defanged(text)
    assert shown != text
    assert cleaning.normalise(shown, move_scheme=False) == text


# --- Hostile texts --------------------------------------------------------------------------------

HOSTILE = {
    "blanks inside": lambda size: "a" + " " * size + "b",
    "nested &amp;": lambda size: "&" + "amp;" * (size // 4) + "lt;",
    "escapes within escapes": lambda size: "&#5&#4" * (size // 8) + "8;" + ";" * (size // 4),
    "many escapes": lambda size: "".join(f"&#{number};" for number in range(1_000, size // 7)),
    "one escape of digits": lambda size: "&#" + "9" * size + ";",
    "&": lambda size: "&" * size,
    "&#": lambda size: "&#" * (size // 2),
    "invisible": lambda size: "a\u200b" * (size // 2),
    "surrogates": lambda size: "\udcff" * size,
    "letters": lambda size: "h" * size,
    "emoji": lambda size: "\U0001f600" * size,
    "dots": lambda size: "." * size,
    "@": lambda size: "@" * size,
    "slashes": lambda size: "/" * size,
    "backslashes": lambda size: "\\" * size,
    "%25": lambda size: "%25" * (size // 3),
    "brackets": lambda size: "[" * size,
    "brackets around a dot": lambda size: "[" * (size // 2) + "." + "]" * (size // 2),
    "brackets and blanks": lambda size: "[ " * (size // 2),
    "dots in brackets": lambda size: "[.]" * (size // 3),
    "hxxp:// and brackets": lambda size: "hxxp://" + "[" * size,
    "hxxp:// and dots in brackets": lambda size: "hxxp://" + "[.]" * (size // 3),
    "dot in words": lambda size: " dot " * (size // 5),
    "dots in blanks": lambda size: "http://a" + " . a" * (size // 4),
    "dots in a scheme": lambda size: "h..p://" * (size // 7),
    "angle brackets": lambda size: "<" * (size // 2) + ">" * (size // 2),
    "quotes": lambda size: "'" * size,
    "schemes": lambda size: "hxxp://" * (size // 7),
    "escaped brackets": lambda size: "hxxp://a" + "\\[" * (size // 2),
    "percent-escaped brackets": lambda size: "hxxp://a" + "%5B" * (size // 3),
    "schemes in the path": lambda size: "hxxp://a/" + "/hxxp:" * (size // 6),
    "wide schemes": lambda size: "hxxp\uff1a\uff0f" * (size // 6),
    "letters in brackets": lambda size: "hxxp://a" + "[a]" * (size // 3),
    "brackets within a scheme": lambda size: "h[t" * (size // 3),
    "schemes in quotes": lambda size: "a://'" * (size // 5),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_texts_take_time_that_grows_with_their_length(kind: str) -> None:
    """Four times as much takes four times as long; with the square of the length it would be
    sixteen times, and minutes at this length. Measured: under 0.02 s each.
    """
    text = HOSTILE[kind](400_000)
    start = time.process_time()
    once = cleaning.normalise(text, move_scheme=True)
    assert time.process_time() - start < 1
    assert cleaning.normalise(once, move_scheme=True) == once


def test_a_row_of_brackets_is_tried_once_as_a_scheme() -> None:
    """From each of them anew these 100,000 would take half a minute."""
    row = "<" * 100_000 + "x"
    start = time.process_time()
    assert cleaning.SCHEMES.search(row) is None
    assert time.process_time() - start < 1


def nested(sign: str, depth: int) -> str:
    """Return an escape whose last digit is an escape whose last digit is one, and so on."""
    code = str(ord(sign))
    return f"&#{code[:-1]}{nested(code[-1], depth - 1)};" if depth else sign


def test_escapes_nested_too_deep_lose_every_ampersand() -> None:
    """What happens by accident, escapes escaped again and again as `&amp;amp;`, takes one round."""
    assert cleaning.unescaped(nested("2", 3) + "a&b") == "2a&b"
    assert "&" not in cleaning.unescaped(nested("2", 9) + "a&b")
    assert cleaning.unescaped("&" * 10_001 + "lt;") == "lt;"
    assert cleaning.unescaped("&" * 9_999 + "&lt;") == "&" * 9_999 + "<"
