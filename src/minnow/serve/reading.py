"""Records of a stream, one at a time: lines of text, rows of CSV, objects of JSON.

A record that holds no URL is a record all the same, with what is wrong with it, so that what is
written has a row for each that was read. No more of the stream is in memory than one record.
"""

import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

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
GZIP = b"\x1f\x8b"
# What a file is by its first bytes, and what to do with it.
UTF_16 = "is UTF-16; `iconv -f UTF-16 -t UTF-8` makes lines of it that can be read"
OTHERS = {
    b"PAR1": "is Parquet; give --format parquet",
    b"PK\x03\x04": "is a ZIP file or a workbook; unpack it, or save it as CSV",
    b"\x28\xb5\x2f\xfd": "is packed by zstd; unpack it",
    b"BZh": "is packed by bzip2; unpack it",
    b"\xfd7zXZ": "is packed by xz; unpack it",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}
TOO_LONG = f"longer than {LONGEST / 1e6:.0f} MB"
NO_TEXT, NO_UTF8 = "no text", "no UTF-8"


@dataclass(frozen=True)
class InputRecord:
    """One record: the line that it begins in, what is written of it before the answer, and its
    text, or what is wrong with it.
    """

    line: int
    head: bytes
    text: str | None
    wrong: str = ""


@dataclass(frozen=True)
class InputRecords:
    """The records of a stream with all that is needed to write them again.

    `start` is what stands before the first; `end` gives what stands behind a record's head, for a
    probability and a label in words, or for none.
    """

    start: bytes
    rows: Iterator[InputRecord]
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


def without_gzip(file: IO[bytes], path: str) -> IO[bytes]:
    """Return a file's content, unpacked where its name or its first bytes say that it is packed.

    Raises:
        MinnowError: its first bytes say that it holds no lines that we can read.
    """
    first = first_bytes(file)
    for sign, told in OTHERS.items():
        if first.startswith(sign):
            raise MinnowError(f"{shortened(path)} {told}")
    if not (path.lower().endswith(".gz") or first.startswith(GZIP)):
        return file
    return io.BufferedReader(gzip.GzipFile(fileobj=file, mode="rb"), 1 << 16)


def first_bytes(file: IO[bytes]) -> bytes:
    """Return the first bytes of a file, which stay there to be read; none where that fails."""
    try:
        return file.peek(4) if isinstance(file, io.BufferedReader) else b""
    except OSError:
        return b""


def trouble(text: object) -> str:
    """Return what keeps a value from being asked about; nothing where nothing does."""
    if not isinstance(text, str) or not text.strip():
        return NO_TEXT
    return TOO_LONG if len(text) > LONGEST else ""


def record_of(line: int, head: bytes, text: object) -> InputRecord:
    """Return the record of a value that should be a text."""
    wrong = trouble(text)
    return InputRecord(line, head, None if wrong else str(text), wrong)


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
    number = "no" if asked not in names else f"{names.count(asked)} times the"
    told = (
        f"{number} column {shortened(asked)!r}" if asked else "no column that is sure to hold URLs"
    )
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


def text_records(lines: Lines, column: str | None) -> InputRecords:
    """Return one record a line; the answer stands behind tabs."""
    if column is not None:
        raise MinnowError("lines of text have no columns; leave --column out, or give --format csv")
    rows = (_text_record(lines.number, line) for line in lines)
    return InputRecords(b"", rows, _behind_tabs)


def _text_record(number: int, line: bytes | None) -> InputRecord:
    if line is None:
        return InputRecord(number, b"", None, TOO_LONG)
    head = line.rstrip(b"\r\n")
    try:
        return record_of(number, head, head.decode("utf-8"))
    except UnicodeDecodeError:
        return InputRecord(number, head, None, NO_UTF8)


def _behind_tabs(probability: str, label: str) -> bytes:
    return f"\t{probability}\t{label}\n".encode()
