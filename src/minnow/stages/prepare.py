"""Stage `prepare`: labelled URLs from a source → clean, disjoint splits and a report."""

from pathlib import Path
from typing import Annotated

from minnow.core.params import StageParams
from minnow.data.params import DataParams
from minnow.errors import warn
from minnow.layout import Layout


class Params(StageParams):
    data: Annotated[DataParams, "presets.*.data"]


def main(root: Path) -> None:
    """Write `data/prepared/*.parquet` and `metrics/prepare.json`."""
    params = Params.load(root)
    from minnow.core.files import replacing, write_json
    from minnow.core.tables import write_table
    from minnow.data.sources import load_source
    from minnow.data.splits import prepare_splits

    layout = Layout(root)
    prepared = prepare_splits(load_source(params.data, layout, params.preset), params.data)
    with replacing(layout.prepared) as folder:
        for name, table in prepared.splits.items():
            write_table(folder / layout.split(name).name, table)
    write_json(layout.metrics("prepare"), prepared.report.as_json())
    for sentence in prepared.report.uneven:
        warn(sentence)
