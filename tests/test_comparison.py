"""Two models on the same rows: verdicts, McNemar, flips, by hand and against independent implementations."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from minnow import comparison
from minnow.comparison import INCONCLUSIVE, INFERIOR, NON_INFERIOR


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (-0.004, 0.010, NON_INFERIOR),
        (0.001, 0.010, NON_INFERIOR),
        (-0.005, 0.010, INCONCLUSIVE),  # the margin itself is not excluded
        (-0.020, 0.010, INCONCLUSIVE),
        (-0.020, -0.005, INCONCLUSIVE),
        (-0.020, -0.006, INFERIOR),
    ],
)
def test_verdicts_at_a_margin_of_half_a_point(low: float, high: float, found: str) -> None:
    assert comparison.verdict(low, high, 0.005) == found


def test_rows_needed_by_hand() -> None:
    # 0.002 ± 0.014 on 1,000 rows: 0.007 above the margin's edge, so the interval must halve: four times the rows.
    assert comparison.rows_needed(0.002, -0.012, 0.016, margin=0.005, rows=1_000) == 4_000
    # -0.009 ± 0.012: it must fall below -0.005, a third of 0.012: nine times.
    assert comparison.rows_needed(-0.009, -0.021, 0.003, margin=0.005, rows=1_000) == pytest.approx(9_000, abs=1)
    assert comparison.rows_needed(-0.005, -0.02, 0.01, margin=0.005, rows=1_000) is None


def test_rows_needed_are_more_than_there_are_wherever_it_is_open() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        middle, reach = draw.normal(scale=0.01), draw.uniform(0.001, 0.03)
        low, high = middle - reach, middle + reach
        if comparison.verdict(low, high, 0.005) == INCONCLUSIVE and abs(middle + 0.005) > 1e-4:
            needed = comparison.rows_needed(middle, low, high, margin=0.005, rows=500)
            assert needed is not None
            assert needed >= 500
            narrowed = reach * math.sqrt(500 / (needed + 1))
            assert comparison.verdict(middle - narrowed, middle + narrowed, 0.005) != INCONCLUSIVE


def test_mcnemar_by_hand() -> None:
    # 1 against 5: twice the chance of at most one head in six tosses, 2 · 7/64.
    assert comparison.mcnemar(5, 1) == pytest.approx(14 / 64)
    assert comparison.mcnemar(0, 0) == 1.0
    assert comparison.mcnemar(4, 4) == 1.0


@pytest.mark.parametrize(("worse", "better"), [(0, 9), (3, 14), (152, 103), (40, 41)])
def test_mcnemar_equals_the_binomial_tail_and_is_symmetric(worse: int, better: int) -> None:
    tail = 2 * binom.cdf(min(worse, better), worse + better, 0.5)
    assert comparison.mcnemar(worse, better) == pytest.approx(min(1.0, tail))
    assert comparison.mcnemar(better, worse) == comparison.mcnemar(worse, better)


def test_flips_by_hand() -> None:
    before, after = np.array([1, 1, 0, 0, 1, 0]), np.array([1, 0, 1, 1, 1, 0])
    labels = np.array([1, 0, 1, 0, 0, 1])  # row 1 right now, row 2 right now, row 3 wrong now
    assert comparison.flips(before, after, labels) == {"changed": 3, "worse": 1, "better": 2}


def test_changes_use_each_models_own_threshold() -> None:
    before, after = np.array([2.0, 0.5, -1.0, -2.0]), np.array([2.0, 0.5, -1.0, -2.0]) + 1
    labels = np.array([1, 1, 0, 0])
    same = comparison.changes(before, after, labels, thresholds=(0.0, 1.0))
    assert (same["changed"], same["agreement"], same["mcnemar_p"]) == (0, 1.0, 1.0)
    assert same["mean_abs_dp"] > 0.1
    moved = comparison.changes(before, after, labels, thresholds=(0.0, -0.5))
    assert (moved["worse"], moved["better"], moved["agreement"]) == (1, 0, 0.75)


def test_flips_explain_the_change_of_accuracy() -> None:
    draw = np.random.default_rng(1)
    before, after, labels = (draw.integers(0, 2, 300) for _ in range(3))
    found = comparison.flips(before, after, labels)
    assert found["better"] - found["worse"] == int((after == labels).sum()) - int((before == labels).sum()) != 0
    assert found["changed"] == found["better"] + found["worse"]


def test_better_is_said_only_when_the_whole_interval_says_so() -> None:
    above, around = np.linspace(0.001, 0.01, 100), np.linspace(-0.001, 0.01, 100)
    assert comparison.judged(0.9, 0.905, above, margin=0.005, rows=10)["better_than_before"] is True
    assert comparison.judged(0.9, 0.905, around, margin=0.005, rows=10)["better_than_before"] is False
    assert comparison.judged(0.9, 0.905, around, margin=0.005, rows=10)["rows_needed"] is None
