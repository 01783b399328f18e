"""The loss of distillation: the block `distill`."""

from typing import TYPE_CHECKING, Literal

from minnow.core.bounds import Heads, LayerList, Portion, Seed, Share, Temperature, Weight
from minnow.core.params import Block
from minnow.errors import MinnowError

if TYPE_CHECKING:
    from minnow.training.targets import Loss


class Terms(Block):
    """What of teacher and student is compared inside them, and with which weight; 0 is nothing."""

    hidden_weight: Weight = 0.0
    hidden_measure: Literal["cosine", "mse"] = "cosine"
    attention_weight: Weight = 0.0
    relation_weight: Weight = 0.0
    relation_heads: Heads | None = None

    @property
    def any(self) -> bool:
        """Whether there is anything to compare."""
        return self.hidden_weight > 0 or self.attention_weight > 0 or self.relation_weight > 0


class DistillParams(Terms):
    """The loss: soft_weight · `loss` on the logits + (1 − soft_weight) · cross-entropy; mse has no
    temperature.

    To that the white-box terms are added, each times its weight. Rows that only the teacher
    labelled have no cross-entropy.
    """

    loss: Literal["forward_kl", "reverse_kl", "jensen_shannon", "mse"]
    beta: Share
    temperature: Temperature
    soft_weight: Portion
    hidden_weight: Weight
    hidden_measure: Literal["cosine", "mse"]
    attention_weight: Weight
    relation_weight: Weight
    relation_heads: Heads | None
    layer_map: LayerList | None
    seed: Seed

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


def check_teacher_rows(distill: DistillParams, *, more_texts: bool, stored_states: bool) -> None:
    """Refuse a loss from which rows that only the teacher labelled could teach nothing.

    Raises:
        MinnowError: there are such rows, and no term of the loss or no hidden state for them.
    """
    if more_texts and not distill.soft_weight and not distill.any:
        raise MinnowError(
            "distill.soft_weight is 0, so that there is nothing to learn from rows that only the"
            " teacher labels; set teacher_unlabelled.file to null and teacher_unlabelled.copies to"
            " 0, or raise distill.soft_weight or a white-box weight"
        )
    if more_texts and distill.any and stored_states:
        raise MinnowError(
            "teacher_states.layers stores hidden states of the training split alone; set it to"
            " null, or teacher_unlabelled.file to null and teacher_unlabelled.copies to 0"
        )
