"""Laws and hand-worked values of the white-box terms, against float64 NumPy written from the
papers' formulas.
"""

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from minnow.distill.losses import attention, attention_scores, hidden_states, relations

MEASURES: tuple[Literal["cosine", "mse"], ...] = ("cosine", "mse")
LENGTHS = (5, 2, 1)
Array = np.typing.NDArray[np.float64]


@pytest.fixture
def mask() -> Tensor:
    return torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]


def drawn(width: int, *, seed: int) -> Tensor:
    """Return states (3 texts, 5 tokens, width)."""
    return (
        torch.randn(
            len(LENGTHS), max(LENGTHS), width, generator=torch.Generator().manual_seed(seed)
        )
        * 2
    )


def three(width: int, *, seed: int) -> list[Tensor]:
    return [drawn(width, seed=seed + number) for number in range(3)]


def texts(states: Tensor) -> list[Array]:
    """Return the real tokens of each text in float64."""
    return [
        text[:length].numpy().astype(np.float64)
        for text, length in zip(states, LENGTHS, strict=True)
    ]


# --- Hidden states --------------------------------------------------------------------------------


def test_hidden_states_by_hand() -> None:
    # Angles of 90°, 0° and 180°: (1 + 0 + 2) / 3. Squared differences: 1 + 1, 1 + 1 (two times as
    # long), 4 + 0.
    student = torch.tensor([[[1.0, 0.0], [1.0, 1.0], [1.0, 0.0], [9.0, 9.0]]])
    teacher = torch.tensor([[[0.0, 1.0], [2.0, 2.0], [-1.0, 0.0], [0.0, 7.0]]])
    real = torch.tensor([[True, True, True, False]])
    assert hidden_states(student, teacher, real, measure="cosine").item() == pytest.approx(1.0)
    assert hidden_states(student, teacher, real, measure="mse").item() == pytest.approx(8 / 6)


@pytest.mark.parametrize("measure", MEASURES)
def test_hidden_states_equal_an_independent_version(
    mask: Tensor, measure: Literal["cosine", "mse"]
) -> None:
    student, teacher = drawn(6, seed=1), drawn(6, seed=2)
    pairs = [
        pair
        for both in zip(texts(student), texts(teacher), strict=True)
        for pair in zip(*both, strict=True)
    ]
    values = {
        "cosine": [1 - s @ t / math.sqrt((s @ s) * (t @ t)) for s, t in pairs],
        "mse": [((s - t) ** 2).mean() for s, t in pairs],
    }
    assert hidden_states(student, teacher, mask, measure=measure).item() == pytest.approx(
        np.mean(values[measure]), rel=1e-5
    )


def test_cosine_forgets_lengths_and_stays_in_its_bounds(mask: Tensor) -> None:
    student, teacher = drawn(6, seed=1), drawn(6, seed=2)
    value = hidden_states(student, teacher, mask, measure="cosine")
    torch.testing.assert_close(
        hidden_states(5 * student, 0.1 * teacher, mask, measure="cosine"), value
    )
    assert hidden_states(-3 * teacher, teacher, mask, measure="cosine").item() == pytest.approx(2)


# --- Attention ------------------------------------------------------------------------------------


