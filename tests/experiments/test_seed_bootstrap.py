"""An interval over seeds and domains: what is drawn, and whether it covers."""

import numpy as np
import pytest

from minnow.evaluation.bootstrap import interval
from minnow.evaluation.metrics import Array
from minnow.experiments.kept_margins import RunSeeds
from minnow.experiments.seed_bootstrap import expansion, seeded_mean


def seeds(splits: int, teachers: int, students: int) -> list[RunSeeds]:
    return [
        RunSeeds(split, teacher, student)
        for split in range(splits)
        for teacher in range(teachers)
        for student in range(students)
    ]


def constant(values: list[float], resamples: int = 2000) -> Array:
    """Return draws in which no domain matters."""
    return np.repeat(np.array(values)[:, None], resamples, axis=1)


def test_one_run_keeps_the_interval_of_its_domains() -> None:
    draws = np.random.default_rng(0).normal(size=(1, 500))
    found = seeded_mean(draws, seeds(1, 1, 1), seed=0)
    assert found.holds == "none"
    assert np.array_equal(found.draws, draws[0])


def test_of_several_teachers_whole_teachers_are_drawn() -> None:
    """Students that differ, and teachers whose means do not: nothing to see."""
    found = seeded_mean(constant([0, 2, 2, 0]), seeds(1, 2, 2), seed=0)
    assert found.holds == "teachers"
    assert np.allclose(found.draws, 1)


def test_of_one_teacher_students_are_drawn() -> None:
    found = seeded_mean(constant([0, 1, 2]), seeds(1, 1, 3), seed=0)
    assert found.holds == "students"
    assert found.draws.mean() == pytest.approx(1, abs=0.1)
    # Drawn from three, their mean varies by (2 / 3) / 3; stretched, by the usual 1 / 3, and more.
    assert found.draws.std() == pytest.approx(expansion(3, 2) * (2 / 9) ** 0.5, rel=0.05)


def test_a_split_with_one_teacher_is_only_part_of_the_mean() -> None:
    mixed = [RunSeeds(0, 0, 0), RunSeeds(1, 0, 0), RunSeeds(1, 1, 0)]
    found = seeded_mean(constant([4, 0, 2]), mixed, seed=0)
    assert found.holds == "teachers"
    assert found.draws.mean() == pytest.approx(2.5, abs=0.3)


def test_what_splits_differ_by_is_not_held() -> None:
    found = seeded_mean(constant([0, 0, 8, 8]), seeds(2, 2, 1), seed=0)
    assert np.allclose(found.draws, 4)


def test_the_stretch_by_hand() -> None:
    """t of 2 degrees has 4.303 where the normal has 1.960; three units vary by 2 / 3 too little."""
    assert expansion(3, 2) == pytest.approx(1.5**0.5 * 4.303 / 1.960, rel=1e-3)
    assert expansion(1000, 999) == pytest.approx(1, abs=0.003)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("teachers", "teacher_sd", "student_sd", "domain_sd"),
    [(3, 4, 3, 10), (3, 4, 3, 1), (3, 4, 0, 0), (5, 4, 3, 2), (2, 4, 3, 2)],
)
def test_it_covers_the_truth(
    teachers: int, teacher_sd: float, student_sd: float, domain_sd: float
) -> None:
    """Of 500 studies of three students a teacher, 0.93 of 95 % intervals at least hold 0, the
    truth: whether domains or teachers make most of the variance.
    """
    generator, held = np.random.default_rng(2), 0
    plan = seeds(1, teachers, 3)
    for study in range(500):
        values = np.repeat(generator.normal(0, teacher_sd, teachers), 3)
        values += generator.normal(0, student_sd, len(plan)) + generator.normal(0, domain_sd)
        draws = values[:, None] + generator.normal(0, domain_sd, 1000)
        low, high = interval(seeded_mean(draws, plan, seed=study).draws)
        held += low < 0 < high
    assert held / 500 >= 0.93
