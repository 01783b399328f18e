"""Records of a stream, one at a time: lines of text, rows of CSV, objects of JSON.

A record that holds no URL is a record all the same, with what is wrong with it, so that what is
written has a row for each that was read. No more of the stream is in memory than one record.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from minnow.core.strict_json import parsed_json
from minnow.errors import MinnowError, listed, nearest, shortened

# Bytes of one record: what is longer is no URL, and is passed over without being held.
LONGEST = 1_000_000
# Columns and keys that hold URLs where nobody says which, in this order.
URL_NAMES = ("url", "text", "link", "uri")
SUFFIXES = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
FORMATS = ("txt", "csv", "jsonl", "parquet")
DELIMITERS = ",;\t|"
TOO_LONG = f"longer than {LONGEST / 1e6:.0f} MB"
NO_TEXT, NO_UTF8 = "no text", "no UTF-8"


@dataclass(frozen=True)
class Record:
    """One record: the line that it begins in, what is written of it before the answer, and its
    text, or what is wrong with it.
    """

    line: int
    head: bytes
    text: str | None
    wrong: str = ""


@dataclass(frozen=True)
class Records:
    """The records of a stream with all that is needed to write them again.

    `start` is what stands before the first; `end` gives what stands behind a record's head, for a
    probability and a label in words, or for none.
    """

    start: bytes
    rows: Iterator[Record]
    end: Callable[[str, str], bytes]
    column: str = ""


def format_of(name: str, asked: str | None) -> str:
    """Return the format of a file, by what is asked for or else by its name; `-` is lines of text.

    Raises:
        MinnowError: its name says nothing.
    """
    if asked:
        return asked
    path = Path(name)
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    found = "txt" if name == "-" else SUFFIXES.get(suffix.lower())
    if found is None:
        raise MinnowError(
            f"{shortened(name)!r} does not say its format; add --format {'|'.join(FORMATS)}"
        )
    return found


@dataclass
class Lines:
    """The lines of a stream, each with its end; None stands for one that is too long."""

    file: IO[bytes]
    number: int = 0

    def __iter__(self) -> Iterator[bytes | None]:
        return self

    def __next__(self) -> bytes | None:
        """Return the next line.

        Raises:
            MinnowError: the file cannot be unpacked or read further.
        """
        try:
            line = self.file.readline(LONGEST + 2)
            whole = len(line) <= LONGEST + 1
            end = line
            while not whole and end and not end.endswith(b"\n"):
                end = self.file.readline(1 << 16)
        except (OSError, EOFError, zlib.error) as error:
            raise MinnowError(f"the input breaks off after line {self.number}: {error}") from None
        if not line:
            raise StopIteration
        self.number += 1
        return line if whole else None


def opened_file(path: str) -> IO[bytes]:
    """Return a file, or standard input for `-`, as it lies there.

    Raises:
        MinnowError: it cannot be read.
    """
    try:
        # Not sys.stdin, whose lock a reading thread would hold at the end.
        return open(0, "rb", closefd=False) if path == "-" else Path(path).open("rb")
    except OSError as error:
        raise MinnowError(f"{path} cannot be read ({error.strerror}); name a file") from None


def unpacked(file: IO[bytes], path: str) -> IO[bytes]:
    """Return a file's content, unpacked where its name ends in .gz."""
    if not path.lower().endswith(".gz"):
        return file
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), 1 << 16)


def records(file: IO[bytes], kind: str, column: str | None) -> Records:
    """Return the records of a stream of lines.

    Raises:
        MinnowError: it has no such column.
    """
    return READERS[kind](Lines(file), column)


def trouble(text: object) -> str:
    """Return what keeps a value from being asked about; nothing where nothing does."""
    if not isinstance(text, str) or not text.strip():
        return NO_TEXT
    return TOO_LONG if len(text) > LONGEST else ""


def checked(line: int, head: bytes, text: object) -> Record:
    """Return the record of a value that should be a text."""
    wrong = trouble(text)
    return Record(line, head, None if wrong else str(text), wrong)


def chosen_column(names: Sequence[str], asked: str | None) -> str:
    """Return the name of the column, or key, that holds the URLs.

    Raises:
        MinnowError: there is none of that name, or none is asked for and none is obvious.
    """
    if asked is not None and names.count(asked) == 1:
        return asked
    if asked is None:
        lower = [name.strip().lower() for name in names]
        found = [names[lower.index(name)] for name in URL_NAMES if lower.count(name) == 1]
        found += names if len(names) == 1 else []
        if found:
            return found[0]
    shown = listed(repr(shortened(name, 30)) for name in names)
    near = nearest(asked, names) if asked else ""
    told = f"no column {shortened(asked)!r}" if asked else "no column that is sure to hold URLs"
    raise MinnowError(f"the input has {told}, only {shown}{near}; give --column NAME")


