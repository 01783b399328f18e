"""teacher_eval: the teacher's metrics, from its stored logits."""

from pathlib import Path
from typing import Annotated

from minnow.core.files import write_json
from minnow.core.params import StageParams
from minnow.evaluation.params import Prevalences, ThresholdParams
from minnow.layout import Layout


class Params(StageParams):
    """What `teacher_eval` reads of params.yaml."""

    threshold: Annotated[ThresholdParams, "evaluate.threshold"]
    prevalence: Annotated[Prevalences, "evaluate.prevalence"]


def main(root: Path) -> None:
    """Write metrics/teacher.json."""
    params, layout = Params.load(root), Layout(root)
    from minnow.evaluation import inputs
    from minnow.evaluation.results import as_json
    from minnow.evaluation.thresholds import rule_of

    rule = rule_of(params.threshold, params.prevalence)
    headline = inputs.headline_of(layout, "teacher", rule)
    write_json(layout.metrics("teacher"), as_json(headline))
