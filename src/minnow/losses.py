"""Distillation losses: tensors in, a scalar out, computed in float32. Every loss is a mean over the batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from minnow.training import Loss, Targets


def soft_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return T² · KL(teacher_T ‖ student_T) in nats, averaged over the batch.

    Both logits have shape (batch, labels); p_T = softmax(logits / T). T² keeps the gradient's scale the same at
    every temperature (Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 2).
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    return temperature**2 * F.kl_div(student, teacher, reduction="batchmean", log_target=True)


def distillation(*, temperature: float, soft_weight: float) -> Loss:
    """Return the loss soft_weight · T² · KL(teacher_T ‖ student_T) + (1 − soft_weight) · cross-entropy.

    It takes logits of shape (batch, labels) and `Targets` with labels (batch,) and the teacher's logits. A term of
    weight 0 is not computed: `soft_weight` 0 is the control without a teacher, 1 pure imitation.
    """

    def loss(student_logits: Tensor, targets: Targets) -> Tensor:
        total = torch.zeros((), device=student_logits.device)
        if soft_weight > 0:
            assert targets.teacher_logits is not None, "the distill stage always joins the teacher's logits"
            total = total + soft_weight * soft_kl(student_logits, targets.teacher_logits, temperature=temperature)
        if soft_weight < 1:
            total = total + (1 - soft_weight) * F.cross_entropy(student_logits.float(), targets.labels)
        return total

    return loss
