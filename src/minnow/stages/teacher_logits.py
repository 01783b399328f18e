"""teacher_logits: run the teacher once over every split."""

from pathlib import Path
from typing import Annotated

from minnow import store
from minnow.layout import SPLITS, Layout
from minnow.params import RuntimeParams, StageParams


class Params(StageParams):
    """What `teacher_logits` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path) -> None:
    """Write the teacher's logits of all splits, with ids."""
    params, layout = Params.load(root), Layout(root)
    from minnow import runtime
    from minnow.logits import store_logits

    run = runtime.start(params.runtime)
    tables = {name: store.read_table(layout.split(name)) for name in SPLITS}
    store_logits(layout.model("teacher"), layout.logits("teacher"), tables, run)
