"""Variance parts: worked by hand, against a simulation, and what cannot be seen."""

import numpy as np
import pytest

from minnow.evaluation.metrics import Array
from minnow.experiments.variance_parts import nested_variances


def levels(*names: str) -> list[Array]:
    """Return groups that are written as a letter a value."""
    return [np.array(list(name)) for name in names]


def test_two_levels_by_hand() -> None:
    """Teachers' means 2, 5 and 8, students one apart: within a teacher (1 + 1) / 2 ... each way.

    Values 1 3 | 4 6 | 7 9. Within: Σ (y − mean)² = 6, 3 degrees of freedom: 2. Between: 2 Σ (mean −
    5)² = 36, 2 degrees: 18 = 2 + 2 σ², so σ² is 8.
    """
    values = np.array([1.0, 3, 4, 6, 7, 9])
    assert nested_variances(values, levels("aabbcc", "ststst")) == pytest.approx([8, 2])


def test_unequal_groups_by_hand() -> None:
    """Values 0 2 | 7. Within: 2 on one degree. Between: 2 (1 − 3)² + (7 − 3)² = 24 on one degree,
    whose expectation is σ² within + (3 − 5 / 3) σ² between: (24 − 2) / (4 / 3) = 16.5.
    """
    assert nested_variances(np.array([0.0, 2, 7]), levels("aab", "stu")) == pytest.approx([16.5, 2])


def test_three_levels_by_hand() -> None:
    """Splits x and y, two teachers each, two students each: 0 2 4 6 | 10 12 18 20.

    Students: eight values, Σ = 4 · 2 = 8 on 4 degrees: 2. Teachers: means 1 5 | 11 19, 2 · (8 + 32)
    = 80 on 2 degrees: 40 = 2 + 2 · 19. Splits: means 3 and 15, 4 · 72 = 288 on one degree:
    288 = 40 + 4 · 62.
    """
    values = np.array([0.0, 2, 4, 6, 10, 12, 18, 20])
    found = nested_variances(values, levels("xxxxyyyy", "aabbaabb", "stststst"))
    assert found == pytest.approx([62, 19, 2])


def test_a_negative_estimate_stays_negative() -> None:
    """Teachers' means are equal, so their part is below 0: (0 − 2) / 2."""
    assert nested_variances(np.array([1.0, 3, 3, 1]), levels("aabb", "stst")) == pytest.approx(
        [-1, 2]
    )


def test_what_does_not_vary_is_not_seen() -> None:
    values = np.array([1.0, 3, 5])
    assert nested_variances(values, levels("xxx", "aaa", "stu")) == [None, None, pytest.approx(4)]
    assert nested_variances(values, levels("xxx", "abc", "stu")) == [None, pytest.approx(4), None]
    assert nested_variances(values[:1], levels("x", "a", "s")) == [None, None, None]


def test_a_shift_changes_nothing_and_a_factor_counts_squared() -> None:
    values = np.random.default_rng(0).normal(size=12)
    groups = levels("aaaabbbbcccc", "ssttssttsstt", "abababababab")
    once = np.array(nested_variances(values, groups))
    assert np.allclose(nested_variances(3 * values + 7, groups), 9 * once)


def test_a_simulation_finds_the_true_parts_without_bias() -> None:
    """Unequal groups, 3,000 draws; each mean within four of its standard errors."""
    generator = np.random.default_rng(1)
    splits, teachers = levels("xxxxxxxyyyyyyyzzzzzzz", "aabbbbcaabbbbcaabbbbc")
    students = np.arange(len(splits))
    found = []
    for _ in range(3000):
        of = {name: generator.normal(0, 3) for name in "xyz"}
        pairs = {pair: generator.normal(0, 2) for pair in set(zip(splits, teachers, strict=True))}
        values = [of[x] + pairs[x, a] for x, a in zip(splits, teachers, strict=True)]
        found.append(
            nested_variances(
                np.array(values) + generator.normal(size=len(values)), [splits, teachers, students]
            )
        )
    estimates = np.array(found)
    error = estimates.std(axis=0) / len(estimates) ** 0.5
    assert (np.abs(estimates.mean(axis=0) - [9, 4, 1]) < 4 * error).all()
