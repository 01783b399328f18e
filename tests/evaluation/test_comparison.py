"""Two models on the same rows: verdicts, McNemar, flips, by hand and against independent
implementations.
"""

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from minnow.evaluation import comparison
from minnow.evaluation.comparison import MISTAKEN, Flips, Ruling
from minnow.evaluation.metrics import Array
from minnow.evaluation.units import JudgedRows, Units


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (-0.004, 0.010, "non_inferior"),
        (0.001, 0.010, "better"),
        (-0.005, 0.010, "undecided"),  # the margin itself is not excluded
        (-0.020, 0.010, "undecided"),
        (-0.020, -0.005, "worse_margin_open"),
        (-0.020, -0.001, "worse_margin_open"),
        (-0.004, -0.001, "non_inferior"),  # a loss, and a small one
        (-0.020, -0.006, "inferior"),
    ],
)
def test_verdicts_at_a_margin_of_half_a_point(low: float, high: float, found: str) -> None:
    assert comparison.verdict(comparison.claims(low, high, 0.005)) == found


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0.001, 0.01, "better"), (-0.004, 0.01, "undecided"), (-0.02, -0.001, "inferior")],
)
def test_a_rival_is_allowed_no_margin(low: float, high: float, found: str) -> None:
    assert comparison.verdict(comparison.claims(low, high, 0.0)) == found


def test_the_p_of_a_claim_is_the_share_beyond_its_edge() -> None:
    """Of 99 differences −0.049 to 0.049, 50 are 0 or less, and 45 are −0.005 or less."""
    resampled = np.append(np.arange(-49, 50) / 1_000, np.nan)
    found = comparison.claim_ps(resampled, 0.005)
    assert found == pytest.approx(
        {
            "better": 51 / 100,
            "non_inferior": 46 / 100,
            "inferior": 56 / 100,
            "worse_margin_open": 51 / 100,
        }
    )


def test_holm_by_hand_and_by_statsmodels_example() -> None:
    assert comparison.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.holm([0.02]) == [0.02]
    assert comparison.holm([]) == []


def said(**p: float) -> Ruling:
    whole = dict.fromkeys(comparison.CLAIMS, 1.0) | p
    allowed = frozenset(claim for claim, each in whole.items() if each < MISTAKEN)
    return Ruling(allowed, whole, None, None)


def test_verdicts_of_a_table_are_corrected_for_their_number() -> None:
    """0.02 is enough alone, not beside four others; 0.001 is enough among five."""
    alone = comparison.corrected([said(non_inferior=0.02)])
    assert comparison.verdict(alone[0].allowed) == "non_inferior"
    five = [said(non_inferior=0.02), said(better=0.001, non_inferior=0.001), *[said()] * 3]
    found = comparison.corrected(five)
    assert [comparison.verdict(each.allowed) for each in found[:2]] == ["undecided", "better"]
    assert found[0].p["non_inferior"] == pytest.approx(0.08)
    assert found[1].p["better"] == pytest.approx(0.005)


def test_a_claim_that_its_interval_allows_stands_where_nothing_is_corrected() -> None:
    """25 of 1,000 resamples beyond the edge: the interval ends above it, and p is 26/1001."""
    resampled = np.where(np.arange(1_000) < 25, -0.006, 0.0)
    resampled[25:60] = -0.0049
    one = ruling_of_many_flips(resampled)
    assert "non_inferior" in one.allowed
    assert one.p["non_inferior"] == 26 / 1_001 > MISTAKEN
    assert comparison.corrected([one])[0].allowed == one.allowed


def test_a_claim_that_the_correction_takes_back_names_the_rows_that_it_needs() -> None:
    """A distance of 2.2 errors: (z(0.025 / 7) + z(0.8))² / 2.2² = 2.6 times 1,000 rows."""
    resampled = 0.005 / 2.2 * norm.isf((np.arange(4_000) + 0.5) / 4_000)
    one = ruling_of_many_flips(resampled)
    assert (comparison.verdict(one.allowed), one.rows_needed) == ("non_inferior", None)
    found = comparison.corrected([one, *[said()] * 6])[0]
    assert (comparison.verdict(found.allowed), found.more_rows_show) == (
        "undecided",
        "non_inferior",
    )
    assert found.rows_needed == 3_000


def ruling_of_many_flips(resampled: Array) -> Ruling:
    """Return what may be said of no difference in 1,000 rows, of which 40 flipped."""
    net, rows = np.repeat([1, -1, 0], [20, 20, 960]), alone(np.repeat([0, 1], 500))
    return comparison.ruling(0.9, 0.9, resampled, net=net, rows=rows, margin=0.005)


def test_a_table_of_no_effects_holds_a_false_claim_as_seldom_as_one_verdict() -> None:
    wrong = 0
    for seed in range(400):
        draw = np.random.default_rng(seed)
        table = [said(better=float(p), non_inferior=float(p)) for p in draw.random(5)]
        wrong += any(each.allowed for each in comparison.corrected(table))
    assert wrong / 400 == pytest.approx(MISTAKEN, abs=0.02)