def test_attention_by_hand() -> None:
    # One head, two real tokens and one that is not; scores differ by 1, 0, 0 and 3: (1 + 9) / 4.
    student = torch.tensor([[[[1.0, 2.0, 50.0], [0.0, 0.0, 50.0], [50.0, 50.0, 50.0]]]])
    teacher = torch.tensor([[[[2.0, 2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]]])
    assert attention(student, teacher, torch.tensor([[True, True, False]])).item() == pytest.approx(
        2.5
    )


def test_scores_are_those_that_attention_makes() -> None:
    query, key = drawn(8, seed=1), drawn(8, seed=2)
    scores = attention_scores(query, key, heads=2)
    assert scores.shape == (3, 2, 5, 5)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        expected = query[1, 3, part] @ key[1, 0, part] / 2  # √4
        assert scores[1, head, 3, 0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_attention_equals_an_independent_version(mask: Tensor) -> None:
    scores = [
        torch.randn(3, 4, 5, 5, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    ]
    ours, theirs = (score.numpy().astype(np.float64) for score in scores)
    squares = [
        (ours[row, head, i, j] - theirs[row, head, i, j]) ** 2
        for row, length in enumerate(LENGTHS)
        for head in range(4)
        for i in range(length)
        for j in range(length)
    ]
    assert attention(scores[0], scores[1], mask).item() == pytest.approx(np.mean(squares), rel=1e-5)


# --- Relations ------------------------------------------------------------------------------------


def reference(student: list[Tensor], teacher: list[Tensor], heads: int) -> float:
    """Return the sum over three relations of KL in float64, text by text, head by head, token by
    token.
    """

    def relation(states: Array) -> Array:
        exps = np.exp(states @ states.T / math.sqrt(states.shape[1]))
        return exps / exps.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    total = 0.0
    for ours, theirs in zip(student, teacher, strict=True):
        values = []
        for s, t in zip(texts(ours), texts(theirs), strict=True):
            for s_head, t_head in zip(
                np.split(s, heads, axis=1), np.split(t, heads, axis=1), strict=True
            ):
                p, q = relation(t_head), relation(s_head)
                values.extend((p * np.log(p / q)).sum(axis=1))
        total += float(np.mean(values))
    return total


def test_relations_by_hand() -> None:
    # One head of width 1. The teacher's tokens are √(ln 3) and 0: x xᵀ = [[ln 3, 0], [0, 0]], so
    # (3/4, 1/4) and (1/2, 1/2). The student's are 0: (1/2, 1/2) twice. KL = 3/4 ln(3/2) + 1/4
    # ln(1/2) = 0.1308 for the first token, 0 for the second; half of that, for queries alone.
    teacher, student = torch.tensor([[[math.sqrt(math.log(3))], [0.0]]]), torch.zeros(1, 2, 1)
    real = torch.ones(1, 2, dtype=torch.bool)
    value = relations([student] * 3, [teacher, student, student], real, heads=1)
    assert value.item() == pytest.approx((0.75 * math.log(3) - math.log(2)) / 2, abs=1e-6)
    assert value.item() == pytest.approx(0.0654, abs=1e-4)
    assert relations([student] * 3, [teacher] * 3, real, heads=1).item() == pytest.approx(
        3 * 0.0654, abs=3e-4
    )
    # The other direction: KL((1/2, 1/2) ‖ (3/4, 1/4)) = 0.1438.
    assert relations([teacher] * 3, [student] * 3, real, heads=1).item() == pytest.approx(
        3 * 0.0719, abs=3e-4
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "heads"), [(8, 8, 1), (8, 8, 4), (8, 24, 4), (24, 12, 6)]
)
def test_relations_equal_an_independent_version(
    mask: Tensor, ours: int, theirs: int, heads: int
) -> None:
    student, teacher = three(ours, seed=1), three(theirs, seed=11)
    value = relations(student, teacher, mask, heads=heads)
    assert value.item() == pytest.approx(reference(student, teacher, heads), rel=1e-4)


def test_relations_do_not_see_a_rotation_within_a_head(mask: Tensor) -> None:
    """They compare tokens with each other, so that nothing asks a student to use the teacher's own
    axes.
    """
    student, teacher = three(8, seed=1), three(8, seed=11)
    rotation, _ = torch.linalg.qr(torch.randn(4, 4))
    turned = [
        torch.cat([part @ rotation for part in states.split(4, dim=-1)], dim=-1)
        for states in teacher
    ]
    value = relations(student, teacher, mask, heads=2)
    torch.testing.assert_close(relations(student, turned, mask, heads=2), value)
    assert relations(student, turned, mask, heads=4).item() != pytest.approx(value.item(), rel=1e-3)


# --- Laws of all ----------------------------------------------------------------------------------


def terms(student: list[Tensor], teacher: list[Tensor], mask: Tensor) -> dict[str, Tensor]:
    def scores(states: list[Tensor]) -> Tensor:
        return attention_scores(states[0], states[1], heads=2)

    return {
        "cosine": hidden_states(student[0], teacher[0], mask, measure="cosine"),
        "mse": hidden_states(student[0], teacher[0], mask, measure="mse"),
        "attention": attention(scores(student), scores(teacher), mask),
        "relations": relations(student, teacher, mask, heads=4),
    }


TERMS = ("cosine", "mse", "attention", "relations")


@pytest.mark.parametrize("name", TERMS)
def test_zero_at_equality_and_above_it_elsewhere(mask: Tensor, name: str) -> None:
    student, teacher = three(8, seed=1), three(8, seed=11)
    assert terms(teacher, teacher, mask)[name].item() == pytest.approx(0, abs=1e-6)
    assert terms(student, teacher, mask)[name].item() > 0.05


@pytest.mark.parametrize("name", TERMS)
def test_padding_changes_no_value_and_gets_no_gradient(mask: Tensor, name: str) -> None:
    student, teacher = three(8, seed=1), three(8, seed=11)
    for states in student:
        states.requires_grad_()
    value = terms(student, teacher, mask)[name]
    value.backward()
    gradients = [states.grad for states in student if states.grad is not None]
    assert all(not bool(gradient[~mask].any()) for gradient in gradients)
    assert any(bool(gradient[mask].any()) for gradient in gradients)

    def dirty(states: list[Tensor]) -> list[Tensor]:
        return [
            torch.cat(
                [torch.where(mask[..., None], each.detach(), 1e3), torch.full((3, 2, 8), -7.0)],
                dim=1,
            )
            for each in states
        ]

    longer = torch.cat([mask, torch.zeros(3, 2, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(terms(dirty(student), dirty(teacher), longer)[name], value.detach())


@pytest.mark.parametrize("name", TERMS)
def test_computed_in_float32_whatever_comes_in(mask: Tensor, name: str) -> None:
    student, teacher = ([each.bfloat16() for each in three(8, seed=seed)] for seed in (1, 11))
    narrow = terms(student, teacher, mask)[name]
    wide = terms([each.float() for each in student], [each.float() for each in teacher], mask)[name]
    assert narrow.dtype == torch.float32
    if name == "attention":  # the scores themselves are the models' own
        torch.testing.assert_close(narrow, wide, rtol=0.05, atol=0.0)
    else:
        torch.testing.assert_close(narrow, wide)


def descended(name: str, mask: Tensor, steps: int = 60) -> tuple[float, float]:
    """Return the term before and after gradient descent on the student's states."""
    student, teacher = three(8, seed=1), three(8, seed=11)
    optimizer: Any = torch.optim.Adam([each.requires_grad_() for each in student], lr=0.1)
    first = terms(student, teacher, mask)[name].item()
    for _ in range(steps):
        optimizer.zero_grad()
        terms(student, teacher, mask)[name].backward()
        optimizer.step()
    return first, terms(student, teacher, mask)[name].item()


@pytest.mark.parametrize("name", TERMS)
def test_following_the_gradient_leads_to_the_teacher(mask: Tensor, name: str) -> None:
    first, last = descended(name, mask)
    assert last < 0.2 * first
