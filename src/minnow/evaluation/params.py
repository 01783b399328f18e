"""How the models are judged: the block `evaluate`."""

from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, RootModel, model_validator

from minnow.core.bounds import Resamples, Seed, Share
from minnow.core.params import Block, Names
from minnow.errors import listed

# What is drawn in a resample: registered domains, or rows.
Unit = Literal["domain", "row"]


class Prevalences(RootModel[Annotated[list[Share], Field(max_length=10)]]):
    """Shares of phishing among all URLs, each in (0, 1), for which precision is told."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @property
    def first(self) -> float | None:
        """The first one, at which a wanted precision is meant."""
        return self.root[0] if self.root else None


class ThresholdParams(Block):
    """From where on a URL counts as phishing: probability 0.5, or what one of these asks of
    validation.
    """

    fpr: Share | None
    f1: bool
    precision: Share | None

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        given = [name for name, value in self if value]
        if len(given) > 1:
            raise ValueError(f"{listed(given)} are set; a threshold follows one rule at most")
        return self


class EvaluateParams(Block):
    """How the models are judged. Nothing is trained for it, and no model run."""

    unit: Unit | None
    threshold: ThresholdParams
    prevalence: Prevalences
    margin: Share
    extra_margin: Share
    resamples: Resamples
    seed: Seed

    @model_validator(mode="after")
    def _precision_is_at_a_prevalence(self) -> Self:
        if self.threshold.precision and not self.prevalence.root:
            raise ValueError(
                "threshold.precision is at the first prevalence, and there is none; name one,"
                " such as 0.02"
            )
        return self


ControlName = Literal["no_teacher", "random_split"]
CONTROL_NAMES: tuple[str, ...] = get_args(ControlName)
Controls = Names[ControlName]
