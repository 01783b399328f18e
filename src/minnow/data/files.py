"""A file that a user or the Hub supplies as a table: CSV, TSV, JSON, Parquet or Arrow, known by its
first bytes rather than by its name.
"""

import re
from collections.abc import Sequence
from itertools import dropwhile
from pathlib import Path, PurePosixPath

import polars as pl
import pyarrow as pa

from minnow.core.supplied import supplied_file
from minnow.data.columns import Texts, Wanted
from minnow.data.contents import DAMAGE, PACKED_ENDINGS, as_utf8, require_size, unpacked
from minnow.data.delimited import delimited, has_names
from minnow.data.json_rows import BEGINNING, json_rows
from minnow.data.stored import arrow_table, parquet_table
from minnow.data.swallowed import has_break, shown
from minnow.errors import MinnowError, command, listed, nearest, reason

# Kinds by how names end, and the separator that a kind speaks of.
SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON = (".jsonl", ".ndjson", ".json")
KINDS = (*SEPARATORS, *JSON, ".parquet", ".arrow")
LINES = ".txt"
# What a .txt of URLs does not begin with; and names of columns, which no URL is: it has a dot, a
# slash or a colon.
NO_LINES = re.compile(rb"\s*(<|\[\s*[\"\]\[])")
NAMES = re.compile(r"[^./:,;|\t]*([,;|\t][^./:,;|\t]*)+")
PARQUET, ARROW = b"PAR1", (b"ARROW1", b"\xff\xff\xff\xff")
# No text is longer, in bytes: it would take the place of a thousand others.
LONGEST_TEXT = 1 << 20


def read_file(path: Path, wanted: Wanted, folder: Path, name: str | None = None) -> pl.DataFrame:
    """Return the wanted columns of a file that lies inside `folder`; errors call it `name`, or as
    it is called.

    Kinds are CSV, TSV, JSON, Parquet and Arrow, plain or packed by gzip, bzip2, xz, zstd or zip;
    where texts alone are wanted, a .txt is lines. Undecodable bytes become U+FFFD.

    Raises:
        MinnowError: one line on why the file cannot be read.
    """
    name = name or path.name
    inner, content = unpacked(name, _bytes(path, folder))
    kind = _kind(path.name) or _kind(inner)
    allowed = (*KINDS, LINES) if isinstance(wanted, Texts) else KINDS
    if kind not in allowed:
        raise MinnowError(
            f"{name} is of no known kind; allowed: {listed(allowed, 20)}, also packed:"
            f" {listed(PACKED_ENDINGS)}"
        )
    try:
        table = _table(content, wanted, name, kind)
    except (*DAMAGE, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise MinnowError(
            f"{name} cannot be read as {kind[1:]}: {reason(error)}; mend the file"
        ) from None
    except MemoryError:
        raise MinnowError(
            f"{name} needs more memory than there is; take a part of its rows"
        ) from None
    if table.is_empty():
        raise MinnowError(f"{name} holds no rows; fill it, or name another file")
    _require_short_texts(table, name)
    _require_single_lines(table, name)
    return table


def _kind(name: str) -> str:
    """Return the ending of a name that says what it is, below that of what it is packed by."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix not in PACKED_ENDINGS), "")


def _table(raw: bytes, wanted: Wanted, name: str, kind: str) -> pl.DataFrame:
    """Read by what the bytes are; the name decides only where they do not."""
    if raw.startswith(PARQUET):
        return parquet_table(raw, wanted, name)
    if raw.startswith(ARROW):
        return arrow_table(raw, wanted, name)
    text = as_utf8(name, raw)
    if kind == LINES:
        return _text_file(text, wanted, name)
    if BEGINNING.match(text):
        return json_rows(text, wanted, name)
    separator = SEPARATORS.get(kind)
    if separator is None and not has_names(text, wanted):
        if kind in JSON:
            return json_rows(text, wanted, name)
        raise MinnowError(
            f"{name} cannot be read as {kind[1:]}: it does not begin as one, and is no text with"
            " these columns either; get it anew"
        )
    return delimited(text, wanted, name, separator=separator or ",")


def _text_file(text: bytes, wanted: Wanted, name: str) -> pl.DataFrame:
    """Return the lines of a .txt, or the table that it is in truth.

    Raises:
        MinnowError: it is something else: markup, JSON of texts, or a table without the column.
    """
    if BEGINNING.match(text):
        return json_rows(text, wanted, name)
    if NO_LINES.match(text):
        raise MinnowError(f"{name} is JSON or markup, not lines of URLs; put one URL a line")
    lines = _lines(text)
    first = lines[0] if lines else ""
    if first.strip() == wanted.text:
        return _column(lines[1:], wanted)
    if NAMES.fullmatch(first) or has_names(first.encode(), wanted):
        return delimited(text, wanted, name, separator=",")
    return _column(lines, wanted)


def _lines(text: bytes) -> list[str]:
    """Return the lines that are not blank, without comments before them.

    `bytes.splitlines` cuts at line ends alone, where that of a str would also cut at characters
    that a URL of an attacker's may hold, such as U+2028.
    """
    lines = [line.decode() for line in text.splitlines() if line.strip()]
    return [*dropwhile(lambda line: line.lstrip().startswith("#"), lines)]


def _column(lines: Sequence[str], wanted: Wanted) -> pl.DataFrame:
    return pl.DataFrame({wanted.text: pl.Series(lines, dtype=pl.String)})


def _bytes(path: Path, folder: Path) -> bytes:
    if not path.exists() and not path.is_symlink():
        raise _absent(path)
    try:
        size = supplied_file(path, folder).stat().st_size
        require_size(path.name, size)
        raw = path.read_bytes()
    except OSError as error:
        raise MinnowError(
            f"{path} cannot be read: {error.strerror}; name a readable file"
        ) from None
    if not raw:
        raise MinnowError(f"{path.name} is empty; fill it, or name another file")
    return raw


def _absent(path: Path) -> MinnowError:
    if (pointer := path.with_name(path.name + ".dvc")).is_file():
        fetch = command("dvc pull", pointer)
        return MinnowError(f"{path.name} is tracked by DVC but not here; run {fetch}")
    present = (
        sorted(file.name for file in path.parent.glob("[!.]*")) if path.parent.is_dir() else []
    )
    return MinnowError(
        f"{path} is missing{nearest(path.name, present)}; put the file there and run `dvc add`"
        " on it, or name another one in params.yaml (its folder holds"
        f" {listed(present) or 'no file'})"
    )


def _require_short_texts(table: pl.DataFrame, name: str) -> None:
    for column in table.columns:
        if table[column].dtype == pl.String:
            lengths = table[column].str.len_bytes()
            longest = lengths.arg_max()
            if longest is not None and lengths[longest] > LONGEST_TEXT:
                raise MinnowError(
                    f"{name}: row {longest + 1} has {lengths[longest]} bytes in column"
                    f" '{column}' and at most {LONGEST_TEXT} may be; remove or shorten it"
                )
            require_size(name, int(lengths.sum()))


def _require_single_lines(table: pl.DataFrame, name: str) -> None:
    """Refuse a line break in a text: whoever wrote the file had read it from a CSV, where a
    quotation mark had swallowed rows.
    """
    for column in table.select(pl.col(pl.String)):
        for number in has_break(column).arg_true()[:1]:
            raise MinnowError(
                f"{name}: row {number + 1} has a line break in its column {shown(column.name)}:"
                f" {shown(column[number])}; make each of its lines a row, or remove the row"
            )
