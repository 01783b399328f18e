"""Rows from the generator, a file, or a data set on the Hub: their columns picked, their labels 0
and 1.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from minnow.core import hub
from minnow.data import synthetic
from minnow.data.files import READERS, Columns, Texts, as_utf8, read_file
from minnow.data.labels import label_mapping, label_text
from minnow.data.params import DataParams
from minnow.data.reports import HubOrigin
from minnow.errors import MinnowError, listed, nearest, reason, shortened
from minnow.layout import Layout


@dataclass(frozen=True)
class Source:
    """Loaded rows with columns `text`, `label` (Int8 or null) and `split` (null where none is
    published).
    """

    rows: pl.DataFrame
    test: pl.DataFrame | None = None
    hub: HubOrigin | None = None


def load_synthetic(rows: int, *, seed: int, label_noise: float) -> Source:
    """Generate `rows` labelled URLs; `label_noise` is the share of flipped labels."""
    texts, labels = synthetic.generate(rows, seed=seed, label_noise=label_noise)
    return Source(
        _rows(pl.DataFrame({"text": texts, "label": labels}, schema_overrides={"label": pl.Int8}))
    )


def load_file(path: Path, test_path: Path | None, *, columns: Columns) -> Source:
    """Read a file, and a separate test file whose own split column is ignored.

    Raises:
        MinnowError: a file is missing, empty, unreadable or lacks a column; labels outside the
        mapping.
    """
    tables = [_picked(read_file(path, columns), columns, path.name)]
    if test_path is not None:
        without_split = replace(columns, split=None)
        tables.append(_picked(read_file(test_path, without_split), without_split, test_path.name))
    rows, *test = _labelled(tables, columns)
    return Source(rows, test[0] if test else None)


def load_hub(name: str, *, revision: str | None, folder: Path | None, columns: Columns) -> Source:
    """Load every split of a data set on the Hub, or of a local `folder` laid out like one.

    Raises:
        MinnowError: the Hub cannot be reached or has no such data set; otherwise as `load_file`.
    """
    snapshot = folder or hub.snapshot(hub.DATA_SET, name, revision)
    (rows,) = _labelled([hub_table(snapshot, name, columns)], columns)
    return Source(rows, hub=HubOrigin(name, None if folder else snapshot.name))


def load_texts(path: Path, column: str) -> pl.DataFrame:
    """Read texts without labels: as the column `text`: a column of what `read_file`
    takes, or the lines of a .txt.

    Raises:
        MinnowError: the file is missing, empty, unreadable or lacks the column.
    """
    table = read_file(path, Texts(column), {**READERS, ".txt": _lines})
    if column not in table.columns:
        shown = listed(map(shortened, table.columns))
        raise MinnowError(
            f"{path.name} has no column '{column}', which the preset's text column is called; it"
            f" has: {shown}{nearest(column, table.columns)}; rename the column"
        )
    return _strings(table, {"text": column}, path.name)


def _lines(raw: bytes, columns: Columns | Texts) -> pl.DataFrame:
    """Return the lines that are not blank under the name of the text column.

    `str.splitlines` would also cut at characters that a URL of an attacker's may hold, such as
    U+2028.
    """
    lines = [line for line in re.split(r"\r\n|\r|\n", as_utf8(raw).decode()) if line.strip()]
    return pl.DataFrame({columns.text: pl.Series(lines, dtype=pl.String)})


def hub_table(folder: Path, name: str, columns: Columns) -> pl.DataFrame:
    """Read all splits of a folder as `datasets` understands it, as columns `text, label, split` of
    strings.

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
            _picked(
                pl.DataFrame(pl.from_arrow(part.data.table)), columns, f"{name} ({split})", split
            )
            for split, part in loaded.items()
        ]
    return pl.concat(tables)


