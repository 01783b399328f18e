"""How a model is trained: the block `training` of teacher and student."""

from minnow.core.bounds import BatchSize, Epochs, Share, ShareOrNone
from minnow.core.params import Block


class TrainingParams(Block):
    """What `training.fit` needs to know; teacher and student have one each."""

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: Share
    warmup: ShareOrNone
    weight_decay: ShareOrNone
