"""The loss of distillation: the block `distill`."""

from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from minnow.core.params import Seed
from minnow.stages.teacher_states import StatesParams
from minnow.stages.teacher_unlabelled import UnlabelledParams

if TYPE_CHECKING:
    from minnow.training.targets import Loss


class DistillParams(StatesParams, UnlabelledParams):
    """The loss: soft_weight · `loss` on the logits + (1 − soft_weight) · cross-entropy; mse has no
    temperature.

    To that the white-box terms are added, each times its weight. Rows that only the teacher
    labelled have no cross-entropy.
    """

    model_config = ConfigDict(extra="forbid")

    loss: Literal["forward_kl", "reverse_kl", "jensen_shannon", "mse"]
    beta: Annotated[float, Field(gt=0, lt=1)]
    temperature: Annotated[float, Field(gt=0, le=100)]
    soft_weight: Annotated[float, Field(ge=0, le=1)]
    hidden_weight: Annotated[float, Field(ge=0)]
    hidden_measure: Literal["cosine", "mse"]
    attention_weight: Annotated[float, Field(ge=0)]
    relation_weight: Annotated[float, Field(ge=0)]
    relation_heads: Annotated[int, Field(ge=1)] | None
    layer_map: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None
    seed: Seed

    @property
    def inside(self) -> bool:
        """Whether there is a white-box term."""
        return self.hidden_weight > 0 or self.attention_weight > 0 or self.relation_weight > 0

    @property
    def loss_name(self) -> str:
        """The loss with the parameter that is its own."""
        return f"{self.loss}, beta {self.beta:g}" if self.loss == "jensen_shannon" else self.loss

    @property
    def logit_loss(self) -> "Loss":
        """What is made of student's and teacher's logits and the labels."""
        from minnow.distill import losses

        return losses.distillation(
            loss=self.loss,
            beta=self.beta,
            temperature=self.temperature,
            soft_weight=self.soft_weight,
        )

    @model_validator(mode="after")
    def _teacher_for_its_rows(self) -> Self:
        if self.more_text and not self.soft_weight and not self.inside:
            raise ValueError(
                "with soft_weight 0 there is nothing to learn from rows that only the teacher"
                " labels; set unlabelled to null and augmentation.copies to 0, or raise soft_weight"
                " or a white-box weight"
            )
        if self.more_text and self.inside and self.hidden_states == "stored":
            raise ValueError(
                "hidden_states 'stored' holds those of the training split alone; with unlabelled or"
                " augmentation set it to 'online'"
            )
        return self
