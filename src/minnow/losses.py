"""Distillation losses: tensors in, a scalar out, computed in float32. Every loss is a mean over the batch.

Logits have shape (batch, labels), and p_T = softmax(logits / T). A divergence of softened distributions shrinks with
1/T² as T grows; times T² its gradient keeps its scale at every temperature (Hinton, Vinyals, Dean 2015, arXiv
1503.02531, section 2). For large T it tends to c · (centred student − centred teacher) / labels / batch in each logit,
with c = 1 for both directions of KL and β(1 − β) for Jensen-Shannon.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from minnow.training import Loss, Targets, hard_loss

SoftLoss = Callable[[Tensor, Tensor], Tensor]


def forward_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return T² · KL(teacher_T ‖ student_T) in nats: the student must cover all that the teacher holds possible.

    Hinton, Vinyals, Dean 2015, arXiv 1503.02531.
    """
    student, teacher = _softened(student_logits, temperature), _softened(teacher_logits, temperature)
    return temperature**2 * _kl(teacher, student)


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return T² · KL(student_T ‖ teacher_T) in nats: the student must not hold likely what the teacher does not.

    `forward_kl` with its arguments exchanged. MiniLLM (Gu et al. 2024, arXiv 2306.08543) minimises it without the
    factor T², over whole texts; here it is computed exactly, over the labels.
    """
    return forward_kl(teacher_logits, student_logits, temperature=temperature)


def jensen_shannon(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, beta: float = 0.5) -> Tensor:
    """Return T² · (β · KL(teacher_T ‖ m) + (1 − β) · KL(student_T ‖ m)) in nats, m = β teacher_T + (1 − β) student_T.

    The generalised Jensen-Shannon divergence of GKD (Agarwal et al. 2024, arXiv 2306.13649), 0 < β < 1. Without T² it
    is at most −β ln β − (1 − β) ln(1 − β), which is ln 2 at β = 0.5, where it is symmetric too. Divided by β it tends
    to `forward_kl` as β → 0, divided by 1 − β to `reverse_kl` as β → 1.
    """
    student, teacher = _softened(student_logits, temperature), _softened(teacher_logits, temperature)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log(1 - beta))
    return temperature**2 * (beta * _kl(teacher, mixture) + (1 - beta) * _kl(student, mixture))


def mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the mean over labels and batch of (student − teacher)², of the raw logits.

    Regression on logits (Ba, Caruana 2014, arXiv 1312.6184). There is no temperature: dividing both logits by T and
    multiplying by T² would change nothing. Unlike the divergences it also wants the logits' common shift; for logits
    whose mean is 0 it is twice what T² · KL tends to for large T.
    """
    return F.mse_loss(student_logits.float(), teacher_logits.float())


def soft_losses(*, temperature: float) -> dict[str, SoftLoss]:
    """Return what params.yaml's `distill.loss` can name, at this temperature."""
    return {
        "forward_kl": partial(forward_kl, temperature=temperature),
        "reverse_kl": partial(reverse_kl, temperature=temperature),
        "jensen_shannon": partial(jensen_shannon, temperature=temperature),
        "mse": mse,
    }


def distillation(*, loss: str, temperature: float, soft_weight: float) -> Loss:
    """Return soft_weight · soft + (1 − soft_weight) · cross-entropy, where `loss` names soft among `soft_losses`.

    It takes logits of shape (batch, labels) and `Targets` with labels (batch,) and the teacher's logits. A term of
    weight 0 is not computed: `soft_weight` 0 is the control without a teacher, 1 pure imitation. Both terms are means
    over the whole batch: a row without a label has the soft one alone, and a labelled row's two keep their proportion.
    """
    soft = soft_losses(temperature=temperature)[loss]

    def mixed(student_logits: Tensor, targets: Targets) -> Tensor:
        total = torch.zeros((), device=student_logits.device)
        if soft_weight > 0:
            assert targets.teacher_logits is not None, "the distill stage always joins the teacher's logits"
            total = total + soft_weight * soft(student_logits, targets.teacher_logits)
        if soft_weight < 1:
            total = total + (1 - soft_weight) * hard_loss(student_logits, targets)
        return total

    return mixed


def _softened(logits: Tensor, temperature: float) -> Tensor:
    """Return ln p_T in float32."""
    return F.log_softmax(logits.float() / temperature, dim=-1)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p ‖ q), a mean over the batch, of log-probabilities."""
    return F.kl_div(q, p, reduction="batchmean", log_target=True)
