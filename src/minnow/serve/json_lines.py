"""Objects of JSON, one a line, as records."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minnow.core.strict_json import parsed_json
from minnow.errors import MinnowError, shortened
from minnow.serve.reading import (
    NO_TEXT,
    NO_UTF8,
    TOO_LONG,
    URL_NAMES,
    InputRecord,
    InputRecords,
    Lines,
    answer_names,
    chosen_column,
    record_of,
)

# Among so many lines there must be one that is what it should be.
FIRST_OBJECT = 100


@dataclass
class JsonTable:
    """What is the same for all objects: the key of the URL, and those of the answer."""

    key: str
    answer: tuple[str, str]

    def record(self, number: int, line: bytes | None) -> InputRecord:
        """Return the record of a line; what is no object keeps its place and nothing else."""
        found = json_object(line)
        if isinstance(found, str):
            return InputRecord(number, b"{", None, found)
        if {*self.answer} & {*found}:
            return InputRecord(number, b"{", None, f"has a key {' or '.join(self.answer)} already")
        assert line is not None
        head = line.strip().removeprefix(b"\xef\xbb\xbf")[:-1].rstrip()
        return record_of(number, head + b", " if found else head, found.get(self.key))

    def end(self, probability: str, label: str) -> bytes:
        """Return the answer as the last two keys; null where there is none."""
        shown = (probability or "null", json.dumps(label, ensure_ascii=False) if label else "null")
        pairs = [f'"{name}": {value}' for name, value in zip(self.answer, shown, strict=True)]
        return f"{', '.join(pairs)}}}\n".encode()


def json_object(line: bytes | None) -> dict[str, Any] | str:
    """Return the object of a line, or what is wrong with it."""
    if line is None:
        return TOO_LONG
    if not line.strip():
        return NO_TEXT
    try:
        found = parsed_json(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return NO_UTF8
    except ValueError as error:
        return f"no JSON: {shortened(str(error), 50)}"
    return found if isinstance(found, dict) else "no JSON object"


def json_records(lines: Lines, column: str | None) -> InputRecords:
    """Return one record a line; the first object says which key holds the URLs."""
    waiting: list[tuple[int, bytes | None]] = []
    first: dict[str, Any] | None = None
    for line in lines:
        waiting.append((lines.number, line))
        found = json_object(line)
        if isinstance(found, dict):
            first = found
            break
        if len(waiting) == FIRST_OBJECT:
            raise MinnowError(f"the first {FIRST_OBJECT} lines hold no JSON object; is it JSON?")
    names = list(first) if first is not None else [column or URL_NAMES[0]]
    table = JsonTable(chosen_column(names, column), answer_names(names))
    rows = _json_rows(lines, waiting, table)
    return InputRecords(b"", rows, table.end, table.key)


def _json_rows(
    lines: Lines, waiting: Sequence[tuple[int, bytes | None]], table: JsonTable
) -> Iterator[InputRecord]:
    for number, line in waiting:
        yield table.record(number, line)
    for line in lines:
        yield table.record(lines.number, line)
