"""compare: put one model's metrics where `dvc metrics diff` finds them in two experiments."""

from pathlib import Path
from typing import Annotated, Literal

from minnow.core.files import read_json, write_json
from minnow.core.params import Block, StageParams
from minnow.layout import Layout


class CompareParams(Block):
    """Which model stands in metrics/candidate.json."""

    model: Literal["baseline", "teacher", "student", "quantized"]


class Params(StageParams):
    """What `compare` reads of params.yaml."""

    compare: Annotated[CompareParams, "compare"]


def main(root: Path) -> None:
    """Write metrics/candidate.json, a copy of the chosen model's metrics."""
    params, layout = Params.load(root), Layout(root)
    write_json(layout.metrics("candidate"), read_json(layout.metrics(params.compare.model)))
