"""What a training takes of memory, said where it ran out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from minnow.errors import MemoryShortage, is_out_of_memory
from minnow.models.batching import Encoded
from minnow.training.params import TrainingParams

# Float32 numbers kept of every trained weight: its gradient and AdamW's two moments.
OPTIMIZER_COPIES = 3
# Bytes that a layer keeps for the backward pass, after Korthikanti et al. (2022), section 4.1:
# sbh (34 + 5 as/h) at 2 bytes a number, so about twice that in float32.
KEPT, KEPT_OF_SCORES = 68, 10


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training takes, about: the weights with the best epoch's copy, what the
    optimizer keeps, and one batch of the longest texts.
    """

    weights: int
    optimizer: int
    batch: int

    def __str__(self) -> str:
        parts = zip(
            ("weights", "optimizer", "a batch"),
            (self.weights, self.optimizer, self.batch),
            strict=True,
        )
        return ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in parts)


def training_memory(model: nn.Module, *, batch_size: int, length: int) -> TrainingMemory:
    """Return what a training of `model` takes with batches of `batch_size` texts of `length`
    tokens.
    """
    numbers = [weight.numel() for weight in model.parameters()]
    trained = [weight.numel() for weight in model.parameters() if weight.requires_grad]
    config = getattr(model, "config", None)
    layers, width, heads = (
        int(getattr(config, name, 0) or 0)
        for name in ("num_hidden_layers", "hidden_size", "num_attention_heads")
    )
    a_layer = batch_size * length * (KEPT * width + KEPT_OF_SCORES * heads * length)
    return TrainingMemory(
        weights=4 * (sum(numbers) + sum(trained)),
        optimizer=4 * OPTIMIZER_COPIES * sum(trained),
        batch=layers * a_layer,
    )


@contextmanager
def explaining_memory(model: nn.Module, encoded: Encoded, params: TrainingParams) -> Iterator[None]:
    """Say what the training takes where memory runs out in the block.

    Raises:
        MemoryShortage: it ran out.
    """
    size, length = -(-params.batch_size // params.accumulate), int(encoded.lengths.max())
    takes = training_memory(model, batch_size=size, length=length)
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryShortage(
            f"this training takes about: {takes} of {size} texts of {length} tokens"
        ) from error
