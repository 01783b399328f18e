"""Numbers of a model: by hand, and against scikit-learn."""

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from minnow import metrics
from minnow.selection import validation_f1

# 10 rows, the phishing logit alone (the other is 0): 4 of 5 phishing found, 1 of 5 safe ones accused.
PHISHING = np.array([3.0, 2.0, 1.0, 0.5, -1.0, 0.75, -0.5, -2.0, -3.0, -4.0], dtype=np.float32)
LABELS = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
LOGITS = np.stack([np.zeros_like(PHISHING), PHISHING], axis=1)


def random_logits(rows: int = 500) -> tuple[metrics.Array, metrics.Array]:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    logits = draw.normal(size=(rows, 2)).astype(np.float32)
    logits[:, 1] += labels
    return logits, labels


def test_a_table_worked_by_hand() -> None:
    # Precision 4/5, recall 4/5. AUC: of 25 pairs (phishing, safe), these stand the wrong way round:
    # 0.5 < 0.75; -1 < 0.75; -1 < -0.5. So 22/25.
    assert metrics.classification(LOGITS, LABELS) == {
        "accuracy": 0.8,
        "precision": 0.8,
        "recall": 0.8,
        "f1": 0.8,
        "roc_auc": 0.88,
    }


def test_precision_and_recall_are_not_swapped() -> None:
    # All 5 phishing found and 3 safe ones accused: precision 5/8, recall 1, f1 = 2 · 5/8 / (13/8) = 10/13.
    guesses = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    result = metrics.classification(np.stack([1 - guesses, guesses], axis=1).astype(np.float32), LABELS)
    assert (result["precision"], result["recall"], result["f1"]) == (0.625, 1.0, round(10 / 13, 4))
    assert result["accuracy"] == 0.7


def test_equals_scikit_learn() -> None:
    logits, labels = random_logits()
    guesses = logits.argmax(axis=1)
    odds = np.exp(logits.astype(np.float64))
    assert metrics.classification(logits, labels) == {
        "accuracy": round(sk.accuracy_score(labels, guesses), 4),
        "precision": round(sk.precision_score(labels, guesses), 4),
        "recall": round(sk.recall_score(labels, guesses), 4),
        "f1": round(sk.f1_score(labels, guesses), 4),
        "roc_auc": round(sk.roc_auc_score(labels, odds[:, 1] / odds.sum(axis=1)), 4),
    }
    assert validation_f1(logits, labels) == sk.f1_score(labels, guesses)


def test_a_constant_added_to_both_logits_changes_nothing() -> None:
    logits, labels = random_logits()
    assert metrics.classification(logits + 64, labels) == metrics.classification(logits, labels)


def test_auc_sees_order_where_probabilities_round_to_1() -> None:
    # softmax of margins 1000, 900, 50 and 40 is 1.0 each.
    margins = np.array([1000.0, 50.0, 900.0, 40.0, -1000.0])
    labels = np.array([1, 0, 1, 0, 0])
    logits = np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
    assert metrics.margin(logits).tolist() == margins.tolist()
    assert metrics.classification(logits, labels)["roc_auc"] == 1.0


def test_a_tie_is_safe() -> None:
    assert metrics.predicted(np.array([[1.0, 1.0], [0.0, 0.5], [0.5, 0.0]])).tolist() == [0, 1, 0]
    assert validation_f1(np.zeros((4, 2)), np.array([1, 1, 0, 0])) == 0.0


def test_tied_scores_count_half_in_auc() -> None:
    assert metrics.classification(np.zeros((4, 2)), np.array([1, 1, 0, 0]))["roc_auc"] == 0.5


@pytest.mark.parametrize("phishing", [-1.0, 1.0])
def test_one_class_predicted_throughout_gives_0_and_no_warning(phishing: float) -> None:
    logits = np.array([[0.0, phishing]] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = metrics.classification(logits, np.array([1, 0, 0, 0]))
        f1 = validation_f1(logits, np.array([1, 0, 0, 0]))
    found = phishing > 0
    assert (result["precision"], result["recall"], result["f1"]) == ((0.25, 1.0, 0.4) if found else (0, 0, 0))
    assert f1 == pytest.approx(0.4 if found else 0)


def test_agreement_by_hand() -> None:
    # teacher:  1 1 0 0 1 0     labels: 1 0 1 0 0 1
    # model:    1 0 1 1 1 0     changed: rows 1 (right now), 2 (right now), 3 (wrong now)
    teacher, model = np.array([1, 1, 0, 0, 1, 0]), np.array([1, 0, 1, 1, 1, 0])
    logits = [np.stack([1.0 - guesses, guesses], axis=1) for guesses in (model, teacher)]
    assert metrics.agreement(*logits, np.array([1, 0, 1, 0, 0, 1])) == {
        "rows": 6,
        "agreement": 0.5,
        "changed": 3,
        "mended": 2,
        "broken": 1,
    }


def test_agreement_explains_the_change_of_accuracy() -> None:
    (logits, labels), teacher = random_logits(), random_logits()[0][::-1].copy()
    result = metrics.agreement(logits, teacher, labels)
    right = [int((metrics.predicted(each) == labels).sum()) for each in (logits, teacher)]
    assert right[0] - right[1] == result["mended"] - result["broken"] != 0
    assert result["changed"] == result["mended"] + result["broken"]


def test_headline_has_the_promised_keys_and_units() -> None:
    result = metrics.headline(
        test=(LOGITS, LABELS),
        validation=(LOGITS, 1 - LABELS),
        parameters=123,
        size=2_345_678,
        teacher_size=9_000_000,
    )
    assert list(result) == [
        "accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "validation_f1",
        "parameters",
        "size_mb",
        "compression_x",
    ]
    assert result["size_mb"] == 2.3457
    assert result["compression_x"] == round(9_000_000 / 2_345_678, 4) == 3.8368
    assert result["parameters"] == 123
    assert result["validation_f1"] == 0.2  # one of five, found with four false alarms
    assert result["f1"] == 0.8


def test_floats_have_four_decimals() -> None:
    assert metrics.rounded(2 / 3) == 0.6667
    logits, labels = random_logits(301)
    assert all(value == round(value, 4) for value in metrics.classification(logits, labels).values())
