"""Rows in, splits out: clean, de-duplicate, split, and count what happened.

All of it is pure, and nothing depends on the order of the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import PurePosixPath
from typing import TypeVar

import polars as pl

from minnow.data import times
from minnow.data.cleaning import cleaned
from minnow.data.evenness import uneven
from minnow.data.params import DataParams
from minnow.data.reports import FixedTest, PrepareReport
from minnow.data.sifting import class_counts, filtered, require_both_classes
from minnow.data.sources import Source
from minnow.errors import MinnowError, listed, shortened
from minnow.layout import SPLITS
from minnow.text import urls

Column = TypeVar("Column", pl.Expr, pl.Series)
# What `usable_rows` drops for the sake of a separate test file.
OF_TEST_FILE = ("replaced_by_test_file", "in_test_file")
SPLIT_NAMES = {name: name for name in SPLITS} | dict.fromkeys(("val", "valid", "dev"), "validation")


@dataclass(frozen=True)
class Prepared:
    """One table per split, and the report on how it came about."""

    splits: dict[str, pl.DataFrame]
    report: PrepareReport


# Dropping and splitting


def prepare_splits(source: Source, params: DataParams) -> Prepared:
    """Clean, drop and split; `params.validation` and `params.test` are the shares of what the
    source leaves unsplit.

    Raises:
        MinnowError: unknown split names, one class only, or too few rows for a split.
    """
    by_time = params.split == "time"
    named = source.rows
    if by_time:  # nobody else's splits count
        named = named.with_columns(pl.lit(None, pl.String).alias("split"))
    rows, changed = cleaned(_with_split_names(named), move_scheme=params.move_scheme)
    fixed, fixed_report = _fixed_test(source.test, move_scheme=params.move_scheme)
    published = set(rows["split"].drop_nulls()) | ({"test"} if fixed is not None else set())
    usable, dropped = usable_rows(rows, None if fixed is None else fixed["key"])
    require_both_classes(
        class_counts(usable),
        read=rows.height,
        dropped=dropped,
        remedy="give rows of both classes, and check positive_label",
    )
    shares = {"test": params.test, "validation": params.validation}
    carved = {name: share for name, share in shares.items() if name not in published}
    if by_time:
        placed = _placed_by_time(usable, carved, remove_past=params.past_domains == "remove")
    else:
        rows_in = assigned(usable, method=params.split, seed=params.seed, shares=carved)
        free = rows_in.filter(_free(usable["split"]))
        placed = Placed(rows_in, uneven(free, carved) if carved else ())
    tables = _tables(placed.rows, fixed)
    kept = {name: class_counts(table) for name, table in tables.items()}
    _require_filled(kept, by_time=by_time)
    report = PrepareReport(
        source=params.source,
        file=None if params.path is None else PurePosixPath(params.path).name,
        move_scheme=params.move_scheme,
        split=params.split,
        seed=params.seed,
        rows_read=rows.height,
        cleaned=changed,
        dropped={**dropped, **placed.dropped},
        kept=kept,
        domains={name: len(urls.known_domains(table["domain"])) for name, table in tables.items()},
        leak=round(leak(tables["train"], tables["test"]), 4),
        carved=sorted(carved),
        test_file=fixed_report,
        hub=source.hub,
        uneven=placed.uneven,
        times=times.ranges(tables) if params.time_column is not None else None,
        past_domains=placed.past_domains,
    )
    return Prepared(tables, report)


@dataclass(frozen=True)
class Placed:
    """Rows with the split that each is in, and what is told of it: a sentence for each split that
    is far from what was asked, rows dropped since, and rows whose domain the past knows, by split.
    """

    rows: pl.DataFrame
    uneven: tuple[str, ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    past_domains: Mapping[str, int] | None = None


def _placed_by_time(
    rows: pl.DataFrame, shares: Mapping[str, float], *, remove_past: bool
) -> Placed:
    placed = times.in_order(rows, shares)
    known, sentences = times.known_before(placed), times.off_share(placed, shares)
    past = {name: int(known.filter(placed["split"] == name).sum()) for name in shares}
    if not remove_past:
        return Placed(placed, sentences, past_domains=past)
    return Placed(placed.filter(~known), sentences, {"past_domain": int(known.sum())}, past)


def _with_split_names(rows: pl.DataFrame) -> pl.DataFrame:
    names = rows["split"].str.strip_chars().str.to_lowercase()
    unknown = sorted(set(names.drop_nulls().unique()) - set(SPLIT_NAMES))
    blank = names.eq("").sum()
    if blank:
        raise MinnowError(
            f"{blank} rows have a blank split; fill it in with one of {listed(SPLIT_NAMES, 10)}, or"
            " drop the rows"
        )
    if unknown:
        shown = listed([repr(shortened(name)) for name in unknown], 5)
        raise MinnowError(
            f"unknown split names {shown}; allowed: {listed(SPLIT_NAMES, 10)}; rename or remove"
            " them"
        )
    return rows.with_columns(
        names.replace_strict(SPLIT_NAMES, return_dtype=pl.String).alias("split")
    )


def usable_rows(
    rows: pl.DataFrame, test_keys: pl.Series | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Drop what cannot be used, and return what is left, by `id`, with the rows dropped per reason.

    Of a duplicate the one in test stays before validation before train, then the earliest.
    `test_keys` are a separate test file's.
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
    ordered = rows.with_columns(row_ids(rows["key"]).alias("id")).sort(
        "id", rank, *_time(rows), "text", "scheme", "label"
    )
    return filtered(ordered, unwanted)


def assigned(
    rows: pl.DataFrame, *, method: str, seed: int, shares: Mapping[str, float]
) -> pl.DataFrame:
    """Carve the splits in `shares` out of the rows in train or in no split, by a seeded hash of
    domain or key; a row without a domain goes by its key.
    """
    whole = pl.col("domain").replace("", None) if method == "domain" else pl.lit(None, pl.String)
    place = unit(rows.select(pl.coalesce(whole, "key")).to_series(), seed)
    carved, start = pl.lit("train"), 0.0
    for name, share in shares.items():
        inside = (place >= start) & (place < start + share)
        carved, start = pl.when(inside).then(pl.lit(name)).otherwise(carved), start + share
    return rows.with_columns(
        pl.when(_free(pl.col("split"))).then(carved).otherwise(pl.col("split")).alias("split")
    )


def _free(split: Column) -> Column:
    """Return which rows can be carved from: those in train or in no split."""
    return split.fill_null("train") == "train"


def _fixed_test(
    rows: pl.DataFrame | None, *, move_scheme: bool
) -> tuple[pl.DataFrame | None, FixedTest | None]:
    """Clean a separate test file and keep every labelled row of it; duplicates are counted, and
    told apart by id.
    """
    if rows is None:
        return None, None
    table, changed = cleaned(rows.filter(pl.col("label").is_not_null()), move_scheme=move_scheme)
    table = table.sort("key", "text", "scheme", "label")
    occurrence = pl.int_range(pl.len()).over("key")
    unique = (
        pl.when(occurrence > 0).then(pl.format("{}#{}", "key", occurrence)).otherwise(pl.col("key"))
    )
    contradictory = pl.col("label").min().over("key") != pl.col("label").max().over("key")
    report = FixedTest(
        rows_read=rows.height,
        cleaned=changed,
        missing_label=rows.height - table.height,
        duplicates_kept=table.height - table["key"].n_unique(),
        both_labels_kept=int(table.select(contradictory.sum()).item()),
    )
    return table.with_columns(row_ids(table.select(unique).to_series()).alias("id")), report


def _time(rows: pl.DataFrame) -> list[str]:
    """Return the column of times, if there is one."""
    return [name for name in rows.columns if name == "time"]


def _tables(rows: pl.DataFrame, fixed: pl.DataFrame | None) -> dict[str, pl.DataFrame]:
    parts = {name: rows.filter(pl.col("split") == name) for name in SPLITS}
    if fixed is not None:
        parts["test"] = fixed
    return {
        name: part.select("id", "text", "label", "domain", "scheme", *_time(part)).sort("id")
        for name, part in parts.items()
    }


def row_ids(keys: pl.Series) -> pl.Series:
    """Return the first 16 hexadecimal digits of each key's blake2b."""
    digests = [blake2b(key.encode(), digest_size=8).hexdigest() for key in keys.to_list()]
    return pl.Series(digests, dtype=pl.String)


