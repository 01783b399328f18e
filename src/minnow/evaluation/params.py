"""How the models are judged: the block `evaluate`."""

from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field, RootModel

from minnow.core.bounds import Place, Resamples, Seed, Share
from minnow.core.params import Block, Names, ThresholdParams

# What is drawn in a resample: registered domains, or rows.
Unit = Literal["domain", "row"]


class Prevalences(RootModel[Annotated[list[Share], Field(max_length=10)]]):
    """Shares of phishing among all URLs, each in (0, 1), for which precision is told."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)


class EvaluateParams(Block):
    """How the models are judged. Of all this, `threshold` alone is asked for in training too;
    `validation_extra`, which chooses there and judges nothing, is `prepare`'s to read.
    """

    unit: Unit | None
    threshold: ThresholdParams
    validation_extra: Place | None
    prevalence: Prevalences
    margin: Share
    extra_margin: Share
    resamples: Resamples
    seed: Seed


ControlName = Literal["no_teacher", "random_split"]
CONTROL_NAMES: tuple[str, ...] = get_args(ControlName)
Controls = Names[ControlName]
