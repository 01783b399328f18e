"""Rows from the generator, a file, or a data set on the Hub: their columns picked, their labels 0 and 1."""

import gzip
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from pyarrow import csv

from minnow import hub, synthetic
from minnow.errors import MinnowError, listed, nearest, reason, shortened

Label = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Which columns to read, and which of their labels mean what.

    `negative` None stands for the one other label there is; without `split` no splits are published.
    """

    text: str
    label: str
    positive: Label
    negative: Label | None = None
    split: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        wanted = {"text": self.text, "label": self.label, "split": self.split}
        return {ours: theirs for ours, theirs in wanted.items() if theirs is not None}


@dataclass(frozen=True)
class Texts:
    """Which column to read where there are no labels."""

    text: str

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        return {"text": self.text}


@dataclass(frozen=True)
class Source:
    """Loaded rows with columns `text`, `label` (Int8 or null) and `split` (null where none is published)."""

    rows: pl.DataFrame
    test: pl.DataFrame | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def load_synthetic(rows: int, *, seed: int, label_noise: float) -> Source:
    """Generate `rows` labelled URLs; `label_noise` is the share of flipped labels."""
    texts, labels = synthetic.generate(rows, seed=seed, label_noise=label_noise)
    return Source(_rows(pl.DataFrame({"text": texts, "label": labels}, schema_overrides={"label": pl.Int8})))


def load_file(path: Path, test_path: Path | None, *, columns: Columns) -> Source:
    """Read a file, and a separate test file whose own split column is ignored.

    Raises:
        MinnowError: a file is missing, empty, unreadable or lacks a column; labels outside the mapping.
    """
    tables = [_picked(read(path, columns), columns, path.name)]
    if test_path is not None:
        without_split = replace(columns, split=None)
        tables.append(_picked(read(test_path, without_split), without_split, test_path.name))
    rows, *test = _labelled(tables, columns)
    return Source(rows, test[0] if test else None)


def load_hub(name: str, *, revision: str | None, folder: Path | None, columns: Columns) -> Source:
    """Load every split of a data set on the Hub, or of a local `folder` laid out like one.

    Raises:
        MinnowError: the Hub cannot be reached or has no such data set; otherwise as `load_file`.
    """
    snapshot = folder or hub.snapshot(hub.DATA_SET, name, revision)
    (rows,) = _labelled([hub_table(snapshot, name, columns)], columns)
    return Source(rows, facts={"id": name, "commit": None if folder else snapshot.name})


def load_texts(path: Path, column: str) -> pl.DataFrame:
    """Read texts without labels: a column of what `read` takes, or the lines of a .txt; the column `text`.

    Raises:
        MinnowError: the file is missing, empty, unreadable or lacks the column.
    """
    table = read(path, Texts(column), {**READERS, ".txt": _lines})
    if column not in table.columns:
        shown = listed(map(shortened, table.columns))
        raise MinnowError(
            f"{path.name} has no column '{column}', which the preset's text column is called; it has: {shown}"
            f"{nearest(column, table.columns)}; rename the column"
        )
    return _strings(table, {"text": column}, path.name)


def read(path: Path, columns: "Columns | Texts", readers: "Mapping[str, Reader] | None" = None) -> pl.DataFrame:
    """Read CSV, TSV, JSONL (each plain or .gz) or Parquet; undecodable bytes become U+FFFD.

    Raises:
        MinnowError: one line on why the file cannot be read.
    """
    raw = _bytes(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    readers = readers or READERS
    if kind not in readers:
        raise MinnowError(f"{path.name} is of no known kind; allowed: {listed(readers, 20)}, also with .gz")
    try:
        content = gzip.decompress(raw) if suffixes[-1] == ".gz" else raw
        table = readers[kind](content, columns)
    except (OSError, EOFError, ValueError, zlib.error, pl.exceptions.PolarsError) as error:
        cause = reason(error)
        if "straddling" in cause:
            cause = "a quotation mark that opens a field is never closed"
        raise MinnowError(f"{path.name} cannot be read as {kind[1:]}: {cause}; mend the file") from None
    if table.is_empty():
        raise MinnowError(f"{path.name} holds no rows; fill it, or name another file")
    return table


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        if path.with_name(path.name + ".dvc").is_file():
            raise MinnowError(f"{path.name} is tracked by DVC but not here; run `dvc pull {path.name}.dvc`") from None
        present = sorted(file.name for file in path.parent.glob("[!.]*")) if path.parent.is_dir() else []
        raise MinnowError(
            f"{path} is missing{nearest(path.name, present)}; put the file there and run `dvc add` on it, "
            f"or name another one in params.yaml (its folder holds {listed(present) or 'no file'})"
        ) from None
    except OSError as error:
        raise MinnowError(f"{path} cannot be read: {error.strerror}; name a readable file") from None
    if not raw:
        raise MinnowError(f"{path.name} is empty; fill it, or name another file")
    return raw


def _utf8(raw: bytes) -> bytes:
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    return raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace").encode()


Reader = Callable[[bytes, Columns | Texts], pl.DataFrame]
# Bytes that Arrow parses at a time: no record may be longer, so that a quotation mark that is never closed ends here.
CSV_BLOCK = 1 << 24


def _delimited(delimiter: str) -> Reader:
    def parse(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
        # Arrow takes a lone quote inside a field as it stands, where polars' parser gives up on the file.
        table = csv.read_csv(
            pa.BufferReader(_utf8(raw)),
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
    return pl.read_ndjson(_utf8(raw), infer_schema_length=None)


def _parquet(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
    return pl.read_parquet(raw)


def _lines(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
    """Return the lines that are not blank under the name of the text column.

    `str.splitlines` would also cut at characters that a URL of an attacker's may hold, such as U+2028.
    """
    lines = [line for line in re.split(r"\r\n|\r|\n", _utf8(raw).decode()) if line.strip()]
    return pl.DataFrame({columns.text: pl.Series(lines, dtype=pl.String)})


READERS: dict[str, Reader] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}


def hub_table(folder: Path, name: str, columns: Columns) -> pl.DataFrame:
    """Read all splits of a folder as `datasets` understands it, as columns `text, label, split` of strings.

    Raises:
        MinnowError: nothing in it can be loaded, or a column is missing.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        try:
            loaded = load_dataset(str(folder), cache_dir=cache)
        except (DatasetsError, OSError, ValueError, RuntimeError) as error:
            raise MinnowError(f"{name} cannot be loaded as a data set: {reason(error)}") from None
        tables = [
            _picked(pl.DataFrame(pl.from_arrow(part.data.table)), columns, f"{name} ({split})", split)
            for split, part in loaded.items()
        ]
    return pl.concat(tables)


