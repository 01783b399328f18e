"""What chooses on validation: each number against scikit-learn's, and the order of scores."""

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn import metrics as sk

from minnow.core.params import EVEN_ODDS, Select, SelectName, ThresholdParams, validated
from minnow.core.selection import READINGS, Score, Selection
from minnow.core.thresholds import Array, decision_threshold
from minnow.errors import MinnowError

AT_F1 = ThresholdParams(fpr=None, f1=True, precision=None)
LABELS = np.random.default_rng(0).integers(2, size=200)
LOGITS = np.random.default_rng(1).normal(size=(200, 2)) + np.stack([-LABELS, LABELS], axis=1)
MARGINS = LOGITS[:, 1] - LOGITS[:, 0]


def reference(by: SelectName, cut: float) -> float:
    called = np.greater(MARGINS, cut)
    return float(
        {
            "f1": sk.f1_score(LABELS, called),
            "average_precision": sk.average_precision_score(LABELS, MARGINS),
            "roc_auc": sk.roc_auc_score(LABELS, MARGINS),
            "accuracy": sk.accuracy_score(LABELS, called),
            "log_loss": -sk.log_loss(LABELS, expit(MARGINS)),
        }[by]
    )


@pytest.mark.parametrize("rule", [EVEN_ODDS, AT_F1], ids=["0.5", "f1"])
@pytest.mark.parametrize("by", READINGS)
def test_each_number_is_scikit_learns_at_the_rules_cut(
    by: SelectName, rule: ThresholdParams
) -> None:
    cut = decision_threshold(MARGINS, LABELS, AT_F1) if rule.f1 else 0.0
    score = Selection(by, rule).score(LOGITS, LABELS)
    assert score.value == pytest.approx(reference(by, cut), abs=1e-12)
    assert score.average_precision == pytest.approx(reference("average_precision", cut))
    assert score.f1 == reference("f1", cut)


def test_the_two_cuts_differ_above() -> None:
    assert reference("f1", 0.0) < reference("f1", decision_threshold(MARGINS, LABELS, AT_F1))


def test_equals_are_told_apart_by_average_precision_and_not_by_f1() -> None:
    assert Score(0.0, 0.3, 0.0) > Score(0.0, 0.2, 0.9)
    assert Score(0.1, 0.0, 0.0) > Score(0.0, 0.9, 0.0)
    assert Score(0.5, 0.5, 0.1) == Score(0.5, 0.5, 0.9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_that_overflowed_is_worse_than_any_other(bad: float) -> None:
    logits: Array = LOGITS.copy()
    logits[3] = bad
    assert Selection("log_loss").score(logits, LABELS) < Score(-1e9, 0.0, 0.0)


# --- an extra part of validation -----------------------------------------------------------------


@pytest.mark.parametrize("rule", [EVEN_ODDS, AT_F1], ids=["0.5", "f1"])
@pytest.mark.parametrize("by", READINGS)
def test_with_a_copy_of_validation_beside_it_the_score_is_the_same(
    by: SelectName, rule: ThresholdParams
) -> None:
    alone = Selection(by, rule).score(LOGITS, LABELS)
    twice = Selection(by, rule).score(np.tile(LOGITS, (2, 1)), np.tile(LABELS, 2), len(LABELS))
    assert (twice, twice.f1) == (alone, alone.f1)
    assert (twice.parts, alone.parts) == ((alone.value, alone.value), ())


def scored(margins: list[float], labels: list[int], extra: int, rule: ThresholdParams) -> Score:
    logits = np.stack([np.zeros(len(margins)), margins], axis=1)
    return Selection("f1", rule).score(logits, labels, extra)


def test_the_mean_of_both_parts_by_hand() -> None:
    score = scored([-1, 1, -1, 1], [0, 1, 1, 0], 2, EVEN_ODDS)
    # The extra part has it all wrong: F1 0, and of the two rows the second is phishing.
    assert (score.value, score.average_precision, score.f1) == (0.5, 0.75, 1.0)
    assert score.parts == (1.0, 0.0)


def test_the_parts_may_be_of_other_sizes_and_weigh_the_same() -> None:
    score = scored([-1, 1, 1, 1, 1, 1, 1, 1], [0, 1, 1, 1, 1, 0, 0, 1], 3, EVEN_ODDS)
    assert score.parts == pytest.approx((1.0, 0.5))
    assert score.value == pytest.approx(0.75)


def test_the_threshold_is_validations_alone() -> None:
    """At its own best cut the extra part would have F1 1; at validation's nothing of it passes."""
    score = scored([0, 1, 2, 3, 0.2, 0.4], [0, 0, 1, 1, 0, 1], 2, AT_F1)
    assert score.parts == (1.0, 0.0)


def test_overflow_on_the_extra_part_alone_is_worse_than_any_other() -> None:
    score = scored([-1, 1, math.nan, 1], [0, 1, 0, 1], 2, EVEN_ODDS)
    assert score < Score(-1e9, 0.0, 0.0)
    assert score.parts == (-math.inf, -math.inf)


def test_a_rule_that_validation_cannot_serve_is_refused_before_training() -> None:
    rule = ThresholdParams(fpr=0.001, f1=False, precision=None)
    with pytest.raises(MinnowError, match=r"evaluate.threshold.fpr is 0.001 and validation has"):
        Selection("f1", rule).require(LABELS)
    Selection("f1", AT_F1).require(LABELS)


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(MinnowError, match=r"^params.yaml: select is 'auc': must be 'f1', "):
        validated(Select, "auc", "select")
    with pytest.raises(MinnowError, match=r"did you mean 'roc_auc'"):
        validated(Select, "rocauc", "select")
    with pytest.raises(MinnowError, match=r"^params.yaml: select is null: must be"):
        validated(Select, None, "select")
