"""Numbers of a model: by hand, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from minnow.core.selection import validation_f1
from minnow.core.thresholds import allowed_false_positives, threshold_at_fpr
from minnow.evaluation import metrics
from minnow.evaluation.results import as_json

# 10 rows, the phishing logit alone (the other is 0): 4 of 5 phishing found, 1 of 5 safe ones
# accused.
PHISHING = np.array([3.0, 2.0, 1.0, 0.5, -1.0, 0.75, -0.5, -2.0, -3.0, -4.0], dtype=np.float32)
LABELS = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
LOGITS = np.stack([np.zeros_like(PHISHING), PHISHING], axis=1)
MARGINS = PHISHING.astype(np.float64)


def random_logits(rows: int = 500) -> tuple[metrics.Array, metrics.Array]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    logits = draw.normal(size=(rows, 2)).astype(np.float32)
    logits[:, 1] += labels
    return logits, labels


def test_a_table_worked_by_hand() -> None:
    # Precision 4/5, recall 4/5. AUC: of 25 pairs (phishing, safe), these stand the wrong way round:
    # 0.5 < 0.75; -1 < 0.75; -1 < -0.5. So 22/25.
    assert metrics.classification(metrics.margins_of(LOGITS), LABELS) == metrics.Scores(
        accuracy=0.8, precision=0.8, recall=0.8, f1=0.8, roc_auc=0.88
    )


def test_precision_and_recall_are_not_swapped() -> None:
    # All 5 phishing found and 3 safe ones accused: precision 5/8, recall 1, f1 = 2 · 5/8 / (13/8) =
    # 10/13.
    guesses = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    result = metrics.classification(guesses - 0.5, LABELS)
    assert (result.precision, result.recall, result.f1) == (0.625, 1.0, round(10 / 13, 4))
    assert result.accuracy == 0.7


def test_equals_scikit_learn() -> None:
    logits, labels = random_logits()
    guesses = logits.argmax(axis=1)
    odds = np.exp(logits.astype(np.float64))
    assert metrics.classification(metrics.margins_of(logits), labels) == metrics.Scores(
        accuracy=round(sk.accuracy_score(labels, guesses), 4),
        precision=round(sk.precision_score(labels, guesses), 4),
        recall=round(sk.recall_score(labels, guesses), 4),
        f1=round(sk.f1_score(labels, guesses), 4),
        roc_auc=round(sk.roc_auc_score(labels, odds[:, 1] / odds.sum(axis=1)), 4),
    )
    assert validation_f1(logits, labels) == sk.f1_score(labels, guesses)


def test_a_constant_added_to_both_logits_changes_nothing() -> None:
    logits, labels = random_logits()
    found, wanted = (
        metrics.classification(metrics.margins_of(each), labels) for each in (logits + 64, logits)
    )
    assert found == wanted


def test_auc_sees_order_where_probabilities_round_to_1() -> None:
    # softmax of margins 1000, 900, 50 and 40 is 1.0 each.
    margins = np.array([1000.0, 50.0, 900.0, 40.0, -1000.0])
    labels = np.array([1, 0, 1, 0, 0])
    logits = np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
    assert metrics.margins_of(logits).tolist() == margins.tolist()
    assert metrics.classification(metrics.margins_of(logits), labels).roc_auc == 1.0


def test_a_tie_is_safe() -> None:
    assert metrics.predicted(np.array([0.0, 0.5, -0.5])).tolist() == [0, 1, 0]
    assert validation_f1(np.zeros((4, 2)), np.array([1, 1, 0, 0])) == 0.0


def test_tied_scores_count_half_in_auc() -> None:
    assert metrics.classification(np.zeros(4), np.array([1, 1, 0, 0])).roc_auc == 0.5


@pytest.mark.parametrize("phishing", [-1.0, 1.0])
def test_one_class_predicted_throughout_gives_0_and_no_warning(phishing: float) -> None:
    logits = np.array([[0.0, phishing]] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = metrics.classification(metrics.margins_of(logits), np.array([1, 0, 0, 0]))
        f1 = validation_f1(logits, np.array([1, 0, 0, 0]))
    found = phishing > 0
    assert (result.precision, result.recall, result.f1) == (
        (0.25, 1.0, 0.4) if found else (0, 0, 0)
    )
    assert f1 == pytest.approx(0.4 if found else 0)


def test_the_threshold_moves_what_is_called_phishing_and_not_the_order() -> None:
    # Above 0.6 are 3, 2, 1 (phishing) and 0.75 (safe): precision 3/4, recall 3/5.
    result = metrics.classification(MARGINS, LABELS, threshold=0.6)
    assert (result.precision, result.recall, result.accuracy) == (0.75, 0.6, 0.7)
    assert result.roc_auc == metrics.classification(MARGINS, LABELS).roc_auc


def test_the_threshold_of_a_false_positive_rate_by_hand() -> None:
    # Safe margins 0.75, -0.5, -2, -3, -4. A rate of 0.4 allows two of them: above -2 are 0.75 and
    # -0.5.
    assert threshold_at_fpr(MARGINS, LABELS, 0.4) == -2.0
    assert metrics.false_positive_rate(MARGINS, LABELS, -2.0) == 0.4
    assert metrics.true_positive_rate(MARGINS, LABELS, -2.0) == 1.0
    assert threshold_at_fpr(MARGINS, LABELS, 0.2) == -0.5
    assert threshold_at_fpr(MARGINS, LABELS, 0.19) is None, "not one of five"
    assert threshold_at_fpr(MARGINS, LABELS, 0.8) == -4.0
    assert threshold_at_fpr(MARGINS, LABELS, 1.0) is None, "nobody is left to stop at"
    assert threshold_at_fpr(MARGINS, LABELS, 0.4, least=2) == -2.0
    assert threshold_at_fpr(MARGINS, LABELS, 0.4, least=3) is None


@pytest.mark.parametrize("fpr", [0.01, 0.03, 0.2, 0.5])
def test_the_threshold_holds_its_rate_and_no_lower_one_does(fpr: float) -> None:
    logits, labels = random_logits(700)
    margins = np.round(
        metrics.margins_of(logits), 1
    )  # ties: a step may accuse several rows at once
    threshold = threshold_at_fpr(margins, labels, fpr)
    assert threshold is not None
    assert metrics.false_positive_rate(margins, labels, threshold) <= fpr
    lower = np.unique(margins[margins < threshold - 1e-4]).max()
    assert metrics.false_positive_rate(margins, labels, lower) > fpr


def test_a_rate_that_is_a_whole_number_of_rows_loses_none_of_them() -> None:
    assert allowed_false_positives(300, 0.01) == 3
    assert allowed_false_positives(1000, 0.001) == 1


def test_tpr_on_test_at_a_threshold_from_validation() -> None:
    validation = (MARGINS, LABELS)
    test = (np.array([0.0, -1.0, 1.0, -0.4]), np.array([1, 1, 0, 0]))
    assert metrics.tpr_at_fpr(0.2, validation=validation, test=test) == (None, None), (
        "one row may pass, of five needed"
    )
    validation = (np.tile(MARGINS, 5), np.tile(LABELS, 5))
    assert metrics.tpr_at_fpr(0.2, validation=validation, test=test) == (0.5, -0.5)


def test_calibration_error_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two bins of two: probabilities 0.2, 0.4 with one phishing row, 0.6, 0.9 with two.
    monkeypatch.setattr(metrics, "ECE_BINS", 2)
    probabilities, labels = np.array([0.9, 0.2, 0.6, 0.4]), np.array([1, 0, 1, 1])
    margins = np.log(probabilities / (1 - probabilities))
    # |0.3 - 0.5| and |0.75 - 1|, two rows of four each.
    assert metrics.expected_calibration_error(margins, labels) == pytest.approx(
        0.5 * 0.2 + 0.5 * 0.25
    )
    expected, observed, rows = metrics.calibration_bins(margins, labels)
    assert expected == pytest.approx([0.3, 0.75])
    assert (observed.tolist(), rows.tolist()) == ([0.5, 1.0], [2, 2])


def test_bins_have_equal_mass_and_keep_ties_together() -> None:
    logits, labels = random_logits(1_500)
    margins = metrics.margins_of(logits)
    assert metrics.calibration_bins(margins, labels)[2].tolist() == [100] * 15
    tied = np.round(margins)
    assert sum(metrics.calibration_bins(tied, labels)[2]) == 1_500
    shuffled = np.random.default_rng(5).permutation(1_500)
    assert metrics.expected_calibration_error(tied, labels) == pytest.approx(
        metrics.expected_calibration_error(tied[shuffled], labels[shuffled]), abs=1e-12
    )


def test_bins_with_ties_and_empty_ones_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of five rows four are tied at probability 0.5: their middle, 2 of 5, falls in the second of
    # four bins; the last row's, 4.5 of 5, in the fourth. The first and the third stay empty.
    monkeypatch.setattr(metrics, "ECE_BINS", 4)
    margins, labels = np.array([0.0, np.log(9), 0.0, 0.0, 0.0]), np.array([1, 1, 0, 0, 0])
    expected, observed, rows = metrics.calibration_bins(margins, labels)
    assert expected == pytest.approx([0.5, 0.9])
    assert (observed.tolist(), rows.tolist()) == ([0.25, 1.0], [4, 1])


def test_calibration_error_is_near_0_for_true_probabilities_and_not_for_others() -> None:
    draw = np.random.default_rng(2)
    margins = draw.normal(size=200_000) * 2
    labels = (draw.random(200_000) < metrics.probability(margins)).astype(int)
    assert metrics.expected_calibration_error(margins, labels) < 0.005
    assert metrics.expected_calibration_error(margins * 3, labels) > 0.05


def test_brier_and_log_loss_equal_scikit_learn() -> None:
    logits, labels = random_logits()
    margins = metrics.margins_of(logits)
    probabilities = metrics.probability(margins)
    assert metrics.brier(margins, labels) == pytest.approx(
        sk.brier_score_loss(labels, probabilities)
    )
    assert metrics.log_loss(margins, labels) == pytest.approx(sk.log_loss(labels, probabilities))
    assert metrics.log_loss(np.array([-2000.0]), np.array([1])) == 2000.0, "no overflow, no cut"


def test_headline_has_the_promised_keys_and_units() -> None:
    result = metrics.headline(
        test=(LOGITS, LABELS),
        validation=(LOGITS, 1 - LABELS),
        threshold=0.0,
        parameters=123,
        size=2_345_678,
        teacher_size=9_000_000,
    )
    assert list(as_json(result)) == [
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "tpr_at_fpr_1pct",
        "ece",
        "validation_f1",
        "size_mb",
        "parameters",
        "compression_x",
    ]
    assert result.validation_score is None, "F1 chooses"
    assert result.size_mb == 2.3457
    assert result.compression_x == round(9_000_000 / 2_345_678, 4) == 3.8368
    assert result.parameters == 123
    assert result.validation_f1 == 0.2  # one of five, found with four false alarms
    assert result.f1 == 0.8
    assert result.tpr_at_fpr_1pct is None, "five safe rows know nothing of one in a hundred"
    assert result.ece == round(metrics.expected_calibration_error(MARGINS, LABELS), 4)


def test_floats_have_four_decimals() -> None:
    assert metrics.rounded(2 / 3) == 0.6667
    logits, labels = random_logits(301)
    assert all(
        value == round(value, 4)
        for value in vars(metrics.classification(metrics.margins_of(logits), labels)).values()
    )


def test_the_flat_metrics_are_those_of_test_at_the_threshold() -> None:
    """Each field is the number of its name: by the functions above, at a threshold that matters."""
    labels = np.tile(LABELS, 400)
    logits = np.tile(LOGITS, (400, 1))
    found = metrics.headline(
        test=(logits, labels),
        validation=(logits, labels),
        threshold=0.75,
        parameters=7,
        size=123_456_789_012,
        teacher_size=246_913_578_024,
    )
    scores = metrics.classification(metrics.margins_of(logits), labels, 0.75)
    assert scores.recall == 0.6  # the margin of 0.75 itself is safe
    assert (found.accuracy, found.precision, found.recall) == (
        scores.accuracy,
        scores.precision,
        scores.recall,
    )
    assert (found.f1, found.roc_auc) == (scores.f1, 0.88)
    assert found.validation_f1 == 0.75  # at the same threshold
    # One false alarm in a hundred allows none of the 400 ties at 0.75: 3, 2 and 1 lie above.
    assert found.tpr_at_fpr_1pct == 0.6
    assert (found.parameters, found.size_mb, found.compression_x) == (7, 123456.789, 2.0)


def test_a_phishing_row_at_the_threshold_is_not_found() -> None:
    margins, labels = np.array([1.0, 2.0, 0.0]), np.array([1, 1, 0])
    assert metrics.true_positive_rate(margins, labels, 1.0) == 0.5


def test_a_margin_is_taken_in_double_precision() -> None:
    logits = np.array([[1e-8, 1.0]], dtype=np.float32)
    assert metrics.margins_of(logits)[0] < 1.0  # in float32 it would be 1


def test_no_minus_stands_before_a_rounded_zero() -> None:
    assert str(metrics.rounded(-0.00001)) == "0.0"
