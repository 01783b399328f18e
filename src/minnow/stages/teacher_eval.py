"""teacher_eval: the teacher's metrics, from its stored logits."""

from pathlib import Path
from typing import Annotated

from minnow.core.files import write_json
from minnow.core.params import Select, StageParams, ThresholdParams
from minnow.layout import Layout


class Params(StageParams):
    """What `teacher_eval` reads of params.yaml."""

    select: Annotated[Select, "select"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write metrics/teacher.json."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.selection import Selection
    from minnow.evaluation import inputs, results

    selection = Selection(params.select.root, params.threshold)
    headline = inputs.headline_of(layout, "teacher", selection)
    write_json(layout.metrics("teacher"), results.as_json(headline))
