"""What a model is made of: the blocks `build` and `lora`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from minnow.core.params import Block

Architecture = Literal["bert", "distilbert"]


class BuildParams(Block):
    """The shape of a model that is built from its config instead of taken from a checkpoint."""

    architecture: Architecture
    layers: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=16)]
    intermediate_size: Annotated[int, Field(ge=16)]
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"heads is {self.heads}, which does not divide hidden_size {self.hidden_size}"
            )
        return self


class LoraParams(Block):
    """Adapters of 4-bit layers; `alpha` / `rank` is what their output is multiplied by."""

    rank: Annotated[int, Field(ge=1)]
    alpha: Annotated[float, Field(gt=0)]
