"""Two models on the same rows: verdicts, McNemar, flips, by hand and against independent
implementations.
"""

import math

import numpy as np
import pytest
from scipy.stats import binom

from minnow.evaluation import comparison
from minnow.evaluation.comparison import INCONCLUSIVE, INFERIOR, NON_INFERIOR, Flips, Ruling


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


# (1.96 + 0.84) / 1.96, squared: what it takes to be right in four of five cases instead of every
# second.
POWER = ((1.959964 + 0.841621) / 1.959964) ** 2


def test_rows_needed_by_hand() -> None:
    # 0.002 ± 0.014 on 1,000 rows: 0.007 above the margin's edge, so the interval must halve: four
    # times the rows.
    assert comparison.rows_needed(0.002, -0.012, 0.016, margin=0.005, rows=1_000) == pytest.approx(
        4_000 * POWER, abs=2
    )
    # -0.009 ± 0.012: it must fall below -0.005, a third of 0.012: nine times.
    assert comparison.rows_needed(-0.009, -0.021, 0.003, margin=0.005, rows=1_000) == pytest.approx(
        9_000 * POWER, abs=2
    )
    assert comparison.rows_needed(-0.00499, -0.02, 0.01, margin=0.005, rows=1_000) is None, (
        "no number could be had"
    )


@pytest.mark.parametrize("middle", [0.002, -0.012])
def test_so_many_rows_settle_it_in_four_of_five_cases(middle: float) -> None:
    needed = comparison.rows_needed(
        middle, middle - 0.014, middle + 0.014, margin=0.005, rows=1_000
    )
    assert needed is not None
    reach = 0.014 * math.sqrt(1_000 / needed)
    seen = np.random.default_rng(0).normal(middle, reach / 1.959964, size=20_000)
    settled = [
        comparison.verdict(each - reach, each + reach, 0.005) != INCONCLUSIVE for each in seen
    ]
    assert np.mean(settled) == pytest.approx(0.8, abs=0.02)


def test_the_loss_that_few_flips_leave_possible_by_hand() -> None:
    # No flip in 1,000 rows: 1 - 0.025^(1/1000) of them may flip, each at 0.0011 of F1 0.9.
    share = 1 - 0.025 ** (1 / 1_000)
    assert comparison.unseen_loss(0, rows=1_000, positives=500, f1=0.9) == pytest.approx(
        share * 1_000 * 1.1 / 1_000
    )


def test_non_inferior_is_seldom_said_of_a_model_that_is_not() -> None:
    """A true loss beyond the margin: right rows turn wrong, 0.76 % of all; what the bootstrap alone
    says is wrong in a fifth of such samples of 200 rows, in all of which nothing flipped."""
    wrong = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 100)
        before = labels.copy()
        lost = draw.random(200) < 0.0076
        after = np.where(lost, 1 - before, before)
        found = comparison.flips(before, after, labels)
        resampled = -np.array([lost[draw.integers(200, size=200)].mean() for _ in range(50)])
        decided = comparison.ruling(
            1.0, 1 - lost.mean(), resampled, flipped=found, labels=labels, margin=0.005
        )
        wrong += decided.verdict == NON_INFERIOR
    assert wrong == 0


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
    assert comparison.flips(before, after, labels) == Flips(changed=3, worse=1, better=2)


def test_changes_use_each_models_own_threshold() -> None:
    before, after = np.array([2.0, 0.5, -1.0, -2.0]), np.array([2.0, 0.5, -1.0, -2.0]) + 1
    labels = np.array([1, 1, 0, 0])
    same = comparison.changes(before, after, labels, thresholds=(0.0, 1.0))
    assert (same.flips.changed, same.agreement, same.mcnemar_p) == (0, 1.0, 1.0)
    assert same.mean_abs_dp > 0.1
    moved = comparison.changes(before, after, labels, thresholds=(0.0, -0.5))
    assert (moved.flips.worse, moved.flips.better, moved.agreement) == (1, 0, 0.75)


def test_flips_explain_the_change_of_accuracy() -> None:
    draw = np.random.default_rng(1)
    before, after, labels = (draw.integers(0, 2, 300) for _ in range(3))
    found = comparison.flips(before, after, labels)
    assert (
        found.better - found.worse
        == int((after == labels).sum()) - int((before == labels).sum())
        != 0
    )
    assert found.changed == found.better + found.worse


def test_better_is_said_only_when_the_whole_interval_says_so() -> None:
    labels, flipped = np.repeat([0, 1], 500), Flips(changed=30, worse=10, better=20)
    for lowest, better in ((0.001, True), (-0.001, False)):
        found = comparison.ruling(
            0.9, 0.905, np.linspace(lowest, 0.01, 100), flipped=flipped, labels=labels, margin=0.005
        )
        assert found == Ruling(NON_INFERIOR, better_than_before=better, rows_needed=None)


def test_what_changed_row_by_row_by_hand() -> None:
    """Probabilities 1/2 and 4/5 become 4/5 and 1/2: 0.3 each. One guess gets right, one wrong."""
    four = float(np.log(4))
    before, after = np.array([0.0, four]), np.array([four, 0.0])
    found = comparison.changes(before, after, np.array([1, 1]), thresholds=(0.0, 0.0))
    assert found.flips == Flips(changed=2, worse=1, better=1)
    assert (found.agreement, found.mcnemar_p, found.mean_abs_dp) == (0.0, 1.0, 0.3)
