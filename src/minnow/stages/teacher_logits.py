"""teacher_logits: run the teacher once over every split."""

from pathlib import Path
from typing import Annotated

from minnow.core.params import RuntimeParams, StageParams
from minnow.core.tables import read_table
from minnow.layout import SPLITS, Layout


class Params(StageParams):
    """What `teacher_logits` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path) -> None:
    """Write the teacher's logits of all splits, with ids."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start
    from minnow.models.inference import store_logits

    run = start(params.runtime)
    tables = {name: read_table(layout.split(name)) for name in SPLITS}
    store_logits(layout.model("teacher"), layout.logits("teacher"), tables, run)
