"""How a model is trained: the block `training` of teacher, student and recovery."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from minnow.core.bounds import BatchSize, Epochs, Factor, Share, ShareOrNone
from minnow.core.params import Block

# What a row of either class weighs, [safe, phishing]: their proportion counts.
ClassWeights = Annotated[list[Factor], Field(min_length=2, max_length=2)]


class TrainingParams(Block):
    """What `training.fit` needs to know; teacher, student and recovery have one each."""

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Share
    warmup: ShareOrNone
    weight_decay: ShareOrNone
    class_weight: Literal["balanced"] | ClassWeights | None
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
