"""Stage `prepare`: labelled URLs from a source → clean, disjoint splits and a report."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from minnow.core.params import StageParams
from minnow.data.params import DataParams, ExtraParams, FileOrNone
from minnow.errors import warn
from minnow.layout import Layout


class Params(StageParams):
    """What `prepare` reads of params.yaml: of the further test sets, which rows may not choose."""

    data: Annotated[DataParams, "presets.*.data"]
    validation_extra: Annotated[FileOrNone, "evaluate.validation_extra"]
    extra: Annotated[ExtraParams, "extra"]


def main(root: Path) -> None:
    """Write `data/prepared/*.parquet` and `metrics/prepare.json`. Validation's extra part is a
    table without rows where none is asked for.
    """
    params = Params.load(root)
    from minnow.core.files import replacing, write_json
    from minnow.core.tables import write_table
    from minnow.data import validation_extra
    from minnow.data.sources import load_source
    from minnow.data.splits import prepare_splits

    layout = Layout(root)
    prepared = prepare_splits(load_source(params.data, layout, params.preset), params.data)
    extra = validation_extra.no_part()
    if (file := params.validation_extra.root) is not None:
        extra = validation_extra.load_validation_extra(
            file, prepared.splits, params.extra.files, params.data, layout, params.preset
        )
    report = replace(prepared.report, validation_extra=extra.report)
    with replacing(layout.prepared) as folder:
        for name, table in prepared.splits.items():
            write_table(folder / layout.split(name).name, table)
        write_table(folder / layout.validation_extra.name, extra.rows)
    write_json(layout.metrics("prepare"), report.as_json())
    for sentence in report.uneven:
        warn(sentence)
