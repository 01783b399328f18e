"""Rows that a quotation mark has swallowed: it opens a field, and the next one, rows further down,
closes it; what lies between is one value, and its label is another row's.
"""

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from minnow.data.columns import Wanted
from minnow.errors import MinnowError, shortened

BREAK = re.compile(r"\r\n|\r|\n")
# What stands around a text and means nothing.
AROUND = "\"' \t\r\n"

# A field as it would be were there no quotation marks, and the place of the column it came from.
Cell = tuple[str, int]


@dataclass(frozen=True)
class Rows:
    """What makes a line a row: how many fields, and which labels where; None where there are
    no labels.
    """

    width: int
    separator: str
    label: int | None
    known: frozenset[str]


def require_whole_rows(
    table: pl.DataFrame, names: Sequence[str], separator: str, wanted: Wanted, name: str
) -> None:
    """Refuse a line break in a column that is read, and a record one of whose lines is a row.

    Args:
        table: all columns as strings, in the file's order.
        names: what the file calls them.
        separator: between the file's columns.
        wanted: which columns are read.
        name: how errors name the file.

    Raises:
        MinnowError: names the first such row of a column.
    """
    rows = _rows(table, names, separator, wanted)
    for values, column in zip(table, names, strict=True):
        numbers = _swallowing(table, values, rows)
        if column in wanted.named.values():
            numbers += has_break(values).arg_true().to_list()
        if numbers:
            raise _swallowed(values, min(numbers), column, name)


def has_break(values: pl.Series) -> pl.Series:
    """Return which texts have a line break in their midst; around them it does no harm."""
    return values.str.strip_chars(AROUND).str.contains(r"[\r\n]").fill_null(False)


def _rows(table: pl.DataFrame, names: Sequence[str], separator: str, wanted: Wanted) -> Rows:
    if "label" not in wanted.named:
        return Rows(table.width, separator, None, frozenset())
    place = names.index(wanted.named["label"])
    meant = [str(getattr(wanted, each)) for each in ("positive", "negative")]
    known = {_bare(label) for label in [*table.to_series(place).unique().drop_nulls(), *meant]}
    return Rows(table.width, separator, place, frozenset(known - {"", "None"}))


def _swallowing(table: pl.DataFrame, values: pl.Series, rows: Rows) -> list[int]:
    """Return the numbers of the records that hold a row which a column's value has swallowed.

    A value without the separator completes no row but the record itself.
    """
    doubtful = values.str.contains(r"[\r\n]") & values.str.contains(rows.separator, literal=True)
    doubtful = doubtful.fill_null(False)
    records = table.filter(doubtful).iter_rows()
    held = [holds_a_row(record, rows) for record in records]
    numbers = doubtful.arg_true().to_list()
    return [number for number, holds in zip(numbers, held, strict=True) if holds]


def holds_a_row(record: Sequence[str | None], rows: Rows) -> bool:
    """Return whether a line of a record is a row of its own: it is as wide as one, and where there
    are labels it has one, or all lines have what may be one.

    Without labels a line counts that lies inside one value, or any where all are as wide as a row.
    """
    ways = [_cut, _cut_by_quotes] if any('"' in (value or "") for value in record) else [_cut]
    return any(_is_held(_lines(record, rows.separator, cut), rows) for cut in ways)


def _is_held(all_lines: Sequence[list[Cell]], rows: Rows) -> bool:
    lines = [line for line in all_lines if any(cell for cell, _ in line)]
    complete = [line for line in lines if len(line) == rows.width]
    if rows.label is not None:
        return _holds_a_label(complete, rows.label, rows.known, alone=complete == lines)
    strange = [line for line in complete if _is_strange(line)]
    if len(complete) == len(lines):
        return bool(strange)
    return any(line[0][1] == line[-1][1] for line in strange)


def _holds_a_label(
    lines: Sequence[Sequence[Cell]], place: int, known: frozenset[str], *, alone: bool
) -> bool:
    """Return whether one of a record's lines that are as wide as a row has a label; `alone` says
    that it has no other lines.

    Of a row that is swallowed and one that swallows, one has its label inside the value.
    """
    inside = [line[place][0] for line in lines if line[place][1] != place]
    if any(_bare(label) in known for label in inside):
        return True
    # All rows of a label may be swallowed, so that nobody knows it; in prose a blank follows a
    # comma.
    return alone and bool(inside) and all(re.fullmatch(r"\S+", label) for label in inside)


def _bare(text: str) -> str:
    return text.strip(AROUND)


def _lines(
    record: Sequence[str | None], separator: str, cut: Callable[[str, str], list[str]]
) -> list[list[Cell]]:
    """Return the lines that a record takes, cut at the separator where a value has line breaks."""
    lines: list[list[Cell]] = [[]]
    for place, value in enumerate(record):
        first, *others = BREAK.split(value or "")
        # The mark that opened the value may have had a partner of its own.
        opened = f'"{first}' if cut is _cut_by_quotes and '"' in first else first
        lines[-1] += [(cell, place) for cell in (cut(opened, separator) if others else [first])]
        lines += [[(cell, place) for cell in cut(line, separator)] for line in others]
    return lines


def _cut(line: str, separator: str) -> list[str]:
    return line.split(separator)


def _cut_by_quotes(line: str, separator: str) -> list[str]:
    """Return a line's fields, of which some may hold the separator between quotation marks."""
    try:
        return next(csv.reader([line], delimiter=separator), [""])
    except csv.Error:  # longer than Python takes: no row of URLs
        return [line]


def _is_strange(line: Sequence[Cell]) -> bool:
    """Return whether a cell stands in another column than its own; of a text of several lines in
    the first or the last column none does.
    """
    return any(place != origin for place, (_, origin) in enumerate(line))


def require_closed_ends(rows: bytes, separator: str, name: str) -> None:
    """Refuse a field that goes on after the quotation mark that closes it: the mark that opened it
    is a stray one, and what closed it opens another field.

    Raises:
        MinnowError: names the first such row.
    """
    mark = re.escape(separator).encode()
    # Possessive all over: linear, and without memory of what it has passed.
    quoted = rb'"[^"]*+(?:""[^"]*+)*+" *+(?=%b|[\r\n]|\Z)' % mark
    plain = rb'(?!")[^%b\r\n]++' % mark
    field = rb"%b|%b|%b" % (quoted, plain, mark)
    sound = re.match(rb"(?:%b|[\r\n])*+" % field, rows)
    end = sound.end() if sound else 0
    if end < len(rows):
        ends = re.finditer(rb"(?:%b)++|([\r\n]++)" % field, rows[:end].lstrip(b"\r\n"))
        number = sum(1 for each in ends if each[1]) + 1
        line = BREAK.split(rows[end : end + 300].decode(errors="replace"))[0]
        raise MinnowError(
            f"{name}: row {number} goes on after the quotation mark that closes a field:"
            f" {shown(line)}; remove the marks around it, or write two for each inside"
        )


def _swallowed(values: pl.Series, number: int, column: str, name: str) -> MinnowError:
    value = str(values[number])
    return MinnowError(
        f"{name}: row {number + 1} has a line break in its column {shown(column)}, and has"
        f" swallowed {len(BREAK.findall(value))} lines after it: {shown(value)}; close or remove"
        " the quotation mark that opens it"
    )


def shown(value: str) -> str:
    """Return what a user's file says, in one line and quoted."""
    return repr(shortened(" ".join(value.split())))
