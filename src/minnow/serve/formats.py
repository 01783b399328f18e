"""What reads each format of lines."""

from collections.abc import Callable
from typing import IO

from minnow.serve.csv_rows import csv_records
from minnow.serve.json_lines import json_records
from minnow.serve.reading import InputRecords, Lines, text_records

READERS: dict[str, Callable[[Lines, str | None], InputRecords]] = {
    "txt": text_records,
    "csv": csv_records,
    "jsonl": json_records,
}


def records(file: IO[bytes], kind: str, column: str | None) -> InputRecords:
    """Return the records of a stream of lines.

    Raises:
        MinnowError: it has no such column.
    """
    return READERS[kind](Lines(file), column)
