"""predict_extra: run a model over further test sets, without the URLs it was made with."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow.core.files import replacing, write_json
from minnow.core.params import RuntimeParams, StageParams
from minnow.core.tables import read_table, write_table
from minnow.data.extra import load_sets
from minnow.data.params import DataParams, ExtraParams
from minnow.errors import choice
from minnow.layout import BASELINE, JUDGED, Layout

if TYPE_CHECKING:
    from minnow.data.extra import ExtraSet


class Params(StageParams):
    """What `predict_extra` reads of params.yaml."""

    extra: Annotated[ExtraParams, "extra"]
    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path, model: str = "") -> None:
    """Write one model's logits of each set with labels, and `report.json` on how the sets came
    about.
    """
    choice("predict_extra", model, JUDGED)
    params, layout = Params.load(root), Layout(root)
    files = params.extra.files
    sets = load_sets(files, params.data, layout, params.preset) if files else {}
    with replacing(layout.extra(model)) as folder:
        if sets:
            predict(model, sets, folder, params.runtime, layout)
        report = {name: extra.report.as_json() for name, extra in sets.items()}
        write_json(folder / layout.extra_report(model).name, report)


def predict(
    model: str, sets: "dict[str, ExtraSet]", out: Path, runtime: RuntimeParams, layout: Layout
) -> None:
    """Write the model's logits of each set into the folder `out`, with the labels."""
    from minnow.data.extra import with_labels

    tables = {name: extra.rows for name, extra in sets.items()}
    if model == BASELINE:
        from minnow.evaluation import baseline

        baseline.store_baseline_logits(layout.model(model), out, tables)
    else:
        from minnow.core.runtime import start

        run = start(runtime)
        from minnow.models import inference

        inference.store_logits(layout.model(model), out, tables, run)
    for name, rows in tables.items():
        path = out / layout.extra_set(model, name).name
        write_table(path, with_labels(read_table(path), rows))
