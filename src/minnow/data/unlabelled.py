"""Texts for the teacher to label: those of a file, without any URL of the splits, and altered
copies. Pure.

Validation, its extra part and test are looked at for one purpose: nothing of theirs, not even
another URL of the same registered domain, may come in here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from minnow.data import augmentation, cleaning
from minnow.data.reports import Copies, FileTexts, UnlabelledReport
from minnow.data.sifting import filtered, listed_losses
from minnow.data.splits import row_ids
from minnow.errors import MinnowError
from minnow.text import urls

Splits = Mapping[str, pl.DataFrame]


@dataclass(frozen=True)
class TextFile:
    """A file of texts: how the report names it, and a table with the column `text`."""

    name: str
    texts: pl.DataFrame


@dataclass(frozen=True)
class Unlabelled:
    """Rows with columns `id`, `text` and `copy_of` (a source's id, null for rows of the file); and
    the report.
    """

    rows: pl.DataFrame
    report: UnlabelledReport


def nothing() -> Unlabelled:
    """Return what there is when nothing is asked for."""
    return Unlabelled(_no_rows("id", "text", "copy_of"), UnlabelledReport(rows=0))


def texts_to_label(
    file: TextFile | None, splits: Splits, *, move_scheme: bool, copies: int, seed: int
) -> Unlabelled:
    """Clean a file's texts, drop what the splits forbid, and add altered copies of these and of
    train's.

    Args:
        file: the texts to add; None for no file.
        splits: the prepared splits train, validation and test, and validation's extra part where
            there is one.
        move_scheme: as for the splits.
        copies: of each row of train, and of each row of the file that is kept.
        seed: of the copies.

    Raises:
        MinnowError: nothing of the file is left, or no copy could be made.
    """
    kept, of_file = _no_rows("id", "text", "key", "domain"), None
    if file is not None:
        kept, dropped = new_texts(file.texts, splits, move_scheme=move_scheme)
        of_file = FileTexts(file.name, file.texts.height, dropped, kept.height)
        _require_rows(of_file)
    made = (
        _copies(kept, splits, number=copies, seed=seed)
        if copies
        else _no_rows("id", "text", "copy_of")
    )
    asked = copies * (splits["train"].height + kept.height)
    report = UnlabelledReport(kept.height + made.height, of_file, Copies(asked, made.height))
    originals = kept.select("id", "text", copy_of=pl.lit(None, pl.String))
    return Unlabelled(pl.concat([originals, made]).sort("id"), report)


def new_texts(
    texts: pl.DataFrame, splits: Splits, *, move_scheme: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return a file's usable rows by id, as `id`, `text`, `key`, `domain`, and the rows dropped per
    reason.
    """
    rows, _ = cleaning.cleaned(texts, move_scheme=move_scheme)
    key, domain = pl.col("key"), pl.col("domain")
    unwanted = {
        "empty": key == "",
        **{f"in_{name}": key.is_in(_keys(table).implode()) for name, table in splits.items()},
        "domain_in_validation_or_test": domain.is_in(_foreign(splits).implode()),
        "duplicate": ~key.is_first_distinct(),
    }
    ordered = rows.with_columns(row_ids(rows["key"]).alias("id")).sort("id", "text", "scheme")
    left, dropped = filtered(ordered, unwanted)
    return left.select("id", "text", "key", "domain"), dropped


def _copies(kept: pl.DataFrame, splits: Splits, *, number: int, seed: int) -> pl.DataFrame:
    """Return altered copies as `id`, `text` and `copy_of`; they borrow from train alone."""
    train = splits["train"]
    made = augmentation.copies(
        pl.concat([train.select("id", "text", "domain"), kept.select("id", "text", "domain")]),
        train,
        number=number,
        seed=seed,
        taken=pl.concat([*map(_keys, splits.values()), kept["key"]]),
        foreign=_foreign(splits),
    )
    if made.is_empty():
        raise MinnowError(
            "teacher_unlabelled.copies: no row of train could be altered into another URL; set"
            " copies to 0"
        )
    return made.select(row_ids(made["key"]).alias("id"), "text", "copy_of")


def _require_rows(file: FileTexts) -> None:
    if file.kept:
        return
    raise MinnowError(
        f"no row is left of the {file.rows_read} read (dropped: {listed_losses(file.dropped)});"
        " give URLs that stand in no split, of other registered domains than those of validation"
        " and test"
    )


def _no_rows(*columns: str) -> pl.DataFrame:
    return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))


def _keys(table: pl.DataFrame) -> pl.Series:
    """Return the keys by which duplicates are found, of a prepared split."""
    return urls.key(table["text"]).alias("key")


def _foreign(splits: Splits) -> pl.Series:
    """Return the registered domains that belong to validation, its extra part, and test."""
    held_out = [table["domain"] for name, table in splits.items() if name != "train"]
    return urls.known_domains(pl.concat(held_out))
