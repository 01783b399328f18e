"""predict_extra: run a model over further test sets, without the URLs it was made with."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow.core.params import RuntimeParams, StageParams
from minnow.data.extra import load_sets, store_sets
from minnow.data.params import DataParams, ExtraParams
from minnow.errors import choice
from minnow.layout import BASELINE, JUDGED, Layout

if TYPE_CHECKING:
    import polars as pl


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
    predict = partial(store, layout.model(model), params.runtime)
    store_sets(sets, layout.extra(model), layout, predict)


def store(
    model: Path, runtime: RuntimeParams, tables: "Mapping[str, pl.DataFrame]", out: Path
) -> None:
    """Write the logits that the model in a folder gives tables into the folder `out`."""
    if model.name == BASELINE:
        from minnow.evaluation import baseline

        baseline.store_baseline_logits(model, out, tables)
    else:
        from minnow.core.runtime import start

        run = start(runtime)
        from minnow.models import inference

        inference.store_logits(model, out, tables, run)
