"""Rows in, splits out: load from a source, clean, de-duplicate, split, and count what happened.

Loading gives a `Source`; from there on all is pure, and nothing depends on the order of the rows.
"""

import gzip
import html
import logging
import re
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from html.entities import html5
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa
from pyarrow import csv

from minnow import synthetic, urls
from minnow.errors import MinnowError, listed, nearest
from minnow.layout import SPLITS

SPLIT_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("val", "valid", "dev"), "validation")
CLASSES = ("safe", "phishing")
HUB_FILES = ("README.md", "*.csv*", "*.tsv*", "*.json*", "*.parquet", "*.arrow")
HUB_TIMEOUT_S = 10
ENTITY = r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);"

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
class Source:
    """Loaded rows with columns `text`, `label` (Int8 or null) and `split` (null where none is published)."""

    rows: pl.DataFrame
    test: pl.DataFrame | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """One table per split, and the report on how it came about."""

    splits: dict[str, pl.DataFrame]
    report: dict[str, Any]


# Loading


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
    snapshot = folder or hub_folder(name, revision)
    (rows,) = _labelled([hub_table(snapshot, name, columns)], columns)
    return Source(rows, facts={"id": name, "commit": None if folder else snapshot.name})


def read(path: Path, columns: Columns) -> pl.DataFrame:
    """Read CSV, TSV, JSONL (each plain or .gz) or Parquet; undecodable bytes become U+FFFD.

    Raises:
        MinnowError: one line on why the file cannot be read.
    """
    raw = _bytes(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")
    if kind not in READERS:
        raise MinnowError(f"{path.name} is of no known kind; allowed: {listed(READERS, 20)}, also with .gz")
    try:
        content = gzip.decompress(raw) if suffixes[-1] == ".gz" else raw
        table = READERS[kind](content, columns)
    except (OSError, EOFError, ValueError, zlib.error, pl.exceptions.PolarsError) as error:
        raise MinnowError(f"{path.name} cannot be read as {kind[1:]}: {_first_line(error)}; mend the file") from None
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
            "or name another one in params.yaml"
        ) from None
    except OSError as error:
        raise MinnowError(f"{path} cannot be read: {error.strerror}; name a readable file") from None
    if not raw:
        raise MinnowError(f"{path.name} is empty; fill it, or name another file")
    return raw


def _utf8(raw: bytes) -> bytes:
    utf16 = raw.startswith((b"\xff\xfe", b"\xfe\xff"))
    return raw.decode("utf-16" if utf16 else "utf-8-sig", errors="replace").encode()


