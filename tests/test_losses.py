"""Laws and hand-worked values of the distillation loss."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from minnow.losses import distillation, soft_kl
from minnow.training import Targets, hard_loss

TEMPERATURES = (0.5, 1.0, 2.0, 8.0)


@pytest.fixture
def student() -> Tensor:
    return torch.randn(16, 2, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture
def teacher() -> Tensor:
    return torch.randn(16, 2, generator=torch.Generator().manual_seed(2)) * 3


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(16) % 2


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(loss, logits)
    return result


def test_a_value_worked_by_hand() -> None:
    # T = 2, teacher logits (2 ln 3, 0): softmax((ln 3, 0)) = (3/4, 1/4). Student logits (0, 0): (1/2, 1/2).
    # KL = 3/4 ln(3/2) + 1/4 ln(1/2) = 3/4 ln 3 - ln 2 = 0.1308; times T² = 4: 3 ln 3 - 4 ln 2 = 0.5232.
    value = soft_kl(torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]]), temperature=2.0)
    assert value.item() == pytest.approx(3 * math.log(3) - 4 * math.log(2), abs=1e-6)
    assert value.item() == pytest.approx(0.5232, abs=1e-4)


def test_direction_is_teacher_to_student() -> None:
    # The other direction of the example above, T = 1: KL((1/2, 1/2) ‖ (3/4, 1/4)) = 1/2 ln(2/3) + 1/2 ln 2 = 0.1438.
    flat, sharp = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    assert soft_kl(flat, sharp, temperature=1.0).item() == pytest.approx(0.1308, abs=1e-4)
    assert soft_kl(sharp, flat, temperature=1.0).item() == pytest.approx(0.1438, abs=1e-4)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_is_zero_only_for_equal_distributions(student: Tensor, teacher: Tensor, temperature: float) -> None:
    assert soft_kl(student, student, temperature=temperature).item() == pytest.approx(0, abs=1e-6)
    assert soft_kl(student + 5, student, temperature=temperature).item() == pytest.approx(0, abs=1e-5)
    for row in range(len(student)):
        assert soft_kl(student[row : row + 1], teacher[row : row + 1], temperature=temperature).item() > 0


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equals_independent_implementations(student: Tensor, teacher: Tensor, temperature: float) -> None:
    value = soft_kl(student, teacher, temperature=temperature).item()

    p = F.softmax(teacher.double() / temperature, dim=-1)
    q = F.log_softmax(student.double() / temperature, dim=-1)
    assert value == pytest.approx(temperature**2 * F.kl_div(q, p, reduction="batchmean").item(), rel=1e-5)

    exps = [np.exp(logits.numpy().astype(np.float64) / temperature) for logits in (teacher, student)]
    t, s = (exp / exp.sum(axis=1, keepdims=True) for exp in exps)
    assert value == pytest.approx(temperature**2 * (t * np.log(t / s)).sum() / len(t), rel=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_the_softened_difference(student: Tensor, teacher: Tensor, temperature: float) -> None:
    # d/ds T² KL = T² · (softmax(s/T) - softmax(t/T)) / T / batch
    student.requires_grad_()
    found = gradient(soft_kl(student, teacher, temperature=temperature), student)
    difference = F.softmax(student / temperature, dim=-1) - F.softmax(teacher / temperature, dim=-1)
    torch.testing.assert_close(found, temperature * difference / len(student), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_that_of_soft_cross_entropy(student: Tensor, teacher: Tensor, temperature: float) -> None:
    student.requires_grad_()
    p = F.softmax(teacher / temperature, dim=-1)
    cross_entropy = temperature**2 * F.cross_entropy(student / temperature, p)
    kl = soft_kl(student, teacher, temperature=temperature)
    torch.testing.assert_close(gradient(kl, student), gradient(cross_entropy, student), atol=1e-6, rtol=1e-5)


def test_squared_temperature_keeps_the_gradients_scale(student: Tensor, teacher: Tensor) -> None:
    # T → ∞: softmax(z/T) → 1/n + (z - mean z) / (n T), so T² KL's gradient → (centred s - centred t) / n / batch.
    student.requires_grad_()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    limit = centred.detach() / 2 / len(student)
    torch.testing.assert_close(
        gradient(soft_kl(student, teacher, temperature=200.0), student), limit, atol=1e-4, rtol=1e-3
    )


def test_is_a_mean_over_the_batch(student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    loss = distillation(temperature=2.0, soft_weight=0.4)
    once = loss(student, Targets(labels, teacher))
    twice = loss(student.repeat(2, 1), Targets(labels.repeat(2), teacher.repeat(2, 1)))
    torch.testing.assert_close(once, twice)
    rows = [loss(student[i : i + 1], Targets(labels[i : i + 1], teacher[i : i + 1])) for i in range(len(labels))]
    torch.testing.assert_close(once, torch.stack(rows).mean())


def test_bfloat16_logits_are_computed_in_float32(student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    narrow_student, narrow_teacher = student.bfloat16(), teacher.bfloat16()
    loss = distillation(temperature=3.0, soft_weight=0.5)
    value = loss(narrow_student, Targets(labels, narrow_teacher))
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(narrow_student.float(), Targets(labels, narrow_teacher.float())))
    assert hard_loss(narrow_student, Targets(labels)).dtype == torch.float32


def test_mixes_both_terms_by_soft_weight(student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    value = distillation(temperature=2.0, soft_weight=0.9)(student, Targets(labels, teacher))
    expected = 0.9 * soft_kl(student, teacher, temperature=2.0) + 0.1 * F.cross_entropy(student, labels)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("unused", [None, torch.full((16, 2), math.nan)])
def test_soft_weight_0_is_the_cross_entropy_without_a_teacher(
    student: Tensor, labels: Tensor, unused: Tensor | None
) -> None:
    value = distillation(temperature=2.0, soft_weight=0.0)(student, Targets(labels, unused))
    assert torch.equal(value, F.cross_entropy(student, labels))
    assert torch.equal(value, hard_loss(student, Targets(labels)))


def test_soft_weight_1_does_not_look_at_the_labels(student: Tensor, teacher: Tensor, labels: Tensor) -> None:
    loss = distillation(temperature=2.0, soft_weight=1.0)
    value = loss(student, Targets(labels, teacher))
    assert torch.equal(value, soft_kl(student, teacher, temperature=2.0))
    assert torch.equal(value, loss(student, Targets(torch.full_like(labels, -7), teacher)))
