"""Text that comes from the data, made safe to look at: nothing invisible, nothing endless, no
address to follow.
"""

import re

# What is put in a letter's place that has no shape of its own or turns its neighbours round.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS = "…"
URL_LIMIT = 140
# A scheme with its slashes, the host after it if any, and the rest. Browsers take backslashes too,
# or none.
SCHEME = r"https?:[/\\]*|[a-z][a-z0-9+.\-]*:[/\\]{2}"
PARTS = re.compile(
    rf"(?P<scheme>{SCHEME})?(?P<host>[^/?#\\]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL
)
HTTP = re.compile(r"http(?=s?:)", re.IGNORECASE)
# The full stops that browsers take for the dot of a host.
DOTS = re.compile(
    "[.\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH FULL STOP}\N{HALFWIDTH IDEOGRAPHIC FULL STOP}]"
)


def plain(text: str, limit: int = 60) -> str:
    """Return `text` without control and direction characters, with its middle left out beyond
    `limit` characters.
    """
    visible = "".join(letter if letter.isprintable() else REPLACEMENT for letter in text)
    if len(visible) <= limit:
        return visible
    tail = limit // 4
    return visible[: limit - tail - 1] + ELLIPSIS + visible[-tail:]


def defanged(url: str, limit: int = URL_LIMIT) -> str:
    """Return a URL that nobody can follow by mistake: `hxxp`, and `[.]` for each dot of the host;
    also without scheme.

    Schemes within the rest, where a redirect names its target, lose their `tt` too.
    """
    parts = PARTS.fullmatch(url)
    assert parts is not None, "every part may be empty, so every text matches"
    scheme = HTTP.sub("hxxp", parts["scheme"] or "")
    if scheme and not scheme.lower().startswith("hxxp"):
        scheme = scheme.replace(":", "[:]")
    host = DOTS.sub("[.]", parts["host"]).replace(":", "[:]" if not scheme else ":")
    return plain(scheme + host + HTTP.sub("hxxp", parts["rest"]), limit)
