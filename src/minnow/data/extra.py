"""Test sets beside the split: cleaned as the training data is, without URLs that the models were
made with.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from minnow.core.files import replacing, write_json
from minnow.core.tables import read_table, write_table
from minnow.data import cleaning, splits
from minnow.data.columns import Columns
from minnow.data.params import DataParams
from minnow.data.reports import ExtraReport
from minnow.data.sifting import class_counts, require_both_classes
from minnow.data.sources import Source, load_file, project_name, raw_path
from minnow.errors import MinnowError
from minnow.layout import Layout

# The block of params.yaml that names the sets.
KEY = "extra"


@dataclass(frozen=True)
class Seen:
    """What the models were made with: the splits train and validation, and the rows that the
    teacher alone labelled. The ids of all are those of the URLs' keys.
    """

    train: pl.DataFrame
    validation: pl.DataFrame
    unlabelled: pl.DataFrame

    @property
    def ids(self) -> pl.Series:
        """The ids of all rows."""
        return pl.concat([self.train["id"], self.validation["id"], self.unlabelled["id"]])


@dataclass(frozen=True)
class ExtraSet:
    """Rows with columns `id`, `text`, `label` and `domain`, by id, and the report on how they came
    about.
    """

    rows: pl.DataFrame
    report: ExtraReport


def extra_set(source: Source, seen: Seen, *, file: str, move_scheme: bool) -> ExtraSet:
    """Clean a source, drop duplicates and contradictions, and take out the URLs that the models
    were made with.

    Args:
        source: the rows of the set.
        seen: the rows to take out.
        file: how the report names the file.
        move_scheme: as for the splits.

    Raises:
        MinnowError: a class has no row left.
    """
    usable, dropped = set_rows(source, move_scheme=move_scheme)
    kept = usable.filter(~pl.col("id").is_in(seen.ids.implode()))
    report = ExtraReport(
        file=file,
        rows_read=source.rows.height,
        kept=class_counts(kept),
        removed_seen=usable.height - kept.height,
        dropped=dropped,
        leak=round(splits.leak(seen.train, kept), 4),
    )
    require_both_classes(
        report.kept,
        read=report.rows_read,
        dropped={"seen in training or validation": report.removed_seen, **report.dropped},
        remedy="give a set with rows of both classes that the models have not seen",
    )
    return ExtraSet(kept.select("id", "text", "label", "domain"), report)


def set_rows(source: Source, *, move_scheme: bool) -> tuple[pl.DataFrame, dict[str, int]]:
    """Clean a source and drop duplicates and contradictions: return what is left, by id, and the
    rows dropped per reason.
    """
    rows, _ = cleaning.cleaned(source.rows, move_scheme=move_scheme)
    usable, dropped = splits.usable_rows(rows, None)
    return usable, {
        reason: count for reason, count in dropped.items() if reason not in splits.OF_TEST_FILE
    }


def with_labels(logits: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return columns `id, label, domain, logit_0, logit_1` in the order of `rows`, whose ids are
    those of the logits.
    """
    return rows.select("id", "label", "domain").join(
        logits, on="id", how="left", maintain_order="left", validate="1:1"
    )


def load_sets(
    files: Mapping[str, str], params: DataParams, layout: Layout, preset: str
) -> dict[str, ExtraSet]:
    """Return the sets by name, of `files` by name.

    Raises:
        MinnowError: names the set, and why it cannot be used.
    """
    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    seen = Seen(train, validation, read_table(layout.unlabelled_texts))
    sets: dict[str, ExtraSet] = {}
    for name, file in files.items():
        path = raw_path(file, f"{KEY}.{name}", layout, preset)
        try:
            source = load_file(path, None, columns=file_columns(params), folder=layout.raw(preset))
            sets[name] = extra_set(
                source,
                seen,
                file=project_name(path, layout),
                move_scheme=params.move_scheme,
            )
        except MinnowError as error:
            raise MinnowError(f"{KEY}.{name}: {error}") from None
    return sets


def file_columns(params: DataParams) -> Columns:
    """Return which columns an extra file has: the preset's own, without a split and a time.

    A preset of generated data names none. There they are those of prepared splits: `text` and
    `label`, 1 for phishing.
    """
    return (
        Columns("text", "label", 1)
        if params.source == "synthetic"
        else replace(params.columns, split=None, time=None)
    )


def store_sets(
    sets: Mapping[str, ExtraSet],
    out: Path,
    layout: Layout,
    predict: Callable[[Mapping[str, pl.DataFrame], Path], None],
) -> None:
    """Write into the folder `out` a model's logits of each set with labels, and how the sets came
    about; `predict` writes the logits of tables into a folder.
    """
    tables = {name: extra.rows for name, extra in sets.items()}
    with replacing(out) as folder:
        if tables:
            predict(tables, folder)
        for name, rows in tables.items():
            path = folder / layout.extra_set(out.name, name).name
            write_table(path, with_labels(read_table(path), rows))
        report = {name: extra.report.as_json() for name, extra in sets.items()}
        write_json(folder / layout.extra_report(out.name).name, report)
