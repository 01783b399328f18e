"""teacher_states: store what white-box terms need of the teacher, if they are not to run it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from minnow.core.params import Block, RuntimeParams, StageParams
from minnow.core.tables import read_table
from minnow.layout import Layout


class StatesParams(Block):
    """Whether the teacher runs while the student is trained, or which of its hidden states are
    stored before that.
    """

    model_config = ConfigDict(extra="ignore")

    hidden_states: Literal["online", "stored"]
    stored_layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None

    @model_validator(mode="after")
    def _layers_if_stored(self) -> Self:
        if self.hidden_states == "stored" and self.stored_layers is None:
            raise ValueError(
                "hidden_states 'stored' needs stored_layers, as [5]; if the weights need others,"
                " distill names them"
            )
        if self.hidden_states == "online" and self.stored_layers is not None:
            raise ValueError(
                "stored_layers does not go with hidden_states 'online': set it to null"
            )
        return self

    @property
    def layers(self) -> list[int]:
        """The layers to store, none if the teacher runs."""
        return sorted(set(self.stored_layers or []))


class Params(StageParams):
    """What `teacher_states` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[StatesParams, "distill"]


def main(root: Path) -> None:
    """Write the teacher's hidden states of the training split, with ids; an index of none where
    none are asked for.
    """
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start
    from minnow.distill import states

    run = start(params.runtime)
    train = read_table(layout.split("train"))
    states.store_states(
        layout.model("teacher"), layout.teacher_states, train, params.distill.layers, run
    )
