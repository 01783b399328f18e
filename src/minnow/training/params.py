"""How a model is trained: the block `training` of teacher, student and recovery."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from minnow.core.bounds import BatchSize, Epochs, Factor, Share, ShareOrNone
from minnow.core.params import Block
from minnow.errors import shortened


def _in_one_line(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Say what a weight may be once, and not for each kind that it is not."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError(
            f"{shortened(repr(value))} is neither null nor balanced nor two numbers above 0,"
            " [safe, phishing]"
        ) from None


# What a row of either class weighs, [safe, phishing]: their proportion counts.
Pair = Annotated[list[Factor], Field(min_length=2, max_length=2)]
ClassWeight = Annotated[Literal["balanced"] | Pair | None, WrapValidator(_in_one_line)]


class TrainingParams(Block):
    """What `training.fit` needs to know; teacher, student and recovery have one each."""

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Share
    warmup: ShareOrNone
    weight_decay: ShareOrNone
    class_weight: ClassWeight
    label_smoothing: ShareOrNone
    accumulate: BatchSize
    patience: Epochs | None

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> Self:
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate {self.accumulate} cuts a batch of {self.batch_size} rows into more"
                " parts than rows: lower it, or raise batch_size"
            )
        return self
