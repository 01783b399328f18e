"""The part of the block `distill` that says what is stored of the teacher.

In a file of its own, since the stage that stores reads no more: a new temperature or weight runs no teacher again.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from minnow.params import Block


class StatesParams(Block):
    """Whether the teacher runs while the student is trained, or which of its hidden states are stored before that."""

    model_config = ConfigDict(extra="ignore")

    hidden_states: Literal["online", "stored"]
    stored_layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None

    @model_validator(mode="after")
    def _layers_if_stored(self) -> Self:
        if self.hidden_states == "stored" and self.stored_layers is None:
            raise ValueError(
                "hidden_states 'stored' needs stored_layers, as [5]; if the weights need others, distill names them"
            )
        if self.hidden_states == "online" and self.stored_layers is not None:
            raise ValueError("stored_layers does not go with hidden_states 'online': set it to null")
        return self

    @property
    def layers(self) -> list[int]:
        """The layers to store, none if the teacher runs."""
        return sorted(set(self.stored_layers or []))
