"""Distillation losses: tensors in, a scalar out, computed in float32. Every loss on logits is a
mean over the batch.

Logits have shape (batch, labels), and p_T = softmax(logits / T). A divergence of softened
distributions shrinks with 1/T² as T grows; times T² its gradient keeps its scale at every
temperature (Hinton, Vinyals, Dean 2015, arXiv 1503.02531, section 2). For large T it tends to c ·
(centred student − centred teacher) / labels / batch in each logit, with c = 1 for both directions
of KL and β(1 − β) for Jensen-Shannon.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from minnow.training.targets import Loss, Targets, hard_loss

SoftLoss = Callable[[Tensor, Tensor], Tensor]


def forward_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return T² · KL(teacher_T ‖ student_T) in nats: the student must cover all that the teacher
    holds possible.

    Hinton, Vinyals, Dean 2015, arXiv 1503.02531.
    """
    student, teacher = (
        _softened(student_logits, temperature),
        _softened(teacher_logits, temperature),
    )
    return temperature**2 * _kl(teacher, student)


def reverse_kl(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Return T² · KL(student_T ‖ teacher_T) in nats: the student must not hold likely what the
    teacher does not.

    `forward_kl` with its arguments exchanged. MiniLLM (Gu et al. 2024, arXiv 2306.08543) minimises
    it without the factor T², over whole texts; here it is computed exactly, over the labels.
    """
    return forward_kl(teacher_logits, student_logits, temperature=temperature)


def jensen_shannon(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float, beta: float = 0.5
) -> Tensor:
    """Return T² · (β · KL(teacher_T ‖ m) + (1 − β) · KL(student_T ‖ m)) in nats, m = β teacher_T +
    (1 − β) student_T.

    The generalised Jensen-Shannon divergence of GKD (Agarwal et al. 2024, arXiv 2306.13649), 0 < β
    < 1. Without T² it is at most −β ln β − (1 − β) ln(1 − β), which is ln 2 at β = 0.5, where it is
    symmetric too. Divided by β it tends to `forward_kl` as β → 0, divided by 1 − β to `reverse_kl`
    as β → 1.
    """
    student, teacher = (
        _softened(student_logits, temperature),
        _softened(teacher_logits, temperature),
    )
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log(1 - beta))
    return temperature**2 * (beta * _kl(teacher, mixture) + (1 - beta) * _kl(student, mixture))


def mse(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the mean over labels and batch of (student − teacher)², of the raw logits.

    Regression on logits (Ba, Caruana 2014, arXiv 1312.6184). There is no temperature: dividing both
    logits by T and multiplying by T² would change nothing. Unlike the divergences it also wants the
    logits' common shift; for logits whose mean is 0 it is twice what T² · KL tends to for large T.
    """
    return F.mse_loss(student_logits.float(), teacher_logits.float())


def soft_losses(*, temperature: float, beta: float = 0.5) -> dict[str, SoftLoss]:
    """Return what params.yaml's `distill.loss` can name, at this temperature; `beta` is of
    `jensen_shannon` alone.
    """
    return {
        "forward_kl": partial(forward_kl, temperature=temperature),
        "reverse_kl": partial(reverse_kl, temperature=temperature),
        "jensen_shannon": partial(jensen_shannon, temperature=temperature, beta=beta),
        "mse": mse,
    }


def distillation(*, loss: str, temperature: float, soft_weight: float, beta: float = 0.5) -> Loss:
    """Return soft_weight · soft + (1 − soft_weight) · cross-entropy, where `loss` names soft among
    `soft_losses`.

    It takes logits of shape (batch, labels) and `Targets` with labels (batch,) and the teacher's
    logits. A term of weight 0 is not computed: `soft_weight` 0 is the control without a teacher, 1
    pure imitation. Both terms are means over the whole batch: a row without a label has the soft
    one alone, and a labelled row's two keep their proportion.
    """
    soft = soft_losses(temperature=temperature, beta=beta)[loss]

    def mixed(student_logits: Tensor, targets: Targets) -> Tensor:
        total = torch.zeros((), device=student_logits.device)
        if soft_weight > 0:
            assert targets.teacher_logits is not None, (
                "the distill stage always joins the teacher's logits"
            )
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


# --- White-box terms ------------------------------------------------------------------------------
#
# They compare what happens inside student and teacher. `mask` (batch, tokens) is true where a
# token is real: nothing that stands elsewhere changes a value. Every real token of a batch weighs
# the same.


def hidden_states(
    student: Tensor, teacher: Tensor, mask: Tensor, *, measure: Literal["cosine", "mse"]
) -> Tensor:
    """Return how far apart states (batch, tokens, width) are, averaged over real tokens.

    `cosine` is 1 − cos(student, teacher) (DistilBERT: Sanh et al. 2019, arXiv 1910.01108), from 0
    to 2, whatever the lengths of the states. `mse` is the mean of (student − teacher)² over the
    width too (TinyBERT: Jiao et al. 2020, arXiv 1909.10351, equation 8, with the student's states
    already projected).
    """
    student, teacher = student[mask].float(), teacher[mask].float()
    if measure == "mse":
        return F.mse_loss(student, teacher)
    return (1 - F.cosine_similarity(student, teacher, dim=-1)).mean()


def attention_scores(query: Tensor, key: Tensor, *, heads: int) -> Tensor:
    """Return query · key / √(width of a head), shape (batch, heads, tokens, tokens), of (batch,
    tokens, width).
    """
    query, key = _cut(query, heads), _cut(key, heads)
    return torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])