def unit(names: pl.Series, seed: int) -> pl.Series:
    """Map each name to [0, 1), evenly and by name and seed alone (polars' own hash changes between
    versions).
    """
    salt = seed.to_bytes(8, "big")
    digests = [blake2b(name.encode(), digest_size=8, key=salt).digest() for name in names.to_list()]
    return pl.Series(
        [(int.from_bytes(digest, "big") >> 11) / 2**53 for digest in digests], dtype=pl.Float64
    )


# What is reported


def leak(train: pl.DataFrame, test: pl.DataFrame) -> float:
    """Return the share of test rows whose registered domain stands in train; 0 for no rows."""
    seen = urls.known_domains(train["domain"])
    shared = test.select(pl.col("domain").is_in(seen.implode()).mean()).item()
    return float(shared or 0)


def _require_filled(kept: Mapping[str, Mapping[str, int]], *, by_time: bool) -> None:
    other = "`past_domains: mark`" if by_time else "another `seed`, or `split: random`"
    total = sum(sum(counts.values()) for counts in kept.values())
    for split, counts in kept.items():
        for name, count in counts.items():
            if not count:
                raise MinnowError(
                    f"too few rows: {split} has no {name} row ({_counted(kept)}; {total} rows in"
                    f" all); give more rows, or set other shares `validation` and `test`, {other}"
                )


def _counted(kept: Mapping[str, Mapping[str, int]]) -> str:
    return ", ".join(
        f"{split} {'+'.join(map(str, counts.values()))}" for split, counts in kept.items()
    )
