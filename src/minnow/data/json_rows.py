"""JSON into rows: an object a line, one after another, or an array of them."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import polars as pl

from minnow.data.columns import Wanted, require_columns
from minnow.errors import MinnowError, shortened

BEGINNING = re.compile(rb"\s*(\{|\[\s*\{)")
BLANK = re.compile(r"\s*")
SURROGATE = re.compile("[\ud800-\udfff]")


def _missing(_: str) -> None:
    """Stand for NaN and Infinity, which JSON lacks and Python writes for what is missing."""


TWICE = object()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object in which a key that stands twice has no value: of two, which is meant?"""
    built = dict(pairs)
    if len(built) < len(pairs):
        built |= {
            key: TWICE for key, count in Counter(key for key, _ in pairs).items() if count > 1
        }
    return built


# Numbers stay the text that they are, which they become anyway; so 5,000 digits do no harm.
DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=_missing
)


def json_rows(text: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the wanted columns as strings; what an object lacks is null, and so are NaN and
    Infinity.

    Args:
        text: in UTF-8.
        wanted: which columns.
        name: how errors name the file.

    Raises:
        MinnowError: names the first record that is no JSON, no object, or holds more than text,
        numbers, true, false and null where these are needed; or a column is missing everywhere.
    """
    columns: dict[str, list[str | None]] = {key: [] for key in wanted.named.values()}
    first: dict[str, Any] = {}
    found: set[str] = set()
    for number, record in enumerate(_records(text.decode(), name), 1):
        if not isinstance(record, dict):
            raise MinnowError(
                f"{name}: record {number} is no object; give one a line, such as"
                f" {json.dumps(dict.fromkeys(columns, '...'))}"
            )
        first = first or record
        for key, values in columns.items():
            values.append(_text(record.get(key), key, number, name))
            if key in record:
                found.add(key)
    if first:
        require_columns([*first, *(found - first.keys())], wanted, name)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _records(text: str, name: str) -> Iterator[Any]:
    at = _next(text, 0)
    try:
        if text.startswith("[", at):
            records, at = DECODER.raw_decode(text, at)
            yield from records
            if _next(text, at) < len(text):
                raise MinnowError(f"{name}: something follows the array's end; remove it")
            return
        while at < len(text):
            record, end = DECODER.raw_decode(text, at)
            yield record
            at = _next(text, end)
    except json.JSONDecodeError as error:
        raise MinnowError(
            f"{name} cannot be read as jsonl: line {error.lineno}, character {error.colno}:"
            f" {error.msg}; mend that line (it begins {_line(text, error.pos)})"
        ) from None
    except RecursionError:
        line = text.count("\n", 0, at) + 1
        raise MinnowError(
            f"{name}: the JSON of line {line} is nested too deep; remove that line"
        ) from None


def _next(text: str, at: int) -> int:
    """Return where the next thing begins that is not blank."""
    blank = BLANK.match(text, at)
    assert blank is not None
    return blank.end()


def _line(text: str, at: int) -> str:
    start = text.rfind("\n", 0, at) + 1
    return repr(shortened(text[start : start + 100].split("\n")[0], 40))


def _text(value: Any, key: str, number: int, name: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Half a character, which JSON can spell and no text can hold.
        return SURROGATE.sub("\ufffd", value) if SURROGATE.search(value) else value
    if value is TWICE:
        raise MinnowError(
            f"{name}: column '{key}' stands twice in record {number}; remove one of the two"
        )
    kind = "a list" if isinstance(value, list) else "an object"
    raise MinnowError(
        f"{name}: column '{key}' holds {kind} in record {number}; text or numbers are needed"
    )
