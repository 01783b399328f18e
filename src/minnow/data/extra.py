"""Test sets beside the split: cleaned as the training data is, without URLs that the models were
made with.
"""

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from minnow.core.tables import read_table
from minnow.data import cleaning, splits
from minnow.data.params import DataParams
from minnow.data.sources import Source, watched
from minnow.errors import MinnowError, listed
from minnow.layout import Layout

if TYPE_CHECKING:
    from minnow.data.files import Columns
    from minnow.stages.predict_extra import Params


# What `data.sifted` drops for the sake of other splits than the one there is here.
OF_SPLITS = ("replaced_by_test_file", "in_test_file")


@dataclass(frozen=True)
class ExtraSet:
    """Rows with columns `id`, `text` and `label`, by id, and the report on how they came about."""

    rows: pl.DataFrame
    report: dict[str, Any]


def extra_set(
    source: Source,
    *,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    unlabelled: pl.DataFrame,
    move_scheme: bool,
) -> ExtraSet:
    """Clean a source, drop duplicates and contradictions, and take out the URLs that the models
    were made with.

    Those stand in train, in validation, or among the rows that the teacher alone labelled. The ids
    of all are those of the URLs' keys; only a test file's may be something else. `leak` is the
    share of the rows left whose registered domain stands in train.

    Raises:
        MinnowError: a class has no row left.
    """
    rows, _ = cleaning.cleaned(source.rows, move_scheme=move_scheme)
    sifted, dropped = splits.sifted(rows, None)
    seen = pl.concat([train["id"], validation["id"], unlabelled["id"]])
    kept = sifted.filter(~pl.col("id").is_in(seen.implode()))
    report = {
        "rows_read": rows.height,
        "kept": {
            name: int((kept["label"] == label).sum()) for label, name in enumerate(splits.CLASSES)
        },
        "removed_seen": sifted.height - kept.height,
        "dropped": {reason: count for reason, count in dropped.items() if reason not in OF_SPLITS},
        "leak": round(splits.leak(train, kept), 4),
    }
    _require_both_classes(report)
    return ExtraSet(kept.select("id", "text", "label"), report)


def _require_both_classes(report: dict[str, Any]) -> None:
    if all(report["kept"].values()):
        return
    counts = {"seen in training or validation": report["removed_seen"], **report["dropped"]}
    losses = listed([f"{count} {reason}" for reason, count in counts.items() if count]) or "none"
    left = " and ".join(f"{rows} {name}" for name, rows in report["kept"].items())
    raise MinnowError(
        f"{left} rows are left of the {report['rows_read']} read (removed: {losses}); give a set"
        " with rows of both classes that the models have not seen"
    )


def with_labels(logits: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return columns `id, label, logit_0, logit_1` in the order of `rows`, whose ids are those of
    the logits.
    """
    return rows.select("id", "label").join(
        logits, on="id", how="left", maintain_order="left", validate="1:1"
    )


def load(params: "Params", layout: Layout) -> "dict[str, ExtraSet]":
    """Return the sets by name.

    Raises:
        MinnowError: names the set, and why it cannot be used.
    """
    from minnow.data.sources import load_file

    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    unlabelled = read_table(layout.unlabelled_texts)
    sets: dict[str, ExtraSet] = {}
    for name, given in params.extra.files.items():
        path = watched(given, f"extra.{name}", layout, params.preset)
        try:
            source = load_file(path, None, columns=columns(params.data))
            each = extra_set(
                source,
                train=train,
                validation=validation,
                unlabelled=unlabelled,
                move_scheme=params.data.move_scheme,
            )
        except MinnowError as error:
            raise MinnowError(f"extra.{name}: {error}") from None
        file = path.relative_to(os.path.normpath(layout.root)).as_posix()
        sets[name] = ExtraSet(each.rows, {"file": file, **each.report})
    return sets


def columns(given: DataParams) -> "Columns":
    """Return which columns an extra file has: the preset's own, without a split.

    A preset of generated data names none. There they are those of prepared splits: `text` and
    `label`, 1 for phishing.
    """
    from minnow.data.files import Columns

    return (
        Columns("text", "label", 1)
        if given.source == "synthetic"
        else replace(given.columns, split=None)
    )