def test_rows_needed_by_hand() -> None:
    """0.002 ± 0.01 is 0.007 above the margin's edge, and must be 2.8 standard errors above it:
    1,000 · (2.8 · 0.004 / 0.007)² = 2,563.
    """
    assert comparison.rows_needed(0.002, 0.004, margin=0.005, rows=1_000) == 3_000
    assert comparison.rows_needed(-0.012, 0.004, margin=0.005, rows=1_000) == 3_000
    for near in (-0.005, -0.002, -0.008, -0.001):
        assert comparison.rows_needed(near, 0.004, margin=0.005, rows=1_000) is None, near


@pytest.mark.parametrize(
    ("number", "digit"),
    [(17_572, 20_000), (1, 1), (94, 90), (95.1, 100), (0.2, 1), (1.16e6, 10**6)],
)
def test_a_number_has_one_digit(number: float, digit: int) -> None:
    assert comparison.one_digit(number) == digit


@pytest.mark.parametrize("middle", [0.004, -0.014])
def test_so_many_rows_settle_it_in_four_of_five_cases(middle: float) -> None:
    needed = comparison.rows_needed(middle, 0.007, margin=0.005, rows=10_000)
    assert needed is not None
    error = 0.007 * math.sqrt(10_000 / needed)
    seen = np.random.default_rng(0).normal(middle, error, size=20_000)
    reach = 1.959964 * error
    settled = [
        bool(comparison.claims(each - reach, each + reach, 0.005) & {"non_inferior", "inferior"})
        for each in seen
    ]
    assert np.mean(settled) == pytest.approx(0.8, abs=0.08), "but for its one digit"


def test_the_loss_that_few_flips_leave_possible_by_hand() -> None:
    # No flip in 1,000 rows: 1 - 0.025^(1/1000) of them may flip, each at 0.0011 of F1 0.9.
    share = 1 - 0.025 ** (1 / 1_000)
    assert comparison.unseen_loss(
        0, units=1_000, rows=1_000, positives=500, f1=0.9
    ) == pytest.approx(share * 1_000 * 1.1 / 1_000)


def alone(labels: Array) -> JudgedRows:
    return JudgedRows(labels, Units.rows(len(labels)))


def test_non_inferior_is_seldom_said_of_a_model_that_is_not() -> None:
    """A true loss beyond the margin: right rows turn wrong, 0.76 % of all; what the bootstrap alone
    says is wrong in a fifth of such samples of 200 rows, in all of which nothing flipped."""
    wrong = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        labels = np.repeat([0, 1], 100)
        lost = draw.random(200) < 0.0076
        resampled = -np.array([lost[draw.integers(200, size=200)].mean() for _ in range(50)])
        decided = comparison.ruling(
            1.0,
            1 - lost.mean(),
            resampled,
            net=-lost.astype(int),
            rows=alone(labels),
            margin=0.005,
        )
        wrong += "non_inferior" in decided.allowed
    assert wrong == 0


def test_few_flips_name_the_rows_that_would_do() -> None:
    labels, nothing = np.repeat([0, 1], 100), np.zeros(200, dtype=int)
    decided = comparison.ruling(
        0.9, 0.9, np.zeros(50), net=nothing, rows=alone(labels), margin=0.005
    )
    assert decided.allowed == frozenset()
    assert (decided.rows_needed, decided.more_rows_show) == (800, "non_inferior")
    assert decided.p["non_inferior"] == 1.0


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
    same = comparison.changes(before, after, alone(labels), thresholds=(0.0, 1.0))
    assert (same.flips.changed, same.agreement, same.mcnemar_p) == (0, 1.0, 1.0)
    assert same.mean_abs_dp > 0.1
    moved = comparison.changes(before, after, alone(labels), thresholds=(0.0, -0.5))
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
    labels, net = np.repeat([0, 1], 500), np.repeat([-1, 1, 0], [10, 20, 970])
    for lowest, found in ((0.001, "better"), (-0.001, "non_inferior")):
        decided = comparison.ruling(
            0.9, 0.905, np.linspace(lowest, 0.01, 100), net=net, rows=alone(labels), margin=0.005
        )
        assert comparison.verdict(decided.allowed) == found
        assert (decided.rows_needed, decided.more_rows_show) == (None, None)


def test_net_flips_are_summed_by_domain() -> None:
    before, after, labels = np.array([1, 1, 0, 0]), np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1])
    units = Units(np.array([0, 0, 1, 1], dtype=np.int32), 2, None)
    assert comparison.net_flips(before, after, labels, units).tolist() == [-2, 1]
    found = comparison.changes(
        before - 0.5, after - 0.5, JudgedRows(labels, units), thresholds=(0, 0)
    )
    assert found.net.tolist() == [-2, 1]
    assert (found.mcnemar_p, found.clustered_p) == (1.0, 1.0)


def test_what_changed_row_by_row_by_hand() -> None:
    """Probabilities 1/2 and 4/5 become 4/5 and 1/2: 0.3 each. One guess gets right, one wrong."""
    four = float(np.log(4))
    before, after = np.array([0.0, four]), np.array([four, 0.0])
    found = comparison.changes(before, after, alone(np.array([1, 1])), thresholds=(0.0, 0.0))
    assert found.flips == Flips(changed=2, worse=1, better=1)
    assert (found.agreement, found.mcnemar_p, found.mean_abs_dp) == (0.0, 1.0, 0.3)
