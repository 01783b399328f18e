"""Rows of CSV as records, each no longer than a record may be, whatever its quotation marks say."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from minnow.errors import MinnowError
from minnow.serve.reading import (
    DELIMITERS,
    LONGEST,
    NO_TEXT,
    NO_UTF8,
    TOO_LONG,
    InputRecord,
    InputRecords,
    Lines,
    answer_names,
    chosen_column,
    record_of,
)

# No URL has lines: a quotation mark that nothing closes has taken in the rows behind it.
SWALLOWED = "a line break inside the URL, by a stray quotation mark perhaps"


class TooLongError(Exception):
    """A row of CSV has more bytes than a record may have."""


@dataclass
class CsvLines:
    """Decoded lines for the module csv, no more for one row than a record may have.

    Bytes that are no UTF-8 become surrogates, and the same bytes again when they are written.
    """

    lines: Lines
    taken: int = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self.lines)
        self.taken += LONGEST if line is None else len(line)
        if line is None or self.taken > LONGEST:
            raise TooLongError
        return line.decode("utf-8", "surrogateescape")


@dataclass
class CsvTable:
    """What is the same for all rows of a CSV file."""

    names: list[str]
    place: int
    write: Callable[[Sequence[str]], str] = field(repr=False)
    delimiter: str = ","

    def record(self, line: int, fields: Sequence[str]) -> InputRecord:
        """Return the record of a row; one of another width keeps its place and no fields."""
        if len(fields) != len(self.names):
            wrong = f"{len(fields)} fields, not {len(self.names)}" if fields else NO_TEXT
            return self.empty(line, wrong)
        head = (self.write(fields) + self.delimiter).encode("utf-8", "surrogateescape")
        text = fields[self.place]
        if any("\udc80" <= letter <= "\udcff" for letter in text):
            return InputRecord(line, head, None, NO_UTF8)
        if "\n" in text.strip():
            return InputRecord(line, head, None, SWALLOWED)
        return record_of(line, head, text)

    def empty(self, line: int, wrong: str) -> InputRecord:
        """Return a record of empty fields."""
        return InputRecord(line, (self.delimiter * len(self.names)).encode(), None, wrong)


def csv_records(lines: Lines, column: str | None) -> InputRecords:
    """Return one record a row; the answer stands in two more columns."""
    csv.field_size_limit(LONGEST)
    supply = CsvLines(lines)
    try:
        first = next(supply, "")
    except TooLongError:
        raise MinnowError(f"the header of the input is {TOO_LONG}; is it CSV?") from None
    first = first.removeprefix("\ufeff")
    delimiter = max(DELIMITERS, key=first.count)
    names = header_names(chain([first], supply), delimiter)
    chosen = names.index(chosen_column(names, column))
    table = CsvTable(names, chosen, csv_writer(delimiter), delimiter)
    header = table.write([*names, *answer_names(names)]) + "\n"
    return InputRecords(
        header.encode("utf-8", "surrogateescape"),
        _csv_rows(supply, table),
        lambda probability, label: (table.write([probability, label]) + "\n").encode(),
        names[chosen],
    )


def header_names(lines: Iterable[str], delimiter: str) -> list[str]:
    """Return the names in the first row of a CSV file, which takes no more lines than it has.

    Raises:
        MinnowError: there are none.
    """
    try:
        if names := next(csv.reader(lines, delimiter=delimiter), []):
            return names
    except (csv.Error, TooLongError):
        pass
    raise MinnowError("the input has no line of column names; give it one, or --format txt")


def _csv_rows(supply: CsvLines, table: CsvTable) -> Iterator[InputRecord]:
    reader = csv.reader(supply, delimiter=table.delimiter)
    while True:
        supply.taken, begins = 0, supply.lines.number + 1
        try:
            yield table.record(begins, next(reader))
        except StopIteration:
            return
        except TooLongError:
            yield table.empty(begins, TOO_LONG)
        except csv.Error as error:
            yield table.empty(begins, f"no CSV: {error}")


def csv_writer(delimiter: str) -> Callable[[Sequence[str]], str]:
    """Return a function that gives fields as one row, without its end."""
    buffer = io.StringIO()
    end = "\r\n"  # what is in the end of a line is what the writer puts between quotation marks
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end)

    def row(fields: Sequence[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(fields)
        return buffer.getvalue().removesuffix(end)

    return row
