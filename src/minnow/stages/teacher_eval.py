"""teacher_eval: the teacher's metrics, from its stored logits."""

from pathlib import Path

from minnow import store
from minnow.layout import Layout
from minnow.params import StageParams


class Params(StageParams):
    """What `teacher_eval` reads of params.yaml: nothing."""


def main(root: Path) -> None:
    """Write metrics/teacher.json."""
    layout = Layout(root)
    from minnow import scoring

    store.write_json(layout.metrics("teacher"), scoring.headline(layout, "teacher"))
