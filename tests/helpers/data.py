"""Rows, params and projects for the tests of data and sources."""

from pathlib import Path
from typing import Any

import polars as pl
import yaml

from minnow.core.files import read_json
from minnow.core.tables import read_table
from minnow.data import params, sources, splits, synthetic
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare

FIELDS = dict.fromkeys(params.DataParams.model_fields)
SPLIT = {
    "seed": 0,
    "move_scheme": True,
    "split": "domain",
    "past_domains": "remove",
    "validation": 0.25,
    "test": 0.25,
}
FILE = FIELDS | SPLIT | {"source": "file", "path": "data/raw/file/urls.csv", "text_column": "url"}
FILE |= {"label_column": "label", "positive_label": "1"}
HUB = (
    FIELDS
    | SPLIT
    | {"source": "hub", "id": "data/raw/hub/set", "text_column": "text", "label_column": "labels"}
)
HUB |= {"positive_label": 1}
SHARES: dict[str, Any] = {"validation": 0.2, "test": 0.2}

Row = tuple[str | None, int | None, str | None]


def source(*rows: Row, test: list[Row] | None = None) -> sources.Source:
    def table(rows: Any) -> pl.DataFrame:
        return pl.DataFrame(
            rows, schema={"text": pl.String, "label": pl.Int8, "split": pl.String}, orient="row"
        )

    return sources.Source(table(rows), None if test is None else table(test))


def run(
    rows: sources.Source, *, seed: int = 0, method: str = "domain", **shares: float
) -> splits.Prepared:
    block = FIELDS | SPLIT | SHARES | shares | {"seed": seed, "split": method}
    block |= {"source": "synthetic", "rows": 1, "label_noise": 0.0}
    return splits.prepare_splits(rows, params.DataParams.model_validate(block))


def filler(split: str | None, name: str = "fill") -> list[Row]:
    """One row of each class for a published split."""
    return [(f"{name}-{split}-{label}.com", label, split) for label in (0, 1)]


PUBLISHED = [row for split in SPLITS for row in filler(split)]


def project(root: Path, block: dict[str, Any], preset: str = "file") -> Path:
    Layout(root).raw(preset).mkdir(parents=True, exist_ok=True)
    Layout(root).params.write_text(
        yaml.safe_dump(
            {
                "preset": preset,
                "presets": {preset: {"data": block}},
                "evaluate": {"validation_extra": None},
                "extra": {},
            }
        )
    )
    return root


def outcome(root: Path) -> tuple[dict[str, pl.DataFrame], dict[str, Any]]:
    prepare.main(root)
    layout = Layout(root)
    return {name: read_table(layout.split(name)) for name in SPLITS}, read_json(
        layout.metrics("prepare")
    )


def many(rows: int = 400) -> pl.DataFrame:
    texts, labels = synthetic.generate(rows, seed=1, label_noise=0.0)
    return pl.DataFrame({"url": texts, "label": labels})
