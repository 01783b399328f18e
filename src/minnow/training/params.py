"""How a model is trained: the block `training` of teacher and student."""

from typing import Annotated

from pydantic import Field

from minnow.core.params import Block


class TrainingParams(Block):
    """What `training.fit` needs to know; teacher and student have one each."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