def _delimited(delimiter: str) -> Callable[[bytes, Columns], pl.DataFrame]:
    def parse(raw: bytes, columns: Columns) -> pl.DataFrame:
        # Arrow takes a lone quote inside a field as it stands, where polars' parser gives up on the file.
        table = csv.read_csv(
            pa.BufferReader(_utf8(raw)),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(columns.named.values(), pa.large_string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        return pl.DataFrame(pl.from_arrow(table))

    return parse


def _jsonl(raw: bytes, columns: Columns) -> pl.DataFrame:
    return pl.read_ndjson(_utf8(raw), infer_schema_length=None)


def _parquet(raw: bytes, columns: Columns) -> pl.DataFrame:
    return pl.read_parquet(raw)


READERS: dict[str, Callable[[bytes, Columns], pl.DataFrame]] = {
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}


def hub_folder(name: str, revision: str | None) -> Path:
    """Return the local snapshot of a data set, downloaded or from the cache; the folder's name is the commit.

    Raises:
        MinnowError: the Hub cannot be reached and the cache lacks it, or there is no such data set or revision.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError  # type: ignore[attr-defined]  # of its own httpx

    if revision is None:
        logging.getLogger(__name__).warning("%s has no revision: `main` is used, which may change", name)
    wanted, commit, trouble = revision or "main", None, None
    try:
        # One request that fails at once: without a network snapshot_download retries for 23 s.
        commit = HfApi().dataset_info(name, revision=wanted, timeout=HUB_TIMEOUT_S).sha
    except HFValidationError:
        raise MinnowError(f"'{name}' is neither a folder here nor a Hub id like owner/name; correct `id`") from None
    except (HTTPError, OSError) as error:
        trouble = error
    try:
        folder = snapshot_download(
            name,
            repo_type="dataset",
            revision=commit or wanted,
            allow_patterns=list(HUB_FILES),
            local_files_only=commit is None,
        )
    except (HTTPError, OSError) as error:
        raise MinnowError(_hub_trouble(name, wanted, trouble or error)) from None
    return Path(folder)


def _hub_trouble(name: str, revision: str, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return f"data set {name} has no revision '{revision}'; set `revision` to one of its commits"
    if isinstance(error, GatedRepoError):
        return f"data set {name} is gated; accept its terms on its page, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return f"the Hub has no data set {name}, or it is private; check `id`, or run `hf auth login`"
    return (
        f"cannot reach the Hub for data set {name} @ {revision}, and the cache lacks it ({_first_line(error)}); "
        f"connect, or run `hf download --repo-type dataset {name} --revision {revision}` on a connected machine, copy "
        "its ~/.cache/huggingface/hub here and set HF_HUB_OFFLINE=1, or use the preset `embedded` or `file`"
    )


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
            raise MinnowError(f"{name} cannot be loaded as a data set: {_first_line(error)}") from None
        tables = [
            _picked(pl.DataFrame(pl.from_arrow(part.data.table)), columns, f"{name} ({split})", split)
            for split, part in loaded.items()
        ]
    return pl.concat(tables)


def _picked(table: pl.DataFrame, columns: Columns, name: str, published: str | None = None) -> pl.DataFrame:
    """Return the columns `text, label, split` as strings; rows of a `published` split without a column carry it."""
    for theirs in columns.named.values():
        if theirs not in table.columns:
            shown = listed(map(_short, table.columns))
            raise MinnowError(f"{name} has no column '{theirs}'; it has: {shown}{nearest(theirs, table.columns)}")
        if table[theirs].dtype.is_nested() or table[theirs].dtype == pl.Binary:
            raise MinnowError(f"{name}: column '{theirs}' holds {table[theirs].dtype}; text or numbers are needed")
    picked = table.select(
        (pl.col(theirs).fill_nan(None) if table[theirs].dtype.is_float() else pl.col(theirs))
        .cast(pl.String)
        .alias(ours)
        for ours, theirs in columns.named.items()
    )
    if columns.split is None:
        return _rows(picked, published)
    return picked.with_columns(pl.col("split").fill_null(""))


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
    some = listed([f"'{_short(text)}' ({rows} rows)" for text, rows in counts.items()], 5)
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
        raise MinnowError(f"{name} '{text}' does not occur: {holds}{nearest(text, counts)}")
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


# Cleaning


def _unescaped(texts: pl.Series) -> pl.Series:
    """Resolve HTML escapes, doubled ones too; without a `;` nothing is one (`&section=` is a parameter)."""

    def resolve(match: re.Match[str]) -> str:
        known = match[0].startswith("&#") or match[0][1:] in html5
        return html.unescape(match[0]) if known else match[0]

    def unescape(text: str) -> str:
        while (resolved := re.sub(ENTITY, resolve, text)) != text:
            text = resolved
        return text

    escaped = texts.str.contains(ENTITY)
    rows = [unescape(text) for text in texts.filter(escaped).to_list()]
    return texts.clone().scatter(escaped.arg_true(), pl.Series(rows, dtype=pl.String))


def _trimmed(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"^[\s'\"`]+|[\s'\"`]+$", "")


CLEANING: dict[str, Callable[[pl.Series], pl.Series]] = {
    "html_escapes": _unescaped,
    "undecodable_bytes": lambda texts: texts.str.replace_all("\ufffd", "", literal=True),
    "control_characters": lambda texts: texts.str.replace_all(r"[\p{Cc}\p{Cf}]", ""),
    "quotes_and_blanks": _trimmed,
}


def cleaned(rows: pl.DataFrame, *, move_scheme: bool) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean `text`, add `scheme`, `key` and `domain`, and count the rows that each kind of cleaning changed."""
    texts = rows["text"].fill_null("")
    counts = {}
    for kind, clean in CLEANING.items():
        before, texts = texts, clean(texts)
        counts[kind] = int((before != texts).sum())
    schemes, bare = urls.split_scheme(texts)
    counts["scheme_moved"] = int((schemes != "").sum()) if move_scheme else 0
    return (
        rows.with_columns(
            (_trimmed(bare) if move_scheme else texts).alias("text"),
            (schemes if move_scheme else pl.lit("")).alias("scheme"),
            urls.key(texts).alias("key"),
            urls.registered_domain(urls.host(texts)).alias("domain"),
        ),
        counts,
    )


# Dropping and splitting


def prepare(
    source: Source,
    *,
    move_scheme: bool,
    method: Literal["domain", "random"],
    seed: int,
    validation: float,
    test: float,
) -> Prepared:
    """Clean, drop and split; `validation` and `test` are the shares of what the source leaves unsplit.

    Raises:
        MinnowError: unknown split names, one class only, or too few rows for a split.
    """
    rows, changed = cleaned(_with_split_names(source.rows), move_scheme=move_scheme)
    fixed, test_report = _fixed_test(source.test, move_scheme=move_scheme)
    published = set(rows["split"].drop_nulls()) | ({"test"} if fixed is not None else set())
    kept, dropped = sifted(rows, None if fixed is None else fixed["key"])
    _require_both_classes(kept, rows.height, dropped)
    shares = {name: share for name, share in (("test", test), ("validation", validation)) if name not in published}
    tables = _tables(assigned(kept, method=method, seed=seed, shares=shares), fixed)
    report = {
        "rows_read": rows.height,
        "cleaned": changed,
        "dropped": dropped,
        "kept": {name: _class_counts(table) for name, table in tables.items()},
        "domains": {name: table["domain"].n_unique() for name, table in tables.items()},
        "leak": round(leak(tables["train"], tables["test"]), 4),
        "carved": sorted(shares),
        "test_file": test_report,
        **source.facts,
    }
    _require_filled(report["kept"])
    return Prepared(tables, report)


def _with_split_names(rows: pl.DataFrame) -> pl.DataFrame:
    names = rows["split"].str.strip_chars().str.to_lowercase()
    unknown = sorted(set(names.drop_nulls().unique()) - set(SPLIT_NAMES))
    if unknown:
        shown = listed([repr(_short(name)) for name in unknown], 5)
        raise MinnowError(f"unknown split names {shown}; allowed: {listed(SPLIT_NAMES, 10)}; rename or remove them")
    return rows.with_columns(names.replace_strict(SPLIT_NAMES, return_dtype=pl.String).alias("split"))


def sifted(rows: pl.DataFrame, test_keys: pl.Series | None) -> tuple[pl.DataFrame, dict[str, int]]:
    """Drop what cannot be used, and return what is left, by `id`, with the rows dropped per reason.

    Of a duplicate the one in test stays before validation before train. `test_keys` are a separate test file's.
    """
    label, key, split = pl.col("label"), pl.col("key"), pl.col("split")
    rank = split.replace_strict({"test": 0, "validation": 1}, default=2)
    in_test = key.is_in(test_keys.unique().implode()) if test_keys is not None else pl.lit(False)
    replaced = (split == "test").fill_null(False) if test_keys is not None else pl.lit(False)
    unwanted = {
        "missing_label": label.is_null(),
        "empty": key == "",
        "replaced_by_test_file": replaced,
        "in_test_file": in_test,
        "both_labels": label.min().over("key") != label.max().over("key"),
        "duplicate": ~key.is_first_distinct(),
    }
    left = rows.with_columns(ids(rows["key"]).alias("id")).sort("id", rank, "text", "scheme", "label")
    dropped = {}
    for reason, condition in unwanted.items():
        before, left = left.height, left.filter(~condition)
        dropped[reason] = before - left.height
    return left, dropped


def assigned(rows: pl.DataFrame, *, method: str, seed: int, shares: Mapping[str, float]) -> pl.DataFrame:
    """Carve the splits in `shares` out of the rows in train or in no split, by a seeded hash of domain or key."""
    place = unit(rows["domain" if method == "domain" else "key"], seed)
    carved, start = pl.lit("train"), 0.0
    for name, share in shares.items():
        inside = (place >= start) & (place < start + share)
        carved, start = pl.when(inside).then(pl.lit(name)).otherwise(carved), start + share
    free = pl.col("split").fill_null("train") == "train"
    return rows.with_columns(pl.when(free).then(carved).otherwise(pl.col("split")).alias("split"))


def _fixed_test(rows: pl.DataFrame | None, *, move_scheme: bool) -> tuple[pl.DataFrame | None, dict[str, Any] | None]:
    """Clean a separate test file and keep every labelled row of it; duplicates are counted, and told apart by id."""
    if rows is None:
        return None, None
    table, changed = cleaned(rows.filter(pl.col("label").is_not_null()), move_scheme=move_scheme)
    table = table.sort("key", "text", "scheme", "label")
    occurrence = pl.int_range(pl.len()).over("key")
    unique = pl.when(occurrence > 0).then(pl.format("{}#{}", "key", occurrence)).otherwise(pl.col("key"))
    contradictory = pl.col("label").min().over("key") != pl.col("label").max().over("key")
    report = {
        "rows_read": rows.height,
        "cleaned": changed,
        "missing_label": rows.height - table.height,
        "duplicates_kept": table.height - table["key"].n_unique(),
        "both_labels_kept": int(table.select(contradictory.sum()).item()),
    }
    return table.with_columns(ids(table.select(unique).to_series()).alias("id")), report


def _tables(rows: pl.DataFrame, fixed: pl.DataFrame | None) -> dict[str, pl.DataFrame]:
    parts = {name: rows.filter(pl.col("split") == name) for name in SPLITS}
    if fixed is not None:
        parts["test"] = fixed
    return {name: part.select("id", "text", "label", "domain", "scheme").sort("id") for name, part in parts.items()}


def ids(keys: pl.Series) -> pl.Series:
    """Return the first 16 hexadecimal digits of each key's blake2b."""
    digests = [blake2b(key.encode(), digest_size=8).hexdigest() for key in keys.to_list()]
    return pl.Series(digests, dtype=pl.String)


def unit(names: pl.Series, seed: int) -> pl.Series:
    """Map each name to [0, 1), evenly and by name and seed alone (polars' own hash changes between versions)."""
    salt = seed.to_bytes(8, "big")
    digests = [blake2b(name.encode(), digest_size=8, key=salt).digest() for name in names.to_list()]
    return pl.Series([(int.from_bytes(digest, "big") >> 11) / 2**53 for digest in digests], dtype=pl.Float64)


# What is reported


def leak(train: pl.DataFrame, test: pl.DataFrame) -> float:
    """Return the share of test rows whose registered domain stands in train; 0 for no rows."""
    shared = test.select(pl.col("domain").is_in(train["domain"].unique().implode()).mean()).item()
    return float(shared or 0)


def _class_counts(table: pl.DataFrame) -> dict[str, int]:
    return {name: int((table["label"] == label).sum()) for label, name in enumerate(CLASSES)}


def _require_both_classes(rows: pl.DataFrame, read: int, dropped: Mapping[str, int]) -> None:
    counts = _class_counts(rows)
    if all(counts.values()):
        return
    losses = listed([f"{count} {reason}" for reason, count in dropped.items() if count]) or "none"
    raise MinnowError(
        f"one class only: {counts['safe']} safe and {counts['phishing']} phishing rows of the {read} read can be used "
        f"(dropped: {losses}); give rows of both classes, and check positive_label"
    )


def _require_filled(kept: Mapping[str, Mapping[str, int]]) -> None:
    total = sum(sum(counts.values()) for counts in kept.values())
    for split, counts in kept.items():
        for name, count in counts.items():
            if not count:
                raise MinnowError(
                    f"too few rows: {split} has no {name} row ({_counted(kept)}; {total} rows in all); give more rows, "
                    f"or set other shares `validation` and `test`, another `seed`, or `split: random`"
                )


def _counted(kept: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(f"{split} {'+'.join(map(str, counts.values()))}" for split, counts in kept.items())


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else type(error).__name__
