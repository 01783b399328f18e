"""Rules for the threshold: values worked by hand, brute force over every threshold there is, and
rows that cannot serve.
"""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sk

from minnow.core import thresholds
from minnow.core.params import EVEN_ODDS, PrecisionParams, ThresholdParams, validated
from minnow.core.thresholds import Array, Cuts, decision_threshold
from minnow.errors import MinnowError
from minnow.evaluation import metrics

MARGINS = np.array([-2.0, -1.0, 0.5, 1.0, 3.0])
LABELS = np.array([0, 1, 0, 1, 1])


def at_fpr(rate: float) -> ThresholdParams:
    return ThresholdParams(fpr=rate, f1=False, precision=None)


def at_precision(wanted: float, prevalence: float) -> ThresholdParams:
    precision = PrecisionParams(wanted=wanted, prevalence=prevalence)
    return ThresholdParams(fpr=None, f1=False, precision=precision)


AT_F1 = ThresholdParams(fpr=None, f1=True, precision=None)


def drawn(seed: int, *, rows: int = 40, width: float = 0.003) -> tuple[Array, Array]:
    """Return margins that lie as close as thresholds do, some of them equal, and labels."""
    generator = np.random.default_rng(seed)
    labels = np.array([0, 1, *generator.integers(2, size=rows - 2)])
    margins = generator.uniform(-width, width, rows) + 0.001 * labels
    margins[::7] = np.round(margins[::7], 4)  # on a threshold itself
    return margins, labels


def grid(margins: Array) -> Array:
    """Return every threshold of 4 decimals from below all margins to above them."""
    steps = np.arange(np.floor(margins.min() * 1e4) - 1, np.ceil(margins.max() * 1e4) + 1)
    return steps / 1e4


# --- by hand --------------------------------------------------------------------------------------


def test_the_cuts_by_hand() -> None:
    """From all rows to the highest one: the phishing above, then the safe rows."""
    cuts = Cuts.of(MARGINS, LABELS)
    assert cuts.thresholds.tolist() == [-2.0001, -1.5, -0.25, 0.75, 2.0]
    assert cuts.found.tolist() == [3, 3, 2, 2, 1]
    assert cuts.alarms.tolist() == [2, 1, 1, 0, 0]
    assert cuts.f1.tolist() == [6 / 8, 6 / 7, 4 / 6, 4 / 5, 2 / 4]
    assert decision_threshold(MARGINS, LABELS, AT_F1) == -1.5


def test_the_precision_at_a_prevalence_by_hand() -> None:
    """At 2 %: half of the safe rows and all phishing give 0.02 / (0.02 + 0.98 / 2) = 2/51."""
    cuts = Cuts.of(MARGINS, LABELS)
    expected = [0.02, 2 / 51, 0.02 * 2 / 3 / (0.02 * 2 / 3 + 0.49), 1, 1]
    assert cuts.precision(0.02) == pytest.approx(expected)
    assert decision_threshold(MARGINS, LABELS, at_precision(0.03, 0.02)) == -1.5
    assert decision_threshold(MARGINS, LABELS, at_precision(0.04, 0.02)) == 0.75


def test_at_the_rows_own_share_it_is_the_precision_of_the_rows() -> None:
    margins, labels = drawn(0)
    cuts = Cuts.of(margins, labels)
    found = cuts.precision(labels.mean())
    expected = [sk.precision_score(labels, margins > threshold) for threshold in cuts.thresholds]
    assert found == pytest.approx(expected)


def test_of_equal_cuts_the_lowest_is_taken() -> None:
    """One of two found without an alarm, 2 / 3; both found with two alarms, 4 / 6."""
    margins, labels = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1, 0, 0, 1])
    assert Cuts.of(margins, labels).f1[[0, 3]].tolist() == [2 / 3, 2 / 3]
    assert decision_threshold(margins, labels, AT_F1) == -0.0001


def test_between_separated_classes_it_is_the_midpoint() -> None:
    assert decision_threshold(np.array([-3.0, 5.0]), np.array([0, 1]), AT_F1) == 1.0
    assert decision_threshold(np.array([-3.0, 5.00007]), np.array([0, 1]), AT_F1) == 1.0


def test_margins_closer_than_a_threshold_is_written_are_not_parted() -> None:
    margins, labels = np.array([0.00011, 0.00012, 0.00031]), np.array([0, 1, 1])
    assert Cuts.of(margins, labels).thresholds.tolist() == [0.0, 0.0002]


# --- against brute force --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_has_a_better_f1_and_none_that_is_lower_as_good(seed: int) -> None:
    margins, labels = drawn(seed)
    found = decision_threshold(margins, labels, AT_F1)
    scores = {cut: sk.f1_score(labels, margins > cut) for cut in grid(margins)}
    assert sk.f1_score(labels, margins > found) == max(scores.values())
    lowest = min(cut for cut, score in scores.items() if score == max(scores.values()))
    assert ((margins > lowest) == (margins > found)).all(), "the same cut, whatever its threshold"


