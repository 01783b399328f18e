"""Text with a separator between columns: where its names stand, and its rows."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from minnow.data.columns import Wanted, require_columns
from minnow.data.swallowed import require_closed_ends, require_whole_rows, shown
from minnow.errors import MinnowError, shortened

SEPARATORS = (",", "\t", ";", "|")
# How far a file's names may be from its beginning.
HEAD_BYTES, HEAD_LINES = 1 << 16, 100
# Excel's line that names the separator, and what begins a line that is a comment.
SEPARATOR_LINE = re.compile(r"\"?sep=([,;|:~^\t ])\"?\s*", re.IGNORECASE)
COMMENT = re.compile(r"\s*(#|//|--|%|;|!)+\s*")
# Bytes that Arrow parses at a time: no record may be longer, so that a quotation mark that is never
# closed ends here.
CSV_BLOCK = 1 << 24


@dataclass(frozen=True)
class Header:
    """The names of the columns, the separator between them, and where the rows begin, in bytes."""

    names: Sequence[str]
    separator: str
    end: int


def delimited(text: bytes, wanted: Wanted, name: str, *, separator: str) -> pl.DataFrame:
    """Return the wanted columns as strings; an empty field is null.

    Args:
        text: in UTF-8.
        wanted: which columns.
        name: how errors name the file.
        separator: the one that the name of the file speaks of; tried first.

    Raises:
        MinnowError: a column is missing, or a row has another number of fields or a line break in a
        field that is read.
    """
    header = find_header(text, wanted, name, separator=separator)
    require_columns(header.names, wanted, name)
    names = list(dict.fromkeys(wanted.named.values()))
    rows = text[header.end :]
    if not rows.strip():
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    places = {column: header.names.index(column) for column in names}
    table = _parsed(rows, header, places, name)
    # Fewer rows than lines: some field has a line break in it.
    if b'"' in rows and table.height < _filled_lines(rows):
        # Two columns that nobody asks for may share a name: these go by their places.
        everything = {f"{place}": place for place in range(len(header.names))}
        table_of_all = _parsed(rows, header, everything, name)
        require_whole_rows(table_of_all, header.names, header.separator, wanted, name)
    if b'"' in rows:
        require_closed_ends(rows, header.separator, name)
    return table


def find_header(text: bytes, wanted: Wanted, name: str, *, separator: str) -> Header:
    """Return where the wanted names stand: in the first line, or below comments, blank lines and
    Excel's `sep=`; the last comment may itself be the names.

    Raises:
        MinnowError: they stand in no such line.
    """
    lines = _lines(text[:HEAD_BYTES].decode(errors="ignore"))
    if len(text) > HEAD_BYTES:
        lines.pop()  # cut off
    lines = lines[:HEAD_LINES]
    separators = dict.fromkeys((separator, *SEPARATORS))
    start, comment = 0, None
    for number, line in enumerate(lines):
        if said := SEPARATOR_LINE.fullmatch(line):
            separators = dict.fromkeys((said[1], *separators))
        else:
            if found := _names(lines[number:], separators, wanted, start):
                return found
            mark = COMMENT.match(line)
            if line.strip() and not mark:
                break
            if mark and mark.end() < len(line):
                bare = [line[mark.end() :]]
                comment = _names(bare, separators, wanted, start + _size(line[: mark.end()]))
        start += _size(line)
    if comment and comment.end == start:
        return comment
    raise _missing(lines[number:] if lines else [], separators, wanted, name)


def _lines(text: str) -> list[str]:
    """Return lines with their ends, cut where Arrow cuts; `str.splitlines` would cut at characters
    that a URL of an attacker's may hold, such as U+2028.
    """
    return list(io.StringIO(text, newline=""))


def _size(line: str) -> int:
    return len(line.encode())


def _names(
    lines: Sequence[str], separators: dict[str, None], wanted: Wanted, start: int
) -> Header | None:
    """Return the names that lines begin with, where the wanted ones are among them under one of the
    separators.
    """
    for separator in separators:
        names, taken = _first_record(lines, separator)
        names = [text if text in wanted.named.values() else text.strip() for text in names]
        if set(wanted.named.values()) <= set(names):
            return Header(names, separator, start + sum(map(_size, lines[:taken])))
    return None


def _first_record(lines: Sequence[str], separator: str) -> tuple[list[str], int]:
    """Return the fields of the record that lines begin with, and how many lines it takes."""
    reader = csv.reader(lines, delimiter=separator)
    try:
        return next(reader, []), reader.line_num
    except csv.Error:
        return [], 1


def has_names(text: bytes, wanted: Wanted) -> bool:
    """Return whether `find_header` finds the wanted names."""
    try:
        find_header(text, wanted, "", separator=SEPARATORS[0])
    except MinnowError:
        return False
    return True


def _missing(
    lines: Sequence[str], separators: dict[str, None], wanted: Wanted, name: str
) -> MinnowError:
    """Return the error that says which column is missing, and why that may be; `lines` begin where
    the names should stand.
    """
    names, hint = _first_record(lines[:1], next(iter(separators)))[0], ""
    below = (_names(lines[place:], separators, wanted, 0) for place in range(1, len(lines)))
    if not lines:
        hint = f"; its first line is longer than {HEAD_BYTES} bytes"
    elif any(below):
        hint = "; a line further down has these names: delete the lines before it"
    elif any(re.search(r"[./]", text) or re.fullmatch(r"\d+", text) for text in names):
        example = next(iter(separators)).join(wanted.named.values())
        hint = f"; that looks like a row: put a line of names first, such as '{example}'"
    try:
        require_columns(names, wanted, name, hint=hint)
    except MinnowError as error:
        return error
    raise AssertionError("the names were found missing before")


def _parsed(rows: bytes, header: Header, read: Mapping[str, int], name: str) -> pl.DataFrame:
    """Return the columns at the places in `read`, under its names."""
    unique = [f"{place}" for place in range(len(header.names))]
    try:
        # Arrow takes a lone quote inside a field as it stands, where polars' parser gives up on the
        # file.
        table = arrow_csv.read_csv(
            pa.BufferReader(rows),
            read_options=arrow_csv.ReadOptions(block_size=CSV_BLOCK, column_names=unique),
            parse_options=arrow_csv.ParseOptions(
                delimiter=header.separator, newlines_in_values=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[unique[place] for place in read.values()],
                column_types=dict.fromkeys(unique, pa.large_string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise _broken(rows, header, name, error) from None
    columns = zip(read, table.columns, strict=True)
    return pl.DataFrame({column: pl.from_arrow(values) for column, values in columns})


def _filled_lines(rows: bytes) -> int:
    return sum(1 for line in re.finditer(rb"[^\r\n]+", rows))


def _records(rows: bytes, separator: str) -> Iterator[tuple[list[str], int]]:
    """Yield each record that is not blank, and the number of lines that it takes."""
    reader = csv.reader(io.StringIO(rows.decode(), newline=""), delimiter=separator)
    before = 0
    for record in reader:
        if record:
            yield record, reader.line_num - before
        before = reader.line_num


def _broken(rows: bytes, header: Header, name: str, error: Exception) -> MinnowError:
    """Return the error that names the first row that is none, and why that may be."""
    number, expected, cause = 0, len(header.names), str(error)
    try:
        for number, (record, lines) in enumerate(_records(rows, header.separator), 1):
            if len(record) == 1 < expected and COMMENT.match(record[0]):
                return MinnowError(
                    f"{name}: row {number} is a comment, which may stand before the names alone:"
                    f" {shown(record[0])}; delete that line"
                )
            if len(record) != expected:
                return MinnowError(
                    f"{name}: row {number} has {len(record)} columns and the names {expected}:"
                    f" {shown(header.separator.join(record))}; put a text that holds"
                    f" '{header.separator}' or a quotation mark between quotation marks"
                    + ("; a quotation mark in it is never closed" if lines > 1 else "")
                )
    except csv.Error:
        cause = "a quotation mark that opens a field is never closed"
    return MinnowError(
        f"{name}: row {number + 1} cannot be read: {shortened(' '.join(cause.split()), 150)}; mend"
        " the row"
    )
