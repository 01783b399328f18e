"""How one text is cleaned, in training and wherever the model is used: `normalise`.

For any text it takes time linear in the text's length, and a cleaned text is cleaned to itself.
"""

import html
import re
from html.entities import html5

# What `normalise` does, in words, for whoever writes it anew in another language.
CLEANING = (
    "remove U+FFFD, the control, format and surrogate characters (Unicode Cc, Cf, Cs), and what"
    " HTML escapes make of these",
    "resolve HTML escapes that end with a semicolon, until none is left; after 4 rounds remove"
    " every & instead",
    "trim blanks and quotes at both ends, and < with > where the text begins with <",
    "undo what makes a URL safe to show (hxxp://, [:]//, [.], (dot), a dot between blanks, its"
    " brackets also escaped, as %5B, or wide signs): the scheme in front, what stands around the"
    " host, and brackets around it all; in path and query, schemes there too, only where scheme or"
    " host was altered",
)
MOVE_SCHEME = "take off the scheme in front (http://, also more than once) and trim again"

# From here on the card of a release shows this file as it is.
INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f]+"
)
ASCII_CONTROLS = dict.fromkeys([*range(0x20), 0x7F])
BLANKS = " \t\n\r\x0b\x0c\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
ENDS = BLANKS + "'\"`\u2018\u2019\u201c\u201d\xab\xbb"
AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*38|#[xX]0*26);)+")
NUMBER = re.compile(r"#(?:0*([0-9]{1,7})|[xX]0*([0-9A-Fa-f]{1,6}))")
TOO_LARGE = re.compile(r"#(?:[0-9]+|[xX][0-9A-Fa-f]+)")
ROUNDS = 4
MOST_ESCAPES = 10_000
FLAGS = re.ASCII | re.IGNORECASE  # with Unicode's case folding U+017F would be an s
OPEN, CLOSED, EITHER = r"[\[({<]", r"[\])}>]", r"[\[\](){}<>]"
ODD = rf"(?!http)h(?:\.{{2,3}}|{EITHER}*+(?:[tx*_+#~^@%-]{EITHER}*+){{2,3}})p"
KNOWN = "http|xxxx|meow|f[tx*_]p"
SECURE = rf"{CLOSED}*+(?:_?{OPEN}?s{CLOSED}*+)?"
SLASHES = rf"[\\^/]{{1,3}}(?:{EITHER}*+[\\^/]{{1,3}})?"
AFTER_ODD = (  # such a name is a sign on its own: what marks it off may be bent as well
    rf"(?:[ ]?{OPEN}*+:{EITHER}*+[ ]?{SLASHES}|//){CLOSED}*+"
)
AFTER_KNOWN = rf"[ ]?{OPEN}*+:{EITHER}*+[ ]?[\\^]?/{EITHER}*+[\\^]?/{CLOSED}*+"
BENT = rf"(?:{ODD}{SECURE}{AFTER_ODD}|(?:{KNOWN}){SECURE}{AFTER_KNOWN})"
ALTERED = f"{OPEN}*+{BENT}"
ANY = "[A-Za-z][A-Za-z0-9+-]*+://"
SCHEMES = re.compile(  # from the first bracket of a row alone: from each, a row takes its square
    f"(?<!{OPEN})(?P<altered>{ALTERED})|{ANY}", FLAGS
)
FRONT = re.compile(f"(?:[{ENDS}<]|{ANY}|{ALTERED})*+", FLAGS)
INNER = re.compile(rf"(?<!\w)(?P<altered>{BENT})", FLAGS)
LONGEST = 2_000  # no site's name is longer, and no row of schemes that somebody made safe to show
NEAR = 2 * LONGEST  # what of a text is searched for such signs
HOST_ENDS = re.compile("[/?#]")
SIGNS = re.compile(r"[][(){}<>\\^ ]")
BRACKETED = re.compile(
    rf"[ ]?{OPEN}(?<!{OPEN}{OPEN})(?<!{OPEN}[ ]{OPEN})[ ]?(?:{OPEN}[ ]?)*+"
    r"(?P<mark>[.,:@\u3002\uff0e\uff61]|%2e|dot|point|ponto|punto|punkt|at|:?(?:\\?/){1,2})"
    rf"(?:[ ]?{CLOSED})++[ ]?",
    FLAGS,
)
HALF_BRACKETED = re.compile(rf"{OPEN}(?<!{OPEN}{OPEN}){OPEN}*+\.{CLOSED}*|\.{CLOSED}++")
DOT_IN_WORDS = re.compile(" (?:dot|punto|punkt) ", FLAGS)
DOT_IN_BLANKS = re.compile(r"(?<=\w) \. (?=\w)")
FIRST_DOT_ESCAPED = re.compile(r"[^.\\^]*[\\^]++\.")
ESCAPED = re.compile(r"[\\^](?<![\\^]{2})[\\^]*+(?=[./])")
IPV6 = re.compile(r"\[[0-9a-f.]*:[0-9a-f:.]*\]", FLAGS)
D_FOR_DOT = re.compile(rf"(?<=\w){OPEN}++d{CLOSED}++(?=\w)", re.IGNORECASE)
UNKNOWN_WORD = re.compile(rf"(?<=\w){OPEN}++\w++{CLOSED}++(?=\w)")
WIDE = "\uff3b\uff3d\uff08\uff09\uff5b\uff5d\uff1c\uff1e\u3010\u3011\u3014\u3015\uff1a\uff0f\uff3c"
NARROW = str.maketrans(WIDE, "[](){}<>[][]:/\\")
PERCENT_BRACKET = re.compile("%5(?:(b)|d)", re.IGNORECASE)
BEFORE_BRACKET = re.compile(rf"(?<![\\^])[\\^]++(?=({EITHER}|:))")
BRACKETS = str.maketrans("", "", "[](){}<>")
NOTHING_LEFT = str.maketrans("", "", "[](){}<>\\^:&/%" + WIDE)