def _picked(
    table: pl.DataFrame, columns: Columns, name: str, published: str | None = None
) -> pl.DataFrame:
    """Return the columns `text, label, split` as strings; rows of a `published` split without a
    column carry it.
    """
    for ours, theirs in columns.named.items():
        if theirs not in table.columns:
            shown = listed(map(shortened, table.columns))
            near = nearest(theirs, table.columns)
            raise MinnowError(
                f"{name} has no column '{theirs}'; it has: {shown}{near}; set {ours}_column"
            )
    picked = _strings(table, columns.named, name)
    if columns.split is None:
        return _rows(picked, published)
    return picked.with_columns(pl.col("split").fill_null(""))


def _strings(table: pl.DataFrame, named: Mapping[str, str], name: str) -> pl.DataFrame:
    """Return columns under our names, as strings."""
    for theirs in named.values():
        if table[theirs].dtype.is_nested() or table[theirs].dtype == pl.Binary:
            raise MinnowError(
                f"{name}: column '{theirs}' holds {table[theirs].dtype}; text or numbers are needed"
            )
    return table.select(
        (pl.col(theirs).fill_nan(None) if table[theirs].dtype.is_float() else pl.col(theirs))
        .cast(pl.String)
        .alias(ours)
        for ours, theirs in named.items()
    )


def _rows(table: pl.DataFrame, published: str | None = None) -> pl.DataFrame:
    return table.with_columns(pl.lit(published, dtype=pl.String).alias("split"))


def _labelled(tables: Sequence[pl.DataFrame], columns: Columns) -> list[pl.DataFrame]:
    """Turn label texts into 0 and 1, by one mapping for all tables."""
    texts = [label_text(table["label"]) for table in tables]
    counts = (
        pl.concat(texts)
        .drop_nulls()
        .value_counts(sort=True, name="rows")
        .sort("rows", "label", descending=True)
    )
    mapping = label_mapping(dict(counts.rows()), columns)
    return [
        table.with_columns(text.replace_strict(mapping, return_dtype=pl.Int8).alias("label"))
        for table, text in zip(tables, texts, strict=True)
    ]


def load_source(params: DataParams, layout: Layout, preset: str) -> Source:
    """Load the rows of the chosen source.

    Raises:
        MinnowError: they cannot be loaded, or a path lies where DVC would not watch it.
    """
    if params.source == "synthetic":
        assert params.rows is not None
        assert params.label_noise is not None
        return load_synthetic(params.rows, seed=params.seed, label_noise=params.label_noise)
    place = f"presets.{preset}.data"
    if params.source == "file":
        assert params.path is not None
        path = raw_path(params.path, f"{place}.path", layout, preset)
        test = (
            None
            if params.test_path is None
            else raw_path(params.test_path, f"{place}.test_path", layout, preset)
        )
        return load_file(path, test, columns=params.columns)
    assert params.id is not None
    local = (layout.root / params.id).is_dir()
    folder = raw_path(params.id, f"{place}.id", layout, preset) if local else None
    return load_hub(params.id, revision=params.revision, folder=folder, columns=params.columns)


def raw_path(name: str, key: str, layout: Layout, preset: str) -> Path:
    """Return a file or folder named relative to the project, which must lie in the preset's raw
    folder; `key` is the dotted key of params.yaml that names it.

    Raises:
        MinnowError: it lies elsewhere, where a change would re-run nothing.
    """
    # Not resolved: DVC may link a tracked file from its cache.
    path = Path(os.path.normpath(layout.root / name))
    raw = layout.raw(preset)
    if not path.is_relative_to(os.path.normpath(raw)):
        folder = raw.relative_to(layout.root)
        raise MinnowError(
            f"{key} is {name!r}; it must lie in {folder}/, the folder that DVC watches: move or"
            " copy it there"
        )
    return path


def project_name(path: Path, layout: Layout) -> str:
    """Return how a path in the project is named in reports: relative to the project."""
    return path.relative_to(os.path.normpath(layout.root)).as_posix()
