"""predict: run the student or the quantized student over validation and test."""

from pathlib import Path
from typing import Annotated

from minnow.core.params import RuntimeParams, StageParams
from minnow.core.tables import read_table
from minnow.errors import choice
from minnow.layout import Layout

PREDICTED = ("student", "quantized")


class Params(StageParams):
    """What `predict` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path, model: str = "") -> None:
    """Write one model's logits of validation and test, with ids."""
    choice("predict", model, PREDICTED)
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start
    from minnow.models.inference import store_logits

    run = start(params.runtime)
    tables = {name: read_table(layout.split(name)) for name in ("validation", "test")}
    store_logits(layout.model(model), layout.logits(model), tables, run)
