"""One form for one host: Unicode and punycode, full-width letters, other full stops, and addresses.

Only key and domain take this form. The model sees what was written, since letters that look like
others are a sign of phishing.
"""

import re
from ipaddress import IPv6Address
from urllib.parse import unquote

import idna

# DNS allows no more characters: what is longer is no host.
LONGEST_HOST = 253
# A letter takes up to 12 characters as percent-escapes.
MOST_CHARACTERS = 12 * LONGEST_HOST
# What a host of a browser never has: delimiters, which a letter may stand for (`℀` for `a/c`).
FORBIDDEN = re.compile(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]")
# As hosts a key would take these for schemes.
SCHEMES = ("http", "https")
IPV6 = re.compile(r"\[([0-9a-f:.]+)\]")
# What each label of an IPv4 address is: decimal, octal or hexadecimal.
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# Joiners, which browsers write in punycode and `cleaning` removes.
JOINERS = str.maketrans("", "", "\u200c\u200d")
PUNYCODE = re.compile("xn--(.{1,59})")
# What a host in lower case has that may not be its one form: one without any of these is.
ODD = r"[^\x00-\x7f]|%[0-9a-f]{2}|^\[|(?:^|\.)(?:xn--|(?:0x[0-9a-f]*|[0-9]+)$)"


def canonical_host(host: str) -> str:
    """Return a host as ASCII in lower case, by UTS 46; what is no host stays as it is.

    Labels that IDNA 2008 forbids, such as emoji, are written in punycode too: browsers find them.
    Percent-escapes are decoded; dots at both ends go. An IP address is written as browsers do.
    """
    if host.startswith("["):
        return _ipv6(host)
    if len(host) > MOST_CHARACTERS:
        return host
    try:
        mapped = idna.uts46_remap(unquote(host, errors="strict"), std3_rules=False)
        ascii_host = ".".join(map(_ascii_label, mapped.split(".")))
    except (UnicodeError, idna.IDNAError):
        return host
    named = ascii_host.strip(".")
    if not named or len(named) > LONGEST_HOST or FORBIDDEN.search(named) or named in SCHEMES:
        return host
    return _ipv4(named) or named


def _ascii_label(label: str) -> str:
    label = _without_joiners(label)
    if label.isascii():
        return label
    if len(label) > 63:
        raise idna.IDNAError("a label is too long")
    return "xn--" + label.encode("punycode").decode("ascii")


def _without_joiners(label: str) -> str:
    """Drop joiners, from punycode as well; what is no punycode stays."""
    label = label.translate(JOINERS)
    written = PUNYCODE.fullmatch(label)
    try:
        name = written[1].encode("ascii").decode("punycode") if written else label
    except UnicodeError:
        return label
    plain = name.translate(JOINERS)
    # What was hidden may be punycode again.
    return label if plain == name else _without_joiners(plain)


def _ipv6(host: str) -> str:
    inside = IPV6.fullmatch(host)
    try:
        address = IPv6Address(inside[1] if inside else "")
    except ValueError:
        return host
    if address.ipv4_mapped is None:
        return f"[{address.compressed}]"
    high, low = divmod(int(address.ipv4_mapped), 1 << 16)  # Python 3.13 would write it with dots
    return f"[::ffff:{high:x}:{low:x}]"


def _ipv4(host: str) -> str | None:
    """Return an IPv4 address, of one to four numbers (`127.1`, `0x7f.1`), as four; None where it is
    none.
    """
    labels = host.split(".")
    if len(labels) > 4 or not all(map(NUMBER.fullmatch, labels)):
        return None
    try:
        *first, last = map(_number, labels)
    except ValueError:  # an 8 or 9 among octal digits
        return None
    if max(first, default=0) > 255 or last >= 256 ** (4 - len(first)):
        return None
    octets = bytes(first) + last.to_bytes(4 - len(first), "big")
    return ".".join(map(str, octets))


def _number(label: str) -> int:
    """Read a number as browsers do: hexadecimal after `0x`, octal after `0`."""
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)
