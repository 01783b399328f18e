"""Rows from the generator, a file, or a data set on the Hub: their columns picked, their labels 0
and 1.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from minnow.core import hub
from minnow.data import synthetic, times
from minnow.data.columns import Columns, Texts, as_strings
from minnow.data.files import read_file
from minnow.data.labels import label_mapping, label_text
from minnow.data.params import DataParams
from minnow.data.reports import HubOrigin
from minnow.data.repositories import split_files
from minnow.errors import MinnowError
from minnow.layout import Layout


@dataclass(frozen=True)
class Source:
    """Loaded rows with columns `text`, `label` (Int8 or null), `split` (null where none is
    published) and, where the source has it, `time` (UTC).
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


def load_file(path: Path, test_path: Path | None, *, columns: Columns, folder: Path) -> Source:
    """Read a file, and a separate test file whose own split column is ignored; both lie in
    `folder`.

    Raises:
        MinnowError: a file is missing, empty, unreadable or lacks a column; labels outside the
        mapping; a time is missing or is none.
    """
    tables = [_picked(path, columns, path.name, folder)]
    if test_path is not None:
        without_split = replace(columns, split=None)
        tables.append(_picked(test_path, without_split, test_path.name, folder))
    rows, *test = _labelled(tables, columns)
    return Source(rows, test[0] if test else None)


def load_hub(
    name: str, *, revision: str | None, config: str | None, folder: Path | None, columns: Columns
) -> Source:
    """Load every split of a data set on the Hub, or of a local `folder` laid out like one;
    `config` is one of its configurations.

    Raises:
        MinnowError: the Hub cannot be reached or has no such data set; otherwise as `load_file`.
    """
    snapshot = folder or hub.snapshot(hub.DATA_SET, name, revision)
    (rows,) = _labelled([hub_table(snapshot, name, columns, config)], columns)
    return Source(rows, hub=HubOrigin(name, None if folder else snapshot.name, config))


def load_texts(path: Path, column: str, *, folder: Path) -> pl.DataFrame:
    """Read texts without labels, as the column `text`: a column of what `read_file` takes, or the
    lines of a .txt. The file lies in `folder`.

    Raises:
        MinnowError: the file is missing, empty, unreadable or lacks the column.
    """
    wanted = Texts(column)
    return as_strings(read_file(path, wanted, folder), wanted.named)


def hub_table(folder: Path, name: str, columns: Columns, config: str | None) -> pl.DataFrame:
    """Read all splits of a data set's folder, as columns `text, label, split` of strings.

    Raises:
        MinnowError: nothing in it can be loaded, or a column is missing.
    """
    return pl.concat(
        _picked(file, columns, f"{name} ({file.relative_to(folder)})", folder, split)
        for split, files in split_files(folder, name, config).items()
        for file in files
    )


def _picked(
    path: Path, columns: Columns, name: str, folder: Path, published: str | None = None
) -> pl.DataFrame:
    """Return a file's columns `text, label, split` as strings, and `time` where there is one; rows
    of a `published` split without a column carry it.
    """
    picked = as_strings(read_file(path, columns, folder, name), columns.named)
    if columns.time is not None:
        picked = picked.with_columns(times.times_of(picked["time"], columns.time, name))
    if columns.split is None:
        return _rows(picked, published)
    return picked.with_columns(pl.col("split").fill_null(""))


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
    place, raw = f"presets.{preset}.data", layout.raw(preset)
    if params.source == "file":
        assert params.path is not None
        path = raw_path(params.path, f"{place}.path", layout, preset)
        test = (
            None
            if params.test_path is None
            else raw_path(params.test_path, f"{place}.test_path", layout, preset)
        )
        return load_file(path, test, columns=params.columns, folder=raw)
    assert params.id is not None
    local = (layout.root / params.id).is_dir()
    folder = raw_path(params.id, f"{place}.id", layout, preset) if local else None
    if folder is not None and not folder.resolve().is_relative_to(raw.resolve()):
        raise MinnowError(
            f"{place}.id is {params.id!r}, a link out of {raw.relative_to(layout.root)}/; copy the"
            " folder itself there"
        )
    return load_hub(
        params.id,
        revision=params.revision,
        config=params.config,
        folder=folder,
        columns=params.columns,
    )


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
    require_own(raw, layout, preset)
    return path


def require_own(raw: Path, layout: Layout, preset: str) -> None:
    """Refuse a raw folder that is a link to elsewhere. One to the raw folder of the project around
    is none: a control's scratch lies within its project.

    Raises:
        MinnowError: names the folder and where it leads.
    """
    home = layout.root.resolve()
    around = [Layout(place).raw(preset) for place in (home, *home.parents)]
    end = Path(os.path.realpath(raw))
    if end not in around:
        raise MinnowError(
            f"{raw.relative_to(layout.root)} leads to {end}, outside the project; take the link"
            " away, and copy the files themselves there"
        )


def project_name(path: Path, layout: Layout) -> str:
    """Return how a path in the project is named in reports: relative to the project."""
    return path.relative_to(os.path.normpath(layout.root)).as_posix()
