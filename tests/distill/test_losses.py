"""Laws and hand-worked values of the distillation losses."""

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from minnow.distill.losses import (
    distillation,
    forward_kl,
    jensen_shannon,
    mse,
    reverse_kl,
    soft_losses,
)
from minnow.distill.params import DistillParams
from minnow.training.targets import Targets, hard_loss

TEMPERATURES = (0.5, 1.0, 2.0, 8.0)
LOSSES = ("forward_kl", "reverse_kl", "jensen_shannon", "mse")
BETAS = (0.1, 0.5, 0.8)
LN_2, LN_3 = math.log(2), math.log(3)

kl_distillation = partial(distillation, loss="forward_kl")


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
    # T = 2, teacher logits (2 ln 3, 0): softmax((ln 3, 0)) = (3/4, 1/4). Student logits (0, 0):
    # (1/2, 1/2). KL = 3/4 ln(3/2) + 1/4 ln(1/2) = 3/4 ln 3 - ln 2 = 0.1308; times T² = 4: 3 ln 3 -
    # 4 ln 2 = 0.5232.
    value = forward_kl(torch.zeros(1, 2), torch.tensor([[2 * math.log(3), 0.0]]), temperature=2.0)
    assert value.item() == pytest.approx(3 * math.log(3) - 4 * math.log(2), abs=1e-6)
    assert value.item() == pytest.approx(0.5232, abs=1e-4)


def test_direction_is_teacher_to_student() -> None:
    # The other direction of the example above, T = 1: KL((1/2, 1/2) ‖ (3/4, 1/4)) = 1/2 ln(2/3) +
    # 1/2 ln 2 = 0.1438.
    flat, sharp = torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])
    assert forward_kl(flat, sharp, temperature=1.0).item() == pytest.approx(0.1308, abs=1e-4)
    assert forward_kl(sharp, flat, temperature=1.0).item() == pytest.approx(0.1438, abs=1e-4)


# --- The losses on logits -------------------------------------------------------------------------


def reference(
    name: str, student: Tensor, teacher: Tensor, temperature: float, beta: float = 0.5
) -> float:
    """Return a loss from its definition, in float64 NumPy, without logarithms of sums."""
    s, t = (logits.detach().numpy().astype(np.float64) for logits in (student, teacher))
    if name == "mse":
        return float(((s - t) ** 2).mean())

    def softened(logits: "np.typing.NDArray[np.float64]") -> "np.typing.NDArray[np.float64]":
        exps = np.exp(logits / temperature)
        return exps / exps.sum(axis=1, keepdims=True)

    def kl(a: "np.typing.NDArray[np.float64]", b: "np.typing.NDArray[np.float64]") -> float:
        return float((a * np.log(a / b)).sum() / len(a))

    p, q = softened(t), softened(s)
    m = beta * p + (1 - beta) * q
    values = {
        "forward_kl": kl(p, q),
        "reverse_kl": kl(q, p),
        "jensen_shannon": beta * kl(p, m) + (1 - beta) * kl(q, m),
    }
    return temperature**2 * values[name]


def soft(name: str, temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    return soft_losses(temperature=temperature)[name]


def test_params_name_the_losses_that_there_are() -> None:
    assert (
        get_args(DistillParams.model_fields["loss"].annotation)
        == tuple(soft_losses(temperature=1.0))
        == LOSSES
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # T = 2; teacher softened (3/4, 1/4), student softened (1/2, 1/2); all times T² = 4.
        ("forward_kl", 3 * LN_3 - 4 * LN_2),  # 3/4 ln(3/2) + 1/4 ln(1/2)
        ("reverse_kl", 4 * LN_2 - 2 * LN_3),  # 1/2 ln(2/3) + 1/2 ln 2
        # m = (5/8, 3/8): 1/2 (3/4 ln(6/5) + 1/4 ln(2/3)) + 1/2 (1/2 ln(4/5) + 1/2 ln(4/3))
        (
            "jensen_shannon",
            1.5 * math.log(6 / 5) + 0.5 * math.log(2 / 3) + math.log(4 / 5) + math.log(4 / 3),
        ),
        ("mse", (2 * LN_3) ** 2 / 2),  # one of two logits is off by 2 ln 3, whatever T
    ],
)
def test_values_worked_by_hand(name: str, expected: float) -> None:
    value = soft(name, 2.0)(torch.zeros(1, 2), torch.tensor([[2 * LN_3, 0.0]]))
    assert value.item() == pytest.approx(expected, abs=1e-6)
    shown = {"forward_kl": 0.5232, "reverse_kl": 0.5754, "jensen_shannon": 0.1353, "mse": 2.4139}
    assert value.item() == pytest.approx(shown[name], abs=1e-4)


