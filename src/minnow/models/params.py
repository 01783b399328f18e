"""What a model is made of: the blocks `build` and `lora`."""

from typing import Literal, Self

from pydantic import model_validator

from minnow.core import estimates
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


def require_room(shape: BuildParams, *, pieces: int, length: int) -> None:
    """Refuse a shape whose training could not fit into this machine's memory.

    Raises:
        ValueError: says the estimate, and what to lower.
    """
    count = estimates.weights(
        layers=shape.layers,
        hidden=shape.hidden_size,
        neurons=shape.intermediate_size,
        pieces=pieces,
        length=length,
    )
    estimates.require_memory(
        f"training build's {count / 1e6:,.0f} million weights",
        count * estimates.BYTES_A_TRAINED_WEIGHT,
        "hidden_size, layers, intermediate_size or the vocabulary",
    )


class LoraParams(Block):
    """Adapters of 4-bit layers; `alpha` / `rank` is what their output is multiplied by."""

    rank: Rank
    alpha: Factor
