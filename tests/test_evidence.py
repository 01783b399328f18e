"""Models judged together: shapes, pairing, and what may be said."""

import numpy as np
import pytest

from minnow import evidence, metrics
from minnow.evidence import HOPS, Judgement, Method, Outcome
from minnow.metrics import Array


def labels_of(rows: int, seed: int) -> Array:
    return (np.random.default_rng(seed).random(rows) < 0.5).astype(np.int64)


def outcome(validation_labels: Array, labels: Array, *, skill: float, seed: int) -> Outcome:
    draw = np.random.default_rng(seed)
    margins = [draw.normal(size=len(each)) + skill * (2 * each - 1) for each in (validation_labels, labels)]
    return Outcome(margins[0], margins[1], 0.0)


def judged(outcomes: dict[str, Outcome], validation_labels: Array, labels: Array, seed: int = 0) -> Judgement:
    return evidence.judge(
        outcomes,
        validation_labels=validation_labels,
        labels=labels,
        hops=HOPS,
        method=Method(margin=0.005, resamples=1000, seed=seed),
    )


VALIDATION, TEST = labels_of(600, 1), labels_of(800, 2)
TEACHER = outcome(VALIDATION, TEST, skill=1.5, seed=3)
MODELS = {
    "teacher": TEACHER,
    "student": outcome(VALIDATION, TEST, skill=0.7, seed=4),
    "quantized": Outcome(TEACHER.validation, TEACHER.test, 0.0),
}


@pytest.fixture(scope="module")
def found() -> Judgement:
    return judged(MODELS, VALIDATION, TEST)


def test_every_interval_holds_its_estimate(found: Judgement) -> None:
    for name, estimates in found.models.items():
        for key in (*evidence.ESTIMATES, "tpr_at_fpr_1pct"):
            estimate = estimates[key]
            assert estimate["low"] <= estimate["value"] <= estimate["high"], (name, key)
            assert estimate["low"] < estimate["high"]


def test_estimates_are_those_of_the_headline(found: Judgement) -> None:
    wanted = metrics.classification(TEACHER.test, TEST)
    for key in ("accuracy", "f1", "roc_auc"):
        assert found.models["teacher"][key]["value"] == wanted[key]


def test_rates_that_validation_cannot_know_are_null_with_a_reason(found: Judgement) -> None:
    point = found.models["teacher"]["tpr_at_fpr_0_1pct"]
    assert point["value"] is None
    assert (
        point["reason"]
        == f"validation has {int((VALIDATION == 0).sum())} safe rows; a false-positive rate of 0.1% needs 1000"
    )


def test_the_rate_on_test_is_the_one_that_came_of_the_threshold(found: Judgement) -> None:
    point = found.models["student"]["tpr_at_fpr_1pct"]
    assert point["validation_fpr"] <= 0.01
    margins = MODELS["student"].test
    assert point["test_fpr"] == round(float((margins[TEST == 0] > point["threshold"]).mean()), 4)
    assert point["value"] == round(float((margins[TEST == 1] > point["threshold"]).mean()), 4)


def test_a_model_compared_with_its_copy_differs_by_nothing_at_all(found: Judgement) -> None:
    hop = next(hop for hop in found.hops if (hop["before"], hop["after"]) == ("teacher", "quantized"))
    assert hop["f1"] == hop["roc_auc"] == {"difference": 0.0, "low": 0.0, "high": 0.0}
    assert (hop["verdict"], hop["better_than_before"], hop["mcnemar_p"]) == ("non_inferior", False, 1.0)
    assert (hop["agreement"], hop["changed"], hop["mean_abs_dp"], hop["rows_needed"]) == (1.0, 0, 0.0, None)


def test_a_clearly_worse_model_is_inferior_and_the_way_back_is_better(found: Judgement) -> None:
    there, back = found.hops[:2]
    assert (there["verdict"], there["better_than_before"]) == ("inferior", False)
    assert (back["verdict"], back["better_than_before"]) == ("non_inferior", True)
    assert there["f1"]["difference"] == -back["f1"]["difference"]
    assert (there["worse"], there["better"]) == (back["better"], back["worse"])
    assert there["mcnemar_p"] < 0.001


def test_a_paired_interval_is_narrower_than_two_apart() -> None:
    """A student that copies most of its teacher: the resamples' common luck cancels."""
    near = Outcome(TEACHER.validation, TEACHER.test + np.random.default_rng(9).normal(size=len(TEST)) * 0.1, 0.0)
    found = judged({**MODELS, "student": near}, VALIDATION, TEST)
    hop, apart = found.hops[0]["f1"], [found.models[name]["f1"] for name in ("teacher", "student")]
    width = hop["high"] - hop["low"]
    assert width < 0.5 * np.hypot(*(each["high"] - each["low"] for each in apart))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(found: Judgement) -> None:
    assert judged(MODELS, VALIDATION, TEST) == found
    assert judged(MODELS, VALIDATION, TEST, seed=1) != found


def test_thresholds_move_accuracy_and_flips() -> None:
    high = Outcome(TEACHER.validation, TEACHER.test, 3.0)
    found = judged({**MODELS, "quantized": high}, VALIDATION, TEST)
    assert found.models["quantized"]["accuracy"]["value"] == metrics.classification(TEACHER.test, TEST, 3.0)["accuracy"]
    assert found.hops[2]["changed"] > 0
    assert found.hops[2]["roc_auc"]["difference"] == 0.0


def test_calibration_covers_every_model() -> None:
    found = evidence.calibration_report(MODELS, validation_labels=VALIDATION, labels=TEST, wanted_fpr=None)
    assert set(found["models"]) == set(MODELS)
    assert found["models"]["teacher"] == found["models"]["quantized"] != found["models"]["student"]
