"""How one text is cleaned, in training and wherever the model is used."""

import html
import re
import unicodedata
from html.entities import html5

# What `normalise` does, in words, for whoever writes it anew in another language.
CLEANING = (
    "resolve HTML escapes that end with a semicolon, until none is left",
    "remove U+FFFD and the control, format and surrogate characters (Unicode Cc, Cf, Cs)",
    "trim blanks and the quotes ' \" ` at both ends",
)
MOVE_SCHEME = "take off the scheme in front (http://, also more than once) and trim again"


def normalise(text: str, *, move_scheme: bool) -> str:
    """Return a text cleaned as those that the model was trained on."""

    def resolved(found: re.Match[str]) -> str:
        known = found[0].startswith("&#") or found[0][1:] in html5
        return html.unescape(found[0]) if known else found[0]

    def trimmed(text: str) -> str:
        return re.sub(r"^[\s'\"`]+|[\s'\"`]+$", "", text)

    while (plain := re.sub(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);", resolved, text)) != text:
        text = plain
    unwanted = ("Cc", "Cf", "Cs")
    text = trimmed(
        "".join(c for c in text if c != "\ufffd" and unicodedata.category(c) not in unwanted)
    )
    return trimmed(re.sub(r"^(?:[A-Za-z][A-Za-z0-9+-]*://)+", "", text)) if move_scheme else text
