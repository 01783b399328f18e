"""When a row was seen: times read from a column, splits that follow one another, and domains that
the past knows.
"""

from collections.abc import Mapping

import polars as pl

from minnow.errors import MinnowError, shortened
from minnow.layout import SPLITS

DATE, CLOCK, ZONE = r"(\d{4}-\d{2}-\d{2})", r"[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?", r"[+-]"
ISO = rf"^{DATE}(?:{CLOCK} ?(?:[Zz]|({ZONE})(\d{{2}}):?(\d{{2}}))?)?$"
SECONDS = r"^\d+(?:\.\d*)?$"
# Unix seconds of 1990 and 2100. What lies outside is milliseconds, or a date without hyphens.
FIRST, LAST = 631_152_000, 4_102_444_800
WRITTEN = "2026-03-09, 2026-03-09T08:30:00Z or unix seconds"
# A split may be off its share by this part of it: rows of one time stay together.
SHARE_OFF = 0.25


def times_of(texts: pl.Series, column: str, file: str) -> pl.Series:
    """Return times in UTC, to the second, of texts: dates and times of ISO 8601, or unix seconds.

    Without a zone a time is taken for UTC. `column` and `file` are named in errors.

    Raises:
        MinnowError: a time is missing, or is none; names the first such row, from 1.
    """
    bare = texts.fill_null("").str.strip_chars()
    times = _moment(bare)
    _require(bare != "", bare, f"{file}: column '{column}' is empty", "fill it in or drop the rows")
    _require(
        times.is_not_null(), bare, f"{file}: column '{column}' holds no time", f"write {WRITTEN}"
    )
    return times.rename("time")


def _moment(texts: pl.Series) -> pl.Series:
    """Return when each text says, null for what is no time."""
    text = pl.col("text")
    hour, minute, second = (text.str.extract(ISO, group).cast(pl.Int64) for group in (2, 3, 4))
    hours, minutes = (text.str.extract(ISO, group).cast(pl.Int64) for group in (6, 7))
    east = pl.when(text.str.extract(ISO, 5) == "-").then(-1).otherwise(1)
    legal = (hour.fill_null(0) < 24) & (minute.fill_null(0) < 60) & (second.fill_null(0) < 60)
    legal &= (hours.fill_null(0) < 24) & (minutes.fill_null(0) < 60)
    days = text.str.extract(ISO, 1).str.to_date("%Y-%m-%d", strict=False)
    clock = hour.fill_null(0) * 3600 + minute.fill_null(0) * 60 + second.fill_null(0)
    ahead = east * (hours.fill_null(0) * 3600 + minutes.fill_null(0) * 60)
    iso = pl.when(legal).then(days.cast(pl.Datetime("us")).dt.epoch("s") + clock - ahead)
    number = pl.when(text.str.contains(SECONDS)).then(text).cast(pl.Float64).floor()
    unix = pl.when(number.is_between(FIRST, LAST)).then(number.cast(pl.Int64, strict=False))
    found = texts.to_frame("text").select(pl.coalesce(iso, unix).alias("time"))
    return found.select(pl.from_epoch("time", "s").cast(pl.Datetime("us"))).to_series()


def _require(good: pl.Series, texts: pl.Series, fault: str, remedy: str) -> None:
    bad = (~good).arg_true()
    if len(bad):
        shown = texts[int(bad[0])]
        what = f", row {bad[0] + 1} first" + (f": {shortened(shown)!r}" if shown else "")
        raise MinnowError(f"{fault} in {len(bad)} rows{what}; {remedy}")


def in_order(rows: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    """Return rows with `split`: train, then validation, then test, by rising `time`.

    A cut lies between two times, where the rows before it are nearest to the share asked; rows of
    one time stay together, so the earlier split is never later.

    Raises:
        MinnowError: there are fewer times than splits.
    """
    counts = rows["time"].value_counts().sort("time")
    if counts.height < len(SPLITS):
        raise MinnowError(
            f"the rows have {counts.height} different times, and each of {len(SPLITS)} splits needs"
            " one of its own; give a finer time_column, or set split: domain"
        )
    times, before = counts["time"], counts["count"].cum_sum() - counts["count"]
    first = _nearest(before, rows.height * (1 - shares["validation"] - shares["test"]), 1, 1)
    second = _nearest(before, rows.height * (1 - shares["test"]), first + 1, 0)
    time, (validation, test) = pl.col("time"), (times[first], times[second])
    early = pl.when(time >= validation).then(pl.lit("validation")).otherwise(pl.lit("train"))
    split = pl.when(time >= test).then(pl.lit("test")).otherwise(early)
    return rows.with_columns(split.alias("split"))


def _nearest(before: pl.Series, wanted: float, first: int, left: int) -> int:
    """Return the place, from `first` on and with at least `left` behind it, where the number is
    nearest to the one wanted.
    """
    some = before.slice(first, len(before) - first - left)
    place = (some - wanted).abs().arg_min()
    assert place is not None, "there are times enough"
    return first + place


def known_before(rows: pl.DataFrame) -> pl.Series:
    """Return which rows have a domain that an earlier split has, as booleans (rows,); a row without
    a domain has none.
    """
    order = pl.col("split").replace_strict({name: at for at, name in enumerate(SPLITS)})
    known = (order > order.min().over("domain")) & (pl.col("domain") != "")
    return rows.select(known.alias("known")).to_series()


def ranges(tables: Mapping[str, pl.DataFrame]) -> dict[str, dict[str, str]]:
    """Return the first and the last time of each split, in UTC."""
    return {
        name: dict(zip(("first", "last"), _ends(table["time"]), strict=True))
        for name, table in tables.items()
    }


def _ends(times: pl.Series) -> list[str]:
    """Return the first and the last of some times, as ISO 8601 writes them."""
    return times.sort().gather([0, -1]).dt.strftime("%FT%TZ").to_list()


def off_share(rows: pl.DataFrame, shares: Mapping[str, float]) -> tuple[str, ...]:
    """Return a sentence for each split that many rows of one time keep from its share."""
    largest = rows["time"].value_counts().sort(["count", "time"], descending=[True, False]).row(0)
    return tuple(
        f"{name} has {found:.0%} of the rows where {share:.0%} were asked; {largest[1]} rows have"
        f" the time {largest[0]:%FT%TZ} and stay together: give a finer time_column"
        for name, share in shares.items()
        if abs((found := int(rows["split"].eq(name).sum()) / rows.height) - share)
        > SHARE_OFF * share
    )