def attention(student_scores: Tensor, teacher_scores: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of (student − teacher)² over heads and all pairs of real tokens of a text.

    Of the scores before softmax, (batch, heads, tokens, tokens), since TinyBERT learned faster and
    better from them than from the maps that softmax makes (arXiv 1909.10351, section 3.1, equation
    7).
    """
    pairs = (mask[:, None, :, None] & mask[:, None, None, :]).expand_as(student_scores)
    return F.mse_loss(student_scores[pairs].float(), teacher_scores[pairs].float())


def relations(
    student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor, *, heads: int
) -> Tensor:
    """Return the sum over queries, keys and values of KL(teacher's relation ‖ student's relation),
    in nats.

    `student` and `teacher` hold three tensors (batch, tokens, width) each, all heads side by side.
    They are cut anew into as many relation heads of width d, whatever heads attention has; the
    relation of x is softmax(x xᵀ / √d), a distribution over the text's tokens for each token. KL is
    averaged over relation heads and real tokens.

    MiniLMv2 (Wang et al. 2021, arXiv 2012.15828, equations 3 to 5), which leaves both widths free.
    """
    terms = [
        _relation_kl(ours, theirs, mask, heads=heads)
        for ours, theirs in zip(student, teacher, strict=True)
    ]
    return torch.stack(terms).sum()


def _relation_kl(student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    log_q = _log_relation(student, mask, heads=heads)
    log_p = _log_relation(teacher, mask, heads=heads)
    divergence = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)
    return divergence[mask[:, None, :].expand_as(divergence)].mean()


def _log_relation(states: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    """Return ln softmax(x xᵀ / √d) over real tokens, shape (batch, heads, tokens, tokens)."""
    scores = attention_scores(states.float(), states.float(), heads=heads)
    # The lowest number, not −∞, which times a probability of 0 would be undefined.
    return F.log_softmax(
        scores.masked_fill(~mask[:, None, None, :], torch.finfo(scores.dtype).min), dim=-1
    )


def _cut(states: Tensor, heads: int) -> Tensor:
    """Return (batch, heads, tokens, width / heads) of (batch, tokens, width)."""
    batch, tokens, width = states.shape
    return states.view(batch, tokens, heads, width // heads).transpose(1, 2)
