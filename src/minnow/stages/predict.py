"""predict: run the student or the quantized student over validation and test."""

from pathlib import Path
from typing import Annotated

from minnow import store
from minnow.errors import MinnowError, nearest
from minnow.layout import Layout
from minnow.params import RuntimeParams, StageParams

PREDICTED = ("student", "quantized")


class Params(StageParams):
    """What `predict` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path, model: str = "") -> None:
    """Write one model's logits of validation and test, with ids."""
    if model not in PREDICTED:
        raise MinnowError(f"predict takes one of {', '.join(PREDICTED)}, given {model!r}{nearest(model, PREDICTED)}")
    params, layout = Params.load(root), Layout(root)
    from minnow import runtime
    from minnow.logits import store_logits

    run = runtime.start(params.runtime)
    tables = {name: store.read_table(layout.split(name)) for name in ("validation", "test")}
    store_logits(layout.model(model), layout.logits(model), tables, run)
