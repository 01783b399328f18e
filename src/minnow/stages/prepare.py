"""Stage `prepare`: labelled URLs from a source → clean, disjoint splits and a report."""

from pathlib import Path
from typing import Annotated

from minnow.core.params import StageParams
from minnow.data.params import DataParams
from minnow.data.sources import load
from minnow.layout import Layout


class Params(StageParams):
    data: Annotated[DataParams, "presets.*.data"]


def main(root: Path) -> None:
    """Write `data/prepared/*.parquet` and `metrics/prepare.json`."""
    params = Params.load(root)
    from minnow.core.files import replacing, write_json
    from minnow.core.tables import write_table
    from minnow.data import splits

    layout, given = Layout(root), params.data
    prepared = splits.prepare(
        load(given, layout, params.preset),
        move_scheme=given.move_scheme,
        method=given.split,
        seed=given.seed,
        validation=given.validation,
        test=given.test,
    )
    with replacing(layout.prepared) as folder:
        for name, table in prepared.splits.items():
            write_table(folder / layout.split(name).name, table)
    report = {"source": given.source, "split": given.split, "seed": given.seed, **prepared.report}
    write_json(layout.metrics("prepare"), report)
