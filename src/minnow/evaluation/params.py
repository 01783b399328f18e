"""How the models are judged: the block `evaluate`."""

from typing import Annotated, Literal

from pydantic import Field

from minnow.core.params import Block, Names, Seed, Share


class ThresholdParams(Block):
    """From where on a URL counts as phishing: probability 0.5, or a rate of false alarms."""

    fpr: Share | None


class EvaluateParams(Block):
    """How the models are judged. Nothing is trained for it, and no model run."""

    threshold: ThresholdParams
    margin: Annotated[float, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=1000)]
    seed: Seed


Controls = Names[Literal["no_teacher", "random_split"]]
