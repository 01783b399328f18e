"""CSV, TSV, JSONL and Parquet files into tables of strings."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
from pyarrow import csv

from minnow.errors import MinnowError, listed, nearest, reason

Label = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Which columns to read, and which of their labels mean what.

    `negative` None stands for the one other label there is; without `split` no splits are
    published.
    """

    text: str
    label: str
    positive: Label
    negative: Label | None = None
    split: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        names = {"text": self.text, "label": self.label, "split": self.split}
        return {ours: theirs for ours, theirs in names.items() if theirs is not None}


@dataclass(frozen=True)
class Texts:
    """Which column to read where there are no labels."""

    text: str

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        return {"text": self.text}


def read_file(
    path: Path, columns: "Columns | Texts", readers: "Mapping[str, Reader] | None" = None
) -> pl.DataFrame:
    """Read CSV, TSV, JSONL (each plain or .gz) or Parquet; undecodable bytes become U+FFFD.

    Raises:
        MinnowError: one line on why the file cannot be read.
    """
    raw = _bytes(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    readers = readers or READERS
    if kind not in readers:
        raise MinnowError(
            f"{path.name} is of no known kind; allowed: {listed(readers, 20)}, also with .gz"
        )
    try:
        content = gzip.decompress(raw) if suffixes[-1] == ".gz" else raw
        table = readers[kind](content, columns)
    except (OSError, EOFError, ValueError, zlib.error, pl.exceptions.PolarsError) as error:
        cause = reason(error)
        if "straddling" in cause:
            cause = "a quotation mark that opens a field is never closed"
        raise MinnowError(
            f"{path.name} cannot be read as {kind[1:]}: {cause}; mend the file"
        ) from None
    if table.is_empty():
        raise MinnowError(f"{path.name} holds no rows; fill it, or name another file")
    return table


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.with_name(path.name + ".dvc").is_file():
            raise MinnowError(
                f"{path.name} is tracked by DVC but not here; run `dvc pull {path.name}.dvc`"
            ) from None
        present = (
            sorted(file.name for file in path.parent.glob("[!.]*")) if path.parent.is_dir() else []
        )
        raise MinnowError(
            f"{path} is missing{nearest(path.name, present)}; put the file there and run `dvc add`"
            " on it, or name another one in params.yaml (its folder holds"
            f" {listed(present) or 'no file'})"
        ) from None
    except OSError as error:
        raise MinnowError(
            f"{path} cannot be read: {error.strerror}; name a readable file"
        ) from None
    if not raw:
        raise MinnowError(f"{path.name} is empty; fill it, or name another file")
    return raw


def as_utf8(raw: bytes) -> bytes:
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    return raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace").encode()


Reader = Callable[[bytes, Columns | Texts], pl.DataFrame]
# Bytes that Arrow parses at a time: no record may be longer, so that a quotation mark that is never
# closed ends here.
CSV_BLOCK = 1 << 24


def _delimited(delimiter: str) -> Reader:
    def parse(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
        # Arrow takes a lone quote inside a field as it stands, where polars' parser gives up on the
        # file.
        table = csv.read_csv(
            pa.BufferReader(as_utf8(raw)),
            read_options=csv.ReadOptions(block_size=CSV_BLOCK),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns.named.values(), pa.large_string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        return pl.DataFrame(pl.from_arrow(table))

    return parse


def _jsonl(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
    return pl.read_ndjson(as_utf8(raw), infer_schema_length=None)


def _parquet(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
    return pl.read_parquet(raw)


READERS: dict[str, Reader] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
