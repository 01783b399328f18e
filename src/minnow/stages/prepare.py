"""Stage `prepare`: labelled URLs from a source → clean, disjoint splits and a report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.params import Block, Seed, Share, StageParams

if TYPE_CHECKING:
    from minnow.sources import Columns, Source

FIELDS = {
    "synthetic": {"required": ("rows", "label_noise"), "optional": ()},
    "hub": {
        "required": ("id", "text_column", "label_column", "positive_label"),
        "optional": ("revision", "split_column", "negative_label"),
    },
    "file": {
        "required": ("path", "text_column", "label_column", "positive_label"),
        "optional": ("test_path", "split_column", "negative_label"),
    },
}


class DataParams(Block):
    """Where the rows come from and how they are split; a field that the source does not know must be null."""

    source: Literal["synthetic", "hub", "file"]
    seed: Seed
    path: str | None
    test_path: str | None
    id: str | None
    revision: str | None
    text_column: str | None
    label_column: str | None
    split_column: str | None
    positive_label: str | int | float | bool | None
    negative_label: str | int | float | bool | None
    rows: Annotated[int, Field(ge=1)] | None
    label_noise: Annotated[float, Field(ge=0, lt=0.5)] | None
    move_scheme: bool
    split: Literal["domain", "random"]
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _fits_source(self) -> Self:
        known = FIELDS[self.source]
        for name in dict.fromkeys(name for fields in FIELDS.values() for group in fields.values() for name in group):
            given = getattr(self, name) is not None
            if name in known["required"] and not given:
                raise ValueError(f"source {self.source} needs {name}, which is null")
            if given and name not in known["required"] + known["optional"]:
                raise ValueError(f"source {self.source} has no use for {name}; set {name}: null")
        return self

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation} + test {self.test} leave nothing to train on; lower them")
        return self

    @property
    def columns(self) -> "Columns":
        """What to read of a file or a data set on the Hub."""
        from minnow.sources import Columns

        assert self.text_column is not None
        assert self.label_column is not None
        assert self.positive_label is not None
        return Columns(self.text_column, self.label_column, self.positive_label, self.negative_label, self.split_column)


class Params(StageParams):
    data: Annotated[DataParams, "presets.*.data"]


def main(root: Path) -> None:
    """Write `data/prepared/*.parquet` and `metrics/prepare.json`."""
    params = Params.load(root)
    from minnow import data, store

    layout, given = Layout(root), params.data
    prepared = data.prepare(
        load(given, layout, params.preset),
        move_scheme=given.move_scheme,
        method=given.split,
        seed=given.seed,
        validation=given.validation,
        test=given.test,
    )
    with store.replacing(layout.prepared) as folder:
        for name, table in prepared.splits.items():
            store.write_table(folder / layout.split(name).name, table)
    report = {"source": given.source, "split": given.split, "seed": given.seed, **prepared.report}
    store.write_json(layout.metrics("prepare"), report)


def load(given: DataParams, layout: Layout, preset: str) -> "Source":
    """Load the rows of the chosen source.

    Raises:
        MinnowError: they cannot be loaded, or a path lies where DVC would not watch it.
    """
    from minnow import sources

    if given.source == "synthetic":
        assert given.rows is not None
        assert given.label_noise is not None
        return sources.load_synthetic(given.rows, seed=given.seed, label_noise=given.label_noise)
    place = f"presets.{preset}.data"
    if given.source == "file":
        assert given.path is not None
        path = watched(given.path, f"{place}.path", layout, preset)
        test = None if given.test_path is None else watched(given.test_path, f"{place}.test_path", layout, preset)
        return sources.load_file(path, test, columns=given.columns)
    assert given.id is not None
    local = (layout.root / given.id).is_dir()
    folder = watched(given.id, f"{place}.id", layout, preset) if local else None
    return sources.load_hub(given.id, revision=given.revision, folder=folder, columns=given.columns)


def watched(given: str, key: str, layout: Layout, preset: str) -> Path:
    """Return a path given relative to the project, under a dotted key, which must lie in the preset's raw folder.

    Raises:
        MinnowError: it lies elsewhere, where a change would re-run nothing.
    """
    # Not resolved: DVC may link a tracked file from its cache.
    path = Path(os.path.normpath(layout.root / given))
    raw = layout.raw(preset)
    if not path.is_relative_to(os.path.normpath(raw)):
        folder = raw.relative_to(layout.root)
        raise MinnowError(
            f"{key} is {given!r}; it must lie in {folder}/, the folder that DVC watches: move or copy it there"
        )
    return path