@pytest.mark.parametrize("labels", [2, 5])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", LOSSES)
def test_equals_an_independent_float64_version(name: str, temperature: float, labels: int) -> None:
    student, teacher = torch.randn(2, 16, labels, generator=torch.Generator().manual_seed(3)) * 3
    value = soft(name, temperature)(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(reference(name, student, teacher, temperature), rel=1e-5)


@pytest.mark.parametrize("beta", BETAS)
def test_jensen_shannon_equals_an_independent_version_at_any_beta(
    student: Tensor, teacher: Tensor, beta: float
) -> None:
    value = jensen_shannon(student, teacher, temperature=2.0, beta=beta).item()
    assert value == pytest.approx(
        reference("jensen_shannon", student, teacher, 2.0, beta), rel=1e-5
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", LOSSES)
def test_is_zero_only_at_equality(
    student: Tensor, teacher: Tensor, name: str, temperature: float
) -> None:
    loss = soft(name, temperature)
    assert loss(student, student).item() == pytest.approx(0, abs=1e-6)
    for row in range(len(student)):
        assert loss(student[row : row + 1], teacher[row : row + 1]).item() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_equality_needs_no_force(teacher: Tensor, name: str) -> None:
    student = teacher.clone().requires_grad_()
    assert gradient(soft(name, 2.0)(student, teacher), student).abs().max().item() < 1e-6


@pytest.mark.parametrize("name", LOSSES)
def test_only_mse_sees_a_common_shift(student: Tensor, teacher: Tensor, name: str) -> None:
    loss = soft(name, 2.0)
    assert (abs(loss(student + 5, teacher) - loss(student, teacher)).item() > 1e-3) == (
        name == "mse"
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_reverse_kl_is_forward_kl_with_its_arguments_exchanged(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    reverse = reverse_kl(student, teacher, temperature=temperature)
    assert torch.equal(reverse, forward_kl(teacher, student, temperature=temperature))
    assert abs(reverse - forward_kl(student, teacher, temperature=temperature)).item() > 1e-3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("beta", BETAS)
def test_jensen_shannon_is_bounded(beta: float, temperature: float) -> None:
    # Disjoint distributions reach the entropy of (β, 1 − β), ln 2 at 1/2; T² comes on top.
    bound = -beta * math.log(beta) - (1 - beta) * math.log(1 - beta)
    assert bound == pytest.approx(LN_2) if beta == 0.5 else bound < LN_2
    apart = torch.tensor([[500.0, -500.0]])
    value = jensen_shannon(-apart, apart, temperature=temperature, beta=beta).item()
    assert value == pytest.approx(temperature**2 * bound, rel=1e-6)
    logits = torch.randn(2, 1000, 1, 3, generator=torch.Generator().manual_seed(4)) * 10
    for student, teacher in zip(*logits, strict=True):
        value = jensen_shannon(student, teacher, temperature=temperature, beta=beta).item()
        assert value >= -1e-6
        assert value <= temperature**2 * bound * (1 + 1e-6)


def test_jensen_shannon_is_symmetric_at_one_half_alone(student: Tensor, teacher: Tensor) -> None:
    there, back = (
        jensen_shannon(*pair, temperature=2.0) for pair in ((student, teacher), (teacher, student))
    )
    torch.testing.assert_close(there, back)
    skewed, other = (
        jensen_shannon(*pair, temperature=2.0, beta=0.2)
        for pair in ((student, teacher), (teacher, student))
    )
    assert abs(skewed - other).item() > 1e-3
    # and exchanging arguments is exchanging β for 1 − β
    torch.testing.assert_close(skewed, jensen_shannon(teacher, student, temperature=2.0, beta=0.8))


def test_jensen_shannon_tends_to_either_kl(student: Tensor, teacher: Tensor) -> None:
    near = student + 0.1 * (teacher - student), student
    for beta, weight, limit in ((1e-4, 1e-4, forward_kl), (1 - 1e-4, 1e-4, reverse_kl)):
        scaled = (
            jensen_shannon(*(each.double() for each in near), temperature=2.0, beta=beta).item()
            / weight
        )
        assert scaled == pytest.approx(limit(*near, temperature=2.0).item(), rel=0.02)


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (forward_kl, 1.0),
        (reverse_kl, 1.0),
        *((partial(jensen_shannon, beta=beta), beta * (1 - beta)) for beta in BETAS),
    ],
)
def test_squared_temperature_keeps_the_gradients_scale(
    student: Tensor, teacher: Tensor, loss: Callable[..., Tensor], factor: float
) -> None:
    # T → ∞: softmax(z/T) → 1/n + (z - mean z) / (n T); to second order KL is ½ Σ n d²,
    # Jensen-Shannon β(1 - β) of it.
    student.requires_grad_()
    centred = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
    limit = factor * centred.detach() / 2 / len(student)
    found = gradient(loss(student, teacher, temperature=200.0), student)
    torch.testing.assert_close(found, limit, atol=1e-4, rtol=5e-3)


def test_temperature_does_nothing_to_mse(student: Tensor, teacher: Tensor) -> None:
    assert (
        len({soft("mse", temperature)(student, teacher).item() for temperature in TEMPERATURES})
        == 1
    )


def test_kl_at_a_high_temperature_is_half_of_mse_of_centred_logits(
    student: Tensor, teacher: Tensor
) -> None:
    student, teacher = (logits - logits.mean(1, keepdim=True) for logits in (student, teacher))
    kl = forward_kl(student.double(), teacher.double(), temperature=50.0).item()
    assert kl == pytest.approx(mse(student, teacher).item() / 2, rel=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_give_finite_values_and_gradients(name: str) -> None:
    student = torch.tensor([[300.0, -300.0], [0.0, 0.0]], requires_grad=True)
    value = soft(name, 1.0)(student, torch.tensor([[-300.0, 300.0], [400.0, 0.0]]))
    assert torch.isfinite(value)
    assert torch.isfinite(gradient(value, student)).all()


# --- Forward KL in particular ---------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_is_zero_only_for_equal_distributions(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    assert forward_kl(student, student, temperature=temperature).item() == pytest.approx(
        0, abs=1e-6
    )
    assert forward_kl(student + 5, student, temperature=temperature).item() == pytest.approx(
        0, abs=1e-5
    )
    for row in range(len(student)):
        assert (
            forward_kl(
                student[row : row + 1], teacher[row : row + 1], temperature=temperature
            ).item()
            > 0
        )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_equals_independent_implementations(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    value = forward_kl(student, teacher, temperature=temperature).item()

    p = F.softmax(teacher.double() / temperature, dim=-1)
    q = F.log_softmax(student.double() / temperature, dim=-1)
    assert value == pytest.approx(
        temperature**2 * F.kl_div(q, p, reduction="batchmean").item(), rel=1e-5
    )

    exps = [
        np.exp(logits.numpy().astype(np.float64) / temperature) for logits in (teacher, student)
    ]
    t, s = (exp / exp.sum(axis=1, keepdims=True) for exp in exps)
    assert value == pytest.approx(temperature**2 * (t * np.log(t / s)).sum() / len(t), rel=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_the_softened_difference(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    # d/ds T² KL = T² · (softmax(s/T) - softmax(t/T)) / T / batch
    student.requires_grad_()
    found = gradient(forward_kl(student, teacher, temperature=temperature), student)
    difference = F.softmax(student / temperature, dim=-1) - F.softmax(teacher / temperature, dim=-1)
    torch.testing.assert_close(found, temperature * difference / len(student), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_that_of_soft_cross_entropy(
    student: Tensor, teacher: Tensor, temperature: float
) -> None:
    student.requires_grad_()
    p = F.softmax(teacher / temperature, dim=-1)
    cross_entropy = temperature**2 * F.cross_entropy(student / temperature, p)
    kl = forward_kl(student, teacher, temperature=temperature)
    torch.testing.assert_close(
        gradient(kl, student), gradient(cross_entropy, student), atol=1e-6, rtol=1e-5
    )


# --- Mixed with the labels ------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_is_a_mean_over_the_batch(
    student: Tensor, teacher: Tensor, labels: Tensor, name: str
) -> None:
    loss = distillation(loss=name, temperature=2.0, soft_weight=0.4)
    once = loss(student, Targets(labels, teacher))
    twice = loss(student.repeat(2, 1), Targets(labels.repeat(2), teacher.repeat(2, 1)))
    torch.testing.assert_close(once, twice)
    rows = [
        loss(student[i : i + 1], Targets(labels[i : i + 1], teacher[i : i + 1]))
        for i in range(len(labels))
    ]
    torch.testing.assert_close(once, torch.stack(rows).mean())


@pytest.mark.parametrize("name", LOSSES)
def test_bfloat16_logits_are_computed_in_float32(
    student: Tensor, teacher: Tensor, labels: Tensor, name: str
) -> None:
    narrow_student, narrow_teacher = student.bfloat16(), teacher.bfloat16()
    loss = distillation(loss=name, temperature=3.0, soft_weight=0.5)
    value = loss(narrow_student, Targets(labels, narrow_teacher))
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(narrow_student.float(), Targets(labels, narrow_teacher.float())))
    assert hard_loss(narrow_student, Targets(labels)).dtype == torch.float32


@pytest.mark.parametrize("name", LOSSES)
def test_mixes_both_terms_by_soft_weight(
    student: Tensor, teacher: Tensor, labels: Tensor, name: str
) -> None:
    value = distillation(loss=name, temperature=2.0, soft_weight=0.9)(
        student, Targets(labels, teacher)
    )
    expected = 0.9 * soft(name, 2.0)(student, teacher) + 0.1 * F.cross_entropy(student, labels)
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("unused", [None, torch.full((16, 2), math.nan)])
def test_soft_weight_0_is_the_cross_entropy_without_a_teacher(
    student: Tensor, labels: Tensor, unused: Tensor | None
) -> None:
    value = kl_distillation(temperature=2.0, soft_weight=0.0)(student, Targets(labels, unused))
    assert torch.equal(value, F.cross_entropy(student, labels))
    assert torch.equal(value, hard_loss(student, Targets(labels)))


def test_soft_weight_1_does_not_look_at_the_labels(
    student: Tensor, teacher: Tensor, labels: Tensor
) -> None:
    loss = kl_distillation(temperature=2.0, soft_weight=1.0)
    value = loss(student, Targets(labels, teacher))
    assert torch.equal(value, forward_kl(student, teacher, temperature=2.0))
    assert torch.equal(value, loss(student, Targets(torch.full_like(labels, -7), teacher)))


def test_beta_reaches_jensen_shannon_alone(student: Tensor, teacher: Tensor) -> None:
    targets = Targets(torch.zeros(len(student), dtype=torch.long), teacher)
    for name in LOSSES:
        at = [
            distillation(loss=name, temperature=2.0, soft_weight=1.0, beta=beta)(student, targets)
            for beta in BETAS
        ]
        if name == "jensen_shannon":
            wanted = [
                jensen_shannon(student, teacher, temperature=2.0, beta=beta) for beta in BETAS
            ]
            torch.testing.assert_close(at, wanted)
        else:
            assert len({each.item() for each in at}) == 1