class Escapes(dict[str, str]):
    """What stands between two `&`, with and without the escape that it may begin with."""

    def __missing__(self, piece: str) -> str:
        name, semicolon, rest = piece.partition(";")
        known = escaped_sign(name) if semicolon else None
        self[piece] = "&" + piece if known is None else known + rest
        return self[piece]


def escaped_sign(name: str) -> str | None:
    """Return what an escape stands for, without what is invisible; None where it is none."""
    number = NUMBER.fullmatch(name)
    if number is None and TOO_LARGE.fullmatch(name):
        return ""
    if number is not None:  # int refuses thousands of digits, be they zeros
        name = f"#{number[1]}" if number[1] else f"#x{number[2]}"
    elif name + ";" not in html5:
        return None
    return without_controls(without_undecodable(html.unescape(f"&{name};")))


def unescaped(text: str) -> str:
    """Resolve HTML escapes, nested ones too; without a `;` nothing is one (`&section=`).

    No `&` or `;` stands inside an escape, so no two overlap, and any order gives the same text.
    What is still nested after `ROUNDS` rounds, or has more than `MOST_ESCAPES`, is no accident: it
    loses every `&`.
    """
    for _ in range(ROUNDS):
        if "&" not in text or ";" not in text:
            return text
        before, text = text, AMPERSANDS.sub("&", text)
        if text.count("&") > MOST_ESCAPES:
            break
        first, *pieces = text.split("&")
        text = first + "".join(map(Escapes().__getitem__, pieces))
        if text == before:
            return text
    return text.replace("&", "")


def without_undecodable(text: str) -> str:
    """Remove what stands for bytes that no character was found for."""
    return text.replace("\ufffd", "")


def without_controls(text: str) -> str:
    """Remove control, format and surrogate characters."""
    if text.isprintable():
        return text
    return text.translate(ASCII_CONTROLS) if text.isascii() else "".join(INVISIBLE.split(text))


def without_quotes(text: str) -> str:
    """Remove blanks and quotes at both ends; angle brackets too where the text begins with one."""
    text = text.strip(ENDS)
    return text.strip(ENDS + "<>") if text.startswith("<") else text


def refanged(text: str) -> str:
    """Undo what makes a URL safe to show: `hxxps[:]//a[.]b` is `https://a.b`.

    Real URLs have such signs too: `[::1]` as host, `?a[.]=1` in a query. So a colon between
    brackets alone counts, and path and query change only where scheme or host was altered.
    """
    for _ in range(ROUNDS):
        before, text = text, without_quotes(undone(text))
        if text == before:
            return text
    return without_quotes(DOT_IN_WORDS.sub(".", text.translate(NOTHING_LEFT)))


def undone(text: str) -> str:
    """Undo one layer, in scheme, host and rest."""
    shown = in_plain_signs(text[:NEAR]) + text[NEAR:]
    front, rest = split_front(shown)
    if len(front) > LONGEST:
        return text[len(front) :]
    plain = SCHEMES.sub(plain_scheme, front)
    if plain == front and not host_altered(rest, with_scheme="://" in front):
        return text
    path = len(front) + len(host_of(rest)) + 1  # the slash before it may be a wide one
    rest = shown[len(front) : path] + text[path:]
    return plain + plain_rest(with_slashes(front, unwrapped(front, rest)))


