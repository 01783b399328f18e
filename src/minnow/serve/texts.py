"""What whoever calls a released model may ask about: a list of texts, checked before anything is
computed.
"""

from collections.abc import Iterable, Mapping, MappingView, Set

from minnow.errors import MinnowError, printable, shortened

REMEDY = "leave out what is missing, decode bytes, and write numbers as text"


def asked_texts(texts: object) -> list[str]:
    """Return the texts of a list, an array, or a column of a table, as a list.

    Raises:
        MinnowError: it is no list of texts; names the position and type of the first that is none.
    """
    if mend := _no_list(texts):
        raise MinnowError(f"predict takes a list of URLs, given {_described(texts)}: {mend}")
    assert isinstance(texts, Iterable)
    given = list(texts)  # also of an array or a column, which have no truth
    for place, text in enumerate(given):
        if not isinstance(text, str):
            raise MinnowError(
                f"predict takes texts, and the one at position {place} of {len(given)} (counted"
                f" from 0) is {_described(text)}: {REMEDY}"
            )
    return given


def _no_list(texts: object) -> str:
    """Return what to give in place of something that is no list; nothing if it is one."""
    if isinstance(texts, str):
        return "put it into a list"
    if isinstance(texts, Set | MappingView):
        return "answers come in the order of the URLs, and it has none to rely on; give a list"
    if hasattr(texts, "to_pylist"):  # pyarrow's, whose values are no texts of Python's
        return "give what .to_pylist() of the column of URLs returns"
    scalar = isinstance(texts, bytes | bytearray | memoryview | Mapping)
    if scalar or getattr(texts, "ndim", 1) != 1 or not isinstance(texts, Iterable):
        return "give a list, or one column"
    return ""


def _described(value: object) -> str:
    """Return a value's type, and the value itself where that is short and harmless to print."""
    if isinstance(value, str):
        return f"the text {shortened(repr(value[:60]), 62)}"
    name = shortened(printable(type(value).__name__), 40)
    # Of a class of the user's, repr may be anything, and may fail.
    if type(value) not in (bool, int, float, bytes):
        return name
    # An integer of thousands of digits cannot be printed.
    if isinstance(value, int) and value.bit_length() > 200:
        return name
    return f"{name} {shortened(repr(value[:40] if isinstance(value, bytes) else value), 50)}"
