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

# From here on the card of a release shows this file as it is.
ENTITY = r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"
ENDS = r"^[\s'\"`]+|[\s'\"`]+$"
SCHEMES = r"^(?:[A-Za-z][A-Za-z0-9+-]*://)+"


def unescaped(text: str) -> str:
    """Resolve HTML escapes, doubled ones too; without a `;` nothing is one (`&section=`)."""

    def resolved(match: re.Match[str]) -> str:
        known = match[0].startswith("&#") or match[0][1:] in html5
        return html.unescape(match[0]) if known else match[0]

    while (plain := re.sub(ENTITY, resolved, text)) != text:
        text = plain
    return text


def without_undecodable(text: str) -> str:
    """Remove what stands for bytes that no character was found for."""
    return text.replace("\ufffd", "")


def without_controls(text: str) -> str:
    """Remove control, format and surrogate characters."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))


def without_quotes(text: str) -> str:
    """Remove blanks and quotes at both ends."""
    return re.sub(ENDS, "", text)


STEPS = {
    "html_escapes": unescaped,
    "undecodable_bytes": without_undecodable,
    "control_characters": without_controls,
    "quotes_and_blanks": without_quotes,
}


def normalise(text: str, *, move_scheme: bool) -> str:
    """Return a text cleaned as those that the model was trained on."""
    for step in STEPS.values():
        text = step(text)
    return without_quotes(re.sub(SCHEMES, "", text)) if move_scheme else text
