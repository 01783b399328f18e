"""teacher_states: store what white-box terms need of the teacher, if they are not to run it."""

from pathlib import Path
from typing import Annotated

from minnow.core.bounds import LayerList
from minnow.core.params import Block, RuntimeParams, StageParams
from minnow.core.tables import read_table
from minnow.layout import Layout


class TeacherStatesParams(Block):
    """Which of the teacher's hidden states are stored before the student is trained.

    With null the teacher runs along with every batch.
    """

    layers: LayerList | None


class Params(StageParams):
    """What `teacher_states` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    teacher_states: Annotated[TeacherStatesParams, "teacher_states"]


def main(root: Path) -> None:
    """Write the teacher's hidden states of the training split, with ids; without layers an index
    of none.
    """
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start

    run = start(params.runtime)
    from minnow.distill import states

    train = read_table(layout.split("train"))
    layers = sorted(set(params.teacher_states.layers or []))
    states.store_states(layout.model("teacher"), layout.teacher_states, train, layers, run)
