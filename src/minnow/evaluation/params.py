"""How the models are judged: the block `evaluate`."""

from typing import Literal, get_args

from minnow.core.bounds import Resamples, Seed, Share
from minnow.core.params import Block, Names, ThresholdParams


class EvaluateParams(Block):
    """How the models are judged. Nothing is trained for it, and no model run."""

    threshold: ThresholdParams
    margin: Share
    resamples: Resamples
    seed: Seed


ControlName = Literal["no_teacher", "random_split"]
CONTROL_NAMES: tuple[str, ...] = get_args(ControlName)
Controls = Names[ControlName]
