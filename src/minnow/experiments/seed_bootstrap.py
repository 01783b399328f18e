"""An interval that holds both seeds and domains: a bootstrap over what is nested."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minnow.evaluation.bootstrap import expansion
from minnow.evaluation.metrics import Array
from minnow.experiments.kept_margins import RunSeeds


@dataclass(frozen=True)
class SeededMean:
    """The mean over some runs in each resample, (resamples,), and which seeds it holds."""

    draws: Array
    holds: str


def seeded_mean(draws: Array, seeds: Sequence[RunSeeds], *, seed: int) -> SeededMean:
    """Return resamples of the mean over runs, of domains and of seeds at once.

    `draws` (runs, resamples) are each run's values, one and the same draw of domains in a column.
    In each column the teachers of a split are drawn again with replacement, each with all of its
    students: their mean varies by teacher and student as it should, and drawing the students too
    would count them twice (Davison & Hinkley, Bootstrap Methods and their Application, 1997, 3.8).
    Where no split has two teachers, students are drawn. What a split adds is not held: the mean is
    over these splits.
    """
    teachers = [(one.split, one.teacher) for one in seeds]
    students = [(*pair, one.student) for pair, one in zip(teachers, seeds, strict=True)]
    for unit, holds in ((teachers, "teachers"), (students, "students")):
        groups = grouped_by_split(unit)
        if any(len(members) > 1 for members in groups):
            return SeededMean(_drawn(draws, groups, seed), holds)
    return SeededMean(draws.mean(axis=0), "none")


def grouped_by_split(units: Sequence[tuple[int, ...]]) -> list[list[Array]]:
    """Return for each split the runs of each of its units, as positions."""
    splits = sorted({unit[0] for unit in units})
    return [
        [
            np.flatnonzero([unit == one for unit in units])
            for one in sorted({unit for unit in units if unit[0] == split})
        ]
        for split in splits
    ]


def _drawn(draws: Array, groups: Sequence[Sequence[Array]], seed: int) -> Array:
    generator = np.random.default_rng(seed)
    freedom = sum(len(members) - 1 for members in groups)
    means = []
    for members in groups:
        values = np.stack([draws[runs].mean(axis=0) for runs in members])  # (units, resamples)
        middle = values.mean(axis=0)
        picked = generator.integers(len(members), size=values.shape)
        moved = np.take_along_axis(values, picked, axis=0).mean(axis=0) - middle
        means.append(middle + (expansion(len(members), freedom) * moved if len(members) > 1 else 0))
    return np.asarray(np.mean(means, axis=0))
