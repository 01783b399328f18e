"""teacher_states: store what white-box terms need of the teacher, if they are not to run it."""

from pathlib import Path
from typing import Annotated

from minnow import store
from minnow.layout import Layout
from minnow.params import RuntimeParams, StageParams
from minnow.states_params import StatesParams


class Params(StageParams):
    """What `teacher_states` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[StatesParams, "distill"]


def main(root: Path) -> None:
    """Write the teacher's hidden states of the training split, with ids; an index of none where none are asked for."""
    params, layout = Params.load(root), Layout(root)
    from minnow import runtime, states

    run = runtime.start(params.runtime)
    train = store.read_table(layout.split("train"))
    states.store_states(layout.model("teacher"), layout.teacher_states, train, params.distill.layers, run)
