"""Validation's extra part: rows of another origin, which choose beside validation's own.

What chooses cannot report. So rows that share a URL or a registered domain with a test set are
taken out here, and the test sets stay whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from minnow.data import splits
from minnow.data.extra import KEY as TESTS
from minnow.data.extra import file_columns, set_rows
from minnow.data.params import DataParams
from minnow.data.reports import ValidationExtraReport
from minnow.data.sifting import class_counts, filtered, require_both_classes
from minnow.data.sources import Source, load_file, project_name, raw_path
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.text import urls

KEY = "evaluate.validation_extra"
SCHEMA = {"id": pl.String, "text": pl.String, "label": pl.Int8, "domain": pl.String}


@dataclass(frozen=True)
class ExtraPart:
    """Rows with columns `id`, `text`, `label` and `domain`, by id, and the report on how they came
    about; None where none were asked for.
    """

    rows: pl.DataFrame
    report: ValidationExtraReport | None


def no_part() -> ExtraPart:
    """Return what there is when nothing is asked for."""
    return ExtraPart(pl.DataFrame(schema=SCHEMA), None)


def extra_part(
    source: Source,
    prepared: Mapping[str, pl.DataFrame],
    tests: Mapping[str, pl.DataFrame],
    *,
    file: str,
    move_scheme: bool,
) -> ExtraPart:
    """Clean a source, drop duplicates and contradictions, and take out the URLs of train and
    validation and what belongs to a test set.

    Args:
        source: the rows that shall choose.
        prepared: the splits by name.
        tests: further test sets by name, with `id` and `domain`.
        file: how the report names the file.
        move_scheme: as for the splits.

    Raises:
        MinnowError: a class has no row left.
    """
    usable, dropped = set_rows(source, move_scheme=move_scheme)
    seen = pl.concat([prepared[name]["id"] for name in ("train", "validation")])
    held_out = {"test": prepared["test"], **tests}
    unwanted = {
        "seen": pl.col("id").is_in(seen.implode()),
        **{name: shared_with(table) for name, table in held_out.items()},
    }
    kept, removed = filtered(usable, unwanted)
    report = ValidationExtraReport(
        file=file,
        rows_read=source.rows.height,
        kept=class_counts(kept),
        domains=len(urls.known_domains(kept["domain"])),
        removed=removed,
        dropped=dropped,
        leak=round(splits.leak(prepared["train"], kept), 4),
    )
    require_both_classes(
        report.kept,
        read=report.rows_read,
        dropped={**dropped, **{f"in {name}": count for name, count in removed.items()}},
        remedy="give rows of both classes that are in no split, of registered domains that are in"
        " no test set",
    )
    return ExtraPart(kept.select(*SCHEMA), report)


def shared_with(test: pl.DataFrame) -> pl.Expr:
    """Return which rows have a URL or a registered domain of a test set."""
    same_url = pl.col("id").is_in(test["id"].implode())
    return same_url | pl.col("domain").is_in(urls.known_domains(test["domain"]).implode())


def load_validation_extra(
    name: str,
    prepared: Mapping[str, pl.DataFrame],
    tests: Mapping[str, str],
    params: DataParams,
    layout: Layout,
    preset: str,
) -> ExtraPart:
    """Return the rows of the file `name` that may choose, given the prepared splits and the files
    of further test sets by name.

    Raises:
        MinnowError: names the file's key, and why it cannot be used.
    """
    path, folder = raw_path(name, KEY, layout, preset), layout.raw(preset)
    columns, held_out = file_columns(params), {}
    for test, file in tests.items():
        key = f"{TESTS}.{test}"
        other = raw_path(file, key, layout, preset)
        if other == path:
            raise MinnowError(
                f"{KEY} and {key} name the same file, {file}, and what chooses cannot report: set"
                f" {KEY} to another file, or take {test} off {TESTS}"
            )
        try:
            source = load_file(other, None, columns=columns, folder=folder)
        except MinnowError as error:
            raise MinnowError(f"{key}: {error}") from None
        held_out[key], _ = set_rows(source, move_scheme=params.move_scheme)
    try:
        return extra_part(
            load_file(path, None, columns=columns, folder=folder),
            prepared,
            held_out,
            file=project_name(path, layout),
            move_scheme=params.move_scheme,
        )
    except MinnowError as error:
        raise MinnowError(f"{KEY}: {error}") from None
