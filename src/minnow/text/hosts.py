"""One form for one host: Unicode and punycode, full-width letters and other full stops.

Only key and domain take this form. The model sees what was written, since letters that look like
others are a sign of phishing.
"""

import re
from urllib.parse import unquote

import idna

# DNS allows no more characters: what is longer is no host.
LONGEST_HOST = 253
# A letter takes up to 12 characters as percent-escapes.
MOST_CHARACTERS = 12 * LONGEST_HOST
# What a host of a browser never has: delimiters, which a letter may stand for (`℀` for `a/c`).
FORBIDDEN = re.compile(r"[\x00-\x20\x7f#/:<>?@\[\\\]^|%]")


def canonical_host(host: str) -> str:
    """Return a host as ASCII in lower case, by UTS 46; what is no host stays as it is.

    Labels that IDNA 2008 forbids, such as emoji, are written in punycode too: browsers find them.
    Percent-escapes are decoded; dots at both ends go.
    """
    if len(host) > MOST_CHARACTERS:
        return host
    try:
        mapped = idna.uts46_remap(unquote(host, errors="strict"), std3_rules=False)
        ascii_host = ".".join(map(_ascii_label, mapped.split(".")))
    except (UnicodeError, idna.IDNAError):
        return host
    named = ascii_host.strip(".")
    return host if not named or len(named) > LONGEST_HOST or FORBIDDEN.search(named) else named


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    if len(label) > 63:
        raise idna.IDNAError("a label is too long")
    return "xn--" + label.encode("punycode").decode("ascii")