def _picked(table: pl.DataFrame, columns: Columns, name: str, published: str | None = None) -> pl.DataFrame:
    """Return the columns `text, label, split` as strings; rows of a `published` split without a column carry it."""
    for ours, theirs in columns.named.items():
        if theirs not in table.columns:
            shown = listed(map(shortened, table.columns))
            near = nearest(theirs, table.columns)
            raise MinnowError(f"{name} has no column '{theirs}'; it has: {shown}{near}; set {ours}_column")
    picked = _strings(table, columns.named, name)
    if columns.split is None:
        return _rows(picked, published)
    return picked.with_columns(pl.col("split").fill_null(""))


def _strings(table: pl.DataFrame, named: Mapping[str, str], name: str) -> pl.DataFrame:
    """Return columns under our names, as strings."""
    for theirs in named.values():
        if table[theirs].dtype.is_nested() or table[theirs].dtype == pl.Binary:
            raise MinnowError(f"{name}: column '{theirs}' holds {table[theirs].dtype}; text or numbers are needed")
    return table.select(
        (pl.col(theirs).fill_nan(None) if table[theirs].dtype.is_float() else pl.col(theirs))
        .cast(pl.String)
        .alias(ours)
        for ours, theirs in named.items()
    )


def _rows(table: pl.DataFrame, published: str | None = None) -> pl.DataFrame:
    return table.with_columns(pl.lit(published, dtype=pl.String).alias("split"))


# Labels


def label_text(labels: pl.Series) -> pl.Series:
    """Return labels as they are compared: trimmed, in lower case, `1.0` as `1`, empty as null."""
    text = labels.str.strip_chars().str.to_lowercase().str.replace(r"^(-?\d+)\.0+$", "$1")
    return text.to_frame("label").select(pl.when(pl.col("label") != "").then(pl.col("label"))).to_series()


def label_mapping(counts: Mapping[str, int], columns: Columns) -> dict[str, int]:
    """Return label text → 0 or 1, given the rows per label text.

    Raises:
        MinnowError: a label does not occur, there is one class only, or there are labels outside the mapping.
    """
    some = listed([f"'{shortened(text)}' ({rows} rows)" for text, rows in counts.items()], 5)
    holds = f"column '{columns.label}' holds {some or 'no label at all'}"
    positive = _occurring("positive_label", columns.positive, counts, holds)
    others = sorted(set(counts) - {positive})
    if not others:
        raise MinnowError(f"one class only: {holds}; give rows of both classes")
    if columns.negative is None and len(others) > 1:
        raise MinnowError(f"{holds}; set negative_label, or remove the rows with other labels than two")
    negative = others[0] if columns.negative is None else _occurring("negative_label", columns.negative, counts, holds)
    if negative == positive:
        raise MinnowError(f"positive_label and negative_label are both '{positive}'; {holds}")
    if len(others) > 1:
        raise MinnowError(f"{holds}; remove the rows with labels other than '{positive}' and '{negative}'")
    return {positive: 1, negative: 0}


def _occurring(name: str, label: Label, counts: Mapping[str, int], holds: str) -> str:
    text = label_text(pl.Series([str(label)])).item() or ""
    if text not in counts:
        raise MinnowError(f"{name} '{text}' does not occur: {holds}{nearest(text, counts)}; set {name} to one of these")
    return str(text)


def _labelled(tables: Sequence[pl.DataFrame], columns: Columns) -> list[pl.DataFrame]:
    """Turn label texts into 0 and 1, by one mapping for all tables."""
    texts = [label_text(table["label"]) for table in tables]
    counts = pl.concat(texts).drop_nulls().value_counts(sort=True, name="rows").sort("rows", "label", descending=True)
    mapping = label_mapping(dict(counts.rows()), columns)
    return [
        table.with_columns(text.replace_strict(mapping, return_dtype=pl.Int8).alias("label"))
        for table, text in zip(tables, texts, strict=True)
    ]