def answer_names(taken: Sequence[str]) -> tuple[str, str]:
    """Return what probability and label are called beside other columns.

    Raises:
        MinnowError: both pairs of names are taken.
    """
    for prefix in ("", "minnow_"):
        names = (f"{prefix}probability", f"{prefix}label")
        if not {*names} & {*taken}:
            return names
    raise MinnowError(
        "the input has columns called minnow_probability or minnow_label already; rename them"
    )


# --- Lines of text --------------------------------------------------------------------------------


def text_records(lines: Lines, column: str | None) -> Records:
    """Return one record a line; the answer stands behind tabs."""
    if column is not None:
        raise MinnowError("lines of text have no columns; leave --column out, or give --format csv")
    rows = (_text_record(lines.number, line) for line in lines)
    return Records(b"", rows, _behind_tabs)


def _text_record(number: int, line: bytes | None) -> Record:
    if line is None:
        return Record(number, b"", None, TOO_LONG)
    head = line.rstrip(b"\r\n")
    try:
        return checked(number, head, head.decode("utf-8"))
    except UnicodeDecodeError:
        return Record(number, head, None, NO_UTF8)


def _behind_tabs(probability: str, label: str) -> bytes:
    return f"\t{probability}\t{label}\n".encode()


# --- CSV ------------------------------------------------------------------------------------------


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

    def record(self, line: int, fields: Sequence[str]) -> Record:
        """Return the record of a row; one of another width keeps its place and no fields."""
        if len(fields) != len(self.names):
            wrong = f"{len(fields)} fields, not {len(self.names)}" if fields else NO_TEXT
            return self.empty(line, wrong)
        head = (self.write(fields) + self.delimiter).encode("utf-8", "surrogateescape")
        text = fields[self.place]
        if any("\udc80" <= letter <= "\udcff" for letter in text):
            return Record(line, head, None, NO_UTF8)
        return checked(line, head, text)

    def empty(self, line: int, wrong: str) -> Record:
        """Return a record of empty fields."""
        return Record(line, (self.delimiter * len(self.names)).encode(), None, wrong)


def csv_records(lines: Lines, column: str | None) -> Records:
    """Return one record a row; the answer stands in two more columns."""
    csv.field_size_limit(LONGEST)
    supply = CsvLines(lines)
    try:
        first = next(supply, "")
    except TooLongError:
        raise MinnowError(f"the header of the input is {TOO_LONG}; is it CSV?") from None
    first = first.removeprefix("\ufeff")
    delimiter = max(DELIMITERS, key=first.count)
    names = header_names(first, delimiter)
    chosen = names.index(chosen_column(names, column))
    table = CsvTable(names, chosen, csv_writer(delimiter), delimiter)
    header = table.write([*names, *answer_names(names)]) + "\n"
    return Records(
        header.encode("utf-8", "surrogateescape"),
        _csv_rows(supply, table),
        lambda probability, label: (table.write([probability, label]) + "\n").encode(),
        names[chosen],
    )


def header_names(line: str, delimiter: str) -> list[str]:
    """Return the names in the first line of a CSV file.

    Raises:
        MinnowError: there are none.
    """
    try:
        if names := next(csv.reader([line], delimiter=delimiter), []):
            return names
    except csv.Error:
        pass
    raise MinnowError("the input has no line of column names; give it one, or --format txt")


def _csv_rows(supply: CsvLines, table: CsvTable) -> Iterator[Record]:
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
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="")

    def row(fields: Sequence[str]) -> str:
        buffer.seek(0)
        buffer.truncate()
        writer.writerow(fields)
        return buffer.getvalue()

    return row


# --- JSON lines -----------------------------------------------------------------------------------


@dataclass
class JsonTable:
    """What is the same for all objects: the key of the URL, and those of the answer."""

    key: str
    answer: tuple[str, str]

    def record(self, number: int, line: bytes | None) -> Record:
        """Return the record of a line; what is no object keeps its place and nothing else."""
        found = json_object(line)
        if isinstance(found, str):
            return Record(number, b"{", None, found)
        if {*self.answer} & {*found}:
            return Record(number, b"{", None, f"has a key {' or '.join(self.answer)} already")
        assert line is not None
        head = line.strip().removeprefix(b"\xef\xbb\xbf")[:-1].rstrip()
        return checked(number, head + b", " if found else head, found.get(self.key))

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


def json_records(lines: Lines, column: str | None) -> Records:
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
    return Records(b"", rows, table.end, table.key)


# Among so many lines there must be one that is what it should be.
FIRST_OBJECT = 100


def _json_rows(
    lines: Lines, waiting: Sequence[tuple[int, bytes | None]], table: JsonTable
) -> Iterator[Record]:
    for number, line in waiting:
        yield table.record(number, line)
    for line in lines:
        yield table.record(lines.number, line)


READERS: dict[str, Callable[[Lines, str | None], Records]] = {
    "txt": text_records,
    "csv": csv_records,
    "jsonl": json_records,
}
