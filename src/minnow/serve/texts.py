"""What whoever calls a released model may ask about: a list of texts, checked before anything is
computed.
"""

from collections.abc import Iterable, Mapping

from minnow.errors import MinnowError, shortened

REMEDY = "leave out what is missing, decode bytes, and write numbers as text"


def asked_texts(texts: object) -> list[str]:
    """Return the texts of a list, an array, or a column of a table, as a list.

    Raises:
        MinnowError: it is no list of texts; names the position and type of the first that is none.
    """
    if isinstance(texts, str):
        raise MinnowError(
            f"predict takes a list of URLs, given the text {texts[:60]!r}: put it into a list"
        )
    scalar = isinstance(texts, bytes | bytearray | memoryview | Mapping)
    if scalar or getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        raise MinnowError(
            f"predict takes a list of URLs, given {_described(texts)}: give a list, or one column"
        )
    given = list(texts)  # also of an array or a column, which have no truth
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise MinnowError(
                f"predict takes texts, and the one at position {place} of {len(given)} (counted"
                f" from 0) is {_described(text)}: {REMEDY}"
            )
    return given


def _described(value: object) -> str:
    """Return a value's type, and the value itself where that is short and harmless to print."""
    name = type(value).__name__
    if value is None or not isinstance(value, bool | int | float | bytes):
        return name
    # An integer of thousands of digits cannot be printed.
    huge = isinstance(value, int) and value.bit_length() > 200
    return (
        name
        if huge
        else f"{name} {shortened(repr(value[:40] if isinstance(value, bytes) else value), 50)}"
    )
