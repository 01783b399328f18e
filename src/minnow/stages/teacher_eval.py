"""teacher_eval: the teacher's metrics, from its stored logits."""

from pathlib import Path
from typing import Annotated

from minnow import store
from minnow.layout import Layout
from minnow.params import Block, Share, StageParams


class ThresholdParams(Block):
    """From where on a URL counts as phishing: probability 0.5, or a rate of false alarms."""

    fpr: Share | None


class Params(StageParams):
    """What `teacher_eval` reads of params.yaml."""

    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write metrics/teacher.json."""
    params, layout = Params.load(root), Layout(root)
    from minnow import scoring

    store.write_json(layout.metrics("teacher"), scoring.headline(layout, "teacher", params.threshold.fpr))