def in_plain_signs(text: str) -> str:
    """Write brackets, colons and slashes in ASCII, one sign for one, so that all keep their place.

    A backslash that escapes one becomes a bracket too, as if there were two.
    """
    text = text.translate(NARROW)
    text = PERCENT_BRACKET.sub(lambda match: "[[[" if match[1] else "]]]", text)
    return BEFORE_BRACKET.sub(lambda match: match[1].replace(":", "]") * len(match[0]), text)


def unwrapped(front: str, rest: str) -> str:
    """Take off the brackets at the end that belong to those which the front opens."""
    for opening, closing in ("[]", "()", "{}", "<>"):
        if front.count(opening) > front.count(closing):
            rest = rest.removesuffix(closing)
    return rest


def with_slashes(front: str, rest: str) -> str:
    """Write backslashes as slashes where they do for those of the scheme (`hxxp:\\\\a.b\\c`)."""
    if not front.rstrip("])}>").endswith("\\\\"):
        return rest
    return rest[:NEAR].replace("\\", "/") + rest[NEAR:]


def plain_rest(rest: str) -> str:
    """Undo what stands around host and path, and the schemes within the path."""
    near, far = rest[:NEAR], rest[NEAR:]
    near = ESCAPED.sub("", BRACKETED.sub(plain_mark, near))
    host = host_of(near)
    return plain_host(host) + INNER.sub(plain_scheme, near[len(host) :]) + far


def split_front(text: str) -> tuple[str, str]:
    """Return the schemes in front, with the quotes among them, and the rest."""
    end = FRONT.match(text).end()  # type: ignore[union-attr]
    return text[:end], text[end:]


def host_of(rest: str) -> str:
    """Return what stands before path, query and fragment."""
    end = HOST_ENDS.search(rest)
    return rest if end is None else rest[: end.start()]


def plain_scheme(match: re.Match[str]) -> str:
    """Return a scheme as it was before it was altered; one that was not, as it is."""
    if match["altered"] is None:
        return match[0]
    name = match[0].lstrip("[({<").lower()
    plain = ("ftp" if name[0] == "f" else "http") + ("s" if "s" in name else "")
    return match[0] if match[0].lower() == plain + "://" else plain + "://"


def plain_mark(match: re.Match[str]) -> str:
    """Return the sign that stood between brackets, or was a word there."""
    mark = match["mark"].lower().replace("\\", "")
    return mark if mark[0] in ":/@" else "@" if mark == "at" else "."


def host_altered(rest: str, *, with_scheme: bool) -> bool:
    """Return whether the host in front was altered; without a scheme, ` . ` may end a sentence."""
    host = host_of(rest)
    if len(host) > LONGEST or not SIGNS.search(host):
        return False
    bracketed = BRACKETED.search(rest, 0, len(host) + 4)  # also one around the slash after it
    return bool(
        (bracketed and bracketed.start() < len(host))
        or HALF_BRACKETED.search(host)
        or DOT_IN_WORDS.search(host)
        or (with_scheme and DOT_IN_BLANKS.search(host))
        or FIRST_DOT_ESCAPED.match(host)
    )


def plain_host(host: str) -> str:
    """Return a host that was altered without brackets, but for those of an IPv6 address.

    Those around a word that may stand for anything stay too: without them it makes another name.
    """
    host = D_FOR_DOT.sub(".", in_blanks(HALF_BRACKETED.sub(".", host)))
    kept = "&" in host or IPV6.search(host)  # what becomes neighbours must not make an HTML escape
    kept = kept or UNKNOWN_WORD.search(host)
    return host if kept else host.translate(BRACKETS)


def in_blanks(host: str) -> str:
    """Undo a dot between blanks, as a word and as itself."""
    return DOT_IN_BLANKS.sub(".", DOT_IN_WORDS.sub(".", host))


def without_schemes(text: str) -> str:
    """Take off all schemes in front, and what quotes the rest."""
    front, rest = split_front(text)
    return rest.rstrip(ENDS + (">" if "<" in front else ""))


STEPS = {
    "undecodable_bytes": without_undecodable,
    "control_characters": without_controls,
    "html_escapes": unescaped,
    "quotes_and_blanks": without_quotes,
    "defanged": refanged,
}


def normalise(text: str, *, move_scheme: bool) -> str:
    """Return a text cleaned as those that the model was trained on."""
    for step in STEPS.values():
        text = step(text)
    return without_schemes(text) if move_scheme else text
