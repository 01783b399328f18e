"""compare: put one model's metrics where `dvc metrics diff` finds them in two experiments."""

from pathlib import Path
from typing import Annotated, Literal

from minnow.core.files import read_json, write_json
from minnow.core.params import Block, StageParams
from minnow.errors import MinnowError
from minnow.layout import Layout


class CompareParams(Block):
    """Which model stands in metrics/candidate.json."""

    model: Literal["baseline", "teacher", "student", "quantized", "exported"]


class Params(StageParams):
    """What `compare` reads of params.yaml."""

    compare: Annotated[CompareParams, "compare"]


def main(root: Path) -> None:
    """Write metrics/candidate.json, a copy of the chosen model's metrics.

    Raises:
        MinnowError: there are none, as of an exported model that nobody asked for.
    """
    params, layout = Params.load(root), Layout(root)
    model = params.compare.model
    if not (chosen := read_json(layout.metrics(model))):
        raise MinnowError(
            f"compare.model is {model}, and this run exported no model; set export.mode to exact or"
            " fast, or compare.model to another one"
        )
    write_json(layout.metrics("candidate"), chosen)
