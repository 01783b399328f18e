"""What a model is made of: the blocks `build` and `lora`."""

from typing import Literal, Self

from pydantic import model_validator

from minnow.core.bounds import Factor, Heads, Layers, Neurons, Rank, ShareOrNone, Width
from minnow.core.params import Block

Architecture = Literal["bert", "distilbert"]


class BuildParams(Block):
    """The shape of a model that is built from its config instead of taken from a checkpoint."""

    architecture: Architecture
    layers: Layers
    heads: Heads
    hidden_size: Width
    intermediate_size: Neurons
    dropout: ShareOrNone

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(
                f"heads is {self.heads}, which does not divide hidden_size {self.hidden_size}"
            )
        return self


class LoraParams(Block):
    """Adapters of 4-bit layers; `alpha` / `rank` is what their output is multiplied by."""

    rank: Rank
    alpha: Factor
