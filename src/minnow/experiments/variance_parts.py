"""How much of a spread each of several nested causes accounts for: splits, teachers, students."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minnow.evaluation.metrics import Array


@dataclass(frozen=True)
class Ladder:
    """Sums of squares and their weights for one level of nested groups."""

    groups: int
    square: float
    weights: tuple[float, ...]


def nested_variances(values: Array, levels: Sequence[Array]) -> list[float | None]:
    """Return the variance that each level adds, outermost first, in the square of the values' unit.

    `values` are (n,); `levels` name each value's group, (n,) a level: its split, its teacher there,
    its student there. The estimates are those of the analysis of variance, which sets each sum of
    squares equal to its expectation, for equal numbers in the groups or not (Searle, Casella &
    McCulloch, Variance Components, 1992, chapter 5). They may be negative. None stands where no
    group of a level holds two of the next: what it adds is then part of the level above.
    """
    codes = nested_codes(levels, len(values))
    ladders = [ladder_of(values, code, codes[1:]) for code in codes]
    found: list[float | None] = [None] * len(levels)
    for level in range(len(levels), 0, -1):
        above, here = ladders[level - 1], ladders[level]
        if here.groups == above.groups:
            continue
        weights = np.subtract(here.weights, above.weights)
        deeper = sum(weights[m] * (found[m] or 0.0) for m in range(level, len(levels)))
        found[level - 1] = float((here.square - above.square - deeper) / weights[level - 1])
    return found


def nested_codes(levels: Sequence[Array], size: int) -> list[Array]:
    """Return group numbers (size,) of the whole and of each level, those of a level nested in the
    one before.
    """
    codes = [np.zeros(size, dtype=np.int64)]
    for level in levels:
        _, own = np.unique(level, return_inverse=True)
        _, nested = np.unique(codes[-1] * size + own, return_inverse=True)
        codes.append(nested)
    return codes


def ladder_of(values: Array, code: Array, levels: Sequence[Array]) -> Ladder:
    """Return Σ of (sum of a group)² / its size, and what each level's variance adds to its mean.

    A level's weight is Σ n_gh² / n_g over groups g here and groups h there, n_gh values in both.
    """
    sizes = np.bincount(code)
    weights = []
    for level in levels:
        both, shared = np.unique(np.stack([code, level]), axis=1, return_counts=True)
        weights.append(float((shared**2 / sizes[both[0]]).sum()))
    square = float((np.bincount(code, weights=values) ** 2 / sizes).sum())
    return Ladder(len(sizes), square, tuple(weights))