@pytest.mark.parametrize("wanted", [0.12, 0.3])
@pytest.mark.parametrize("seed", range(20))
def test_no_lower_threshold_reaches_the_precision(seed: int, wanted: float) -> None:
    margins, labels = drawn(seed)
    prevalence = 0.1

    def precision(cut: float) -> float:
        hits = prevalence * (margins[labels == 1] > cut).mean()
        alarms = (1 - prevalence) * (margins[labels == 0] > cut).mean()
        return float(hits / (hits + alarms)) if hits + alarms else 0.0

    by_cut = {cut: precision(cut) for cut in grid(margins)}
    best = max(by_cut.values())
    lowest = min(cut for cut, found in by_cut.items() if found >= min(best, wanted))
    rule = at_precision(wanted, prevalence)
    found = decision_threshold(margins, labels, rule)
    assert ((margins > lowest) == (margins > found)).all(), "where none reaches it, the best"
    assert rule.precision is not None
    assert (thresholds.short_of(margins, labels, rule.precision) is None) == (best >= wanted)


def test_of_the_rows_above_some_reach_a_precision_and_some_do_not() -> None:
    wanted = PrecisionParams(wanted=0.3, prevalence=0.1)
    told = {thresholds.short_of(*drawn(seed), wanted) is None for seed in range(20)}
    assert told == {True, False}


@pytest.mark.parametrize(
    "rule", [AT_F1, at_precision(0.3, 0.1), at_precision(0.9999, 0.001)], ids=str
)
def test_a_row_with_a_weight_is_as_many_rows(rule: ThresholdParams) -> None:
    margins, labels = drawn(3)
    weights = np.random.default_rng(1).integers(1, 4, size=(5, len(margins)))
    drawn_thresholds = thresholds.by_cuts(Cuts.of(margins, labels, weights), rule.precision)
    repeated = [
        decision_threshold(np.repeat(margins, times), np.repeat(labels, times), rule)
        for times in weights
    ]
    assert drawn_thresholds.tolist() == repeated


# --- the rule -------------------------------------------------------------------------------------


def test_the_default_threshold_is_probability_one_half() -> None:
    assert decision_threshold(*drawn(0), EVEN_ODDS) == 0.0


def test_a_rate_of_false_alarms_has_a_threshold_of_its_own() -> None:
    margins, labels = drawn(0)
    at = decision_threshold(margins, labels, at_fpr(0.2))
    assert at == thresholds.threshold_at_fpr(margins, labels, 0.2)


def test_a_precision_that_no_cut_reaches_gives_the_best_and_says_so() -> None:
    """The highest row is safe: 2 of 2 found with 1 alarm of 2 is the best, 0.5 / (0.5 + 0.25)."""
    margins, labels = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0, 1, 1, 0])
    rule = at_precision(0.9, 0.5)
    assert decision_threshold(margins, labels, rule) == 0.5
    assert rule.precision is not None
    said = thresholds.short_of(margins, labels, rule.precision)
    assert said == (
        "no threshold reaches the precision 0.9 on validation, where 50 % of the URLs are phishing;"
        " the one with the best, 0.6667, is used; lower evaluate.threshold.precision.wanted"
    )
    assert thresholds.short_of(margins, labels, PrecisionParams(wanted=0.6, prevalence=0.5)) is None


@pytest.mark.parametrize("safe", [2, 7, 303, 648])
def test_too_few_safe_rows_are_refused_with_a_rate_that_does(safe: int) -> None:
    margins, labels = np.arange(safe + 2.0), np.array([1, 1, *[0] * safe])
    with pytest.raises(
        MinnowError, match=rf"validation has {safe} safe rows.*set \S+ or more"
    ) as refusal:
        decision_threshold(margins, labels, at_fpr(0.001))
    rate = float(str(refusal.value).split("; set ")[1].split()[0])
    threshold = decision_threshold(margins, labels, at_fpr(rate))
    assert metrics.false_positive_rate(margins, labels, threshold) <= rate


@pytest.mark.parametrize("safe", [0, 1])
def test_where_no_rate_does_none_is_named(safe: int) -> None:
    margins, labels = np.arange(safe + 2.0), np.array([1, 1, *[0] * safe])
    with pytest.raises(MinnowError, match=rf"has {safe} safe rows.*allows 0; set null$"):
        decision_threshold(margins, labels, at_fpr(0.5))


PRECISION = {"wanted": 0.9, "prevalence": 0.02}
RULES = {"fpr": 0.01, "f1": True, "precision": PRECISION}


@pytest.mark.parametrize("pair", [*itertools.combinations(RULES, 2), tuple(RULES)], ids=str)
def test_two_rules_are_refused_in_one_line(pair: tuple[str, ...]) -> None:
    none = {"fpr": None, "f1": False, "precision": None}
    given = {**none, **{name: RULES[name] for name in pair}}
    with pytest.raises(MinnowError, match=f"^params.yaml: t: {' and '.join(pair)} are given"):
        validated(ThresholdParams, given, "t")


@pytest.mark.parametrize("bad", [{"wanted": 1.0}, {"prevalence": 0.0}, {"prevalence": 2}])
def test_shares_of_a_precision_lie_between_0_and_1(bad: dict[str, float]) -> None:
    given = {"fpr": None, "f1": False, "precision": {**PRECISION, **bad}}
    with pytest.raises(MinnowError, match=rf"t.precision.{next(iter(bad))} is"):
        validated(ThresholdParams, given, "t")
