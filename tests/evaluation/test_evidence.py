"""Models judged together: shapes, pairing, and what may be said."""

import numpy as np
import pytest

from minnow.core.params import EVEN_ODDS, PrecisionParams, ThresholdParams
from minnow.evaluation import evidence, metrics
from minnow.evaluation.evidence import Assessment, Method, Outcome
from minnow.evaluation.metrics import Array
from minnow.evaluation.records import Difference, Estimate, Unmeasured
from minnow.layout import HOPS


def labels_of(rows: int, seed: int) -> Array:
    return (np.random.default_rng(seed).random(rows) < 0.5).astype(np.int64)


def outcome(validation_labels: Array, labels: Array, *, skill: float, seed: int) -> Outcome:
    draw = np.random.default_rng(seed)
    margins = [
        draw.normal(size=len(each)) + skill * (2 * each - 1) for each in (validation_labels, labels)
    ]
    return Outcome(margins[0], margins[1], 0.0)


def judged(
    outcomes: dict[str, Outcome], validation_labels: Array, labels: Array, seed: int = 0
) -> Assessment:
    return evidence.assess(
        outcomes,
        validation_labels=validation_labels,
        labels=labels,
        hops=HOPS,
        method=Method(margin=0.005, resamples=1000, seed=seed),
    )


VALIDATION, TEST = labels_of(1_200, 1), labels_of(800, 2)
TEACHER = outcome(VALIDATION, TEST, skill=1.5, seed=3)
MODELS = {
    "teacher": TEACHER,
    "student": outcome(VALIDATION, TEST, skill=0.7, seed=4),
    "quantized": Outcome(TEACHER.validation, TEACHER.test, 0.0),
}


@pytest.fixture(scope="module")
def found() -> Assessment:
    return judged(MODELS, VALIDATION, TEST)


def test_every_interval_holds_its_estimate(found: Assessment) -> None:
    for name, estimates in found.models.items():
        measured = {
            key: estimate
            for key, estimate in vars(estimates).items()
            if not isinstance(estimate, Unmeasured)
        }
        assert set(vars(estimates)) - set(measured) == {"tpr_at_fpr_0_1pct"}
        for key, estimate in measured.items():
            assert estimate.low <= estimate.value <= estimate.high, (name, key)
            assert estimate.low < estimate.high


def test_estimates_are_those_of_the_headline(found: Assessment) -> None:
    wanted = metrics.classification(TEACHER.test, TEST)
    teacher = found.models["teacher"]
    assert (teacher.accuracy.value, teacher.f1.value, teacher.roc_auc.value) == (
        wanted.accuracy,
        wanted.f1,
        wanted.roc_auc,
    )


def test_rates_that_validation_cannot_know_are_null_with_a_reason(found: Assessment) -> None:
    point = found.models["teacher"].tpr_at_fpr_0_1pct
    assert point == Unmeasured(
        f"validation has {int((VALIDATION == 0).sum())} safe rows; a false-positive rate of 0.1%"
        " needs 5000"
    )


def test_the_rate_on_test_is_the_one_that_came_of_the_threshold(found: Assessment) -> None:
    point = found.models["student"].tpr_at_fpr_1pct
    assert point.validation_fpr <= 0.01
    margins = MODELS["student"].test
    assert point.test_fpr == round(float((margins[TEST == 0] > point.threshold).mean()), 4)
    assert point.value == round(float((margins[TEST == 1] > point.threshold).mean()), 4)


def test_a_model_compared_with_its_copy_differs_by_nothing_at_all(found: Assessment) -> None:
    hop = next(hop for hop in found.hops if (hop.before, hop.after) == ("teacher", "quantized"))
    assert hop.f1 == hop.roc_auc == Difference(0.0, 0.0, 0.0)
    assert (hop.verdict, hop.better_than_before, hop.mcnemar_p) == (
        "non_inferior",
        False,
        1.0,
    )
    assert (hop.agreement, hop.changed, hop.mean_abs_dp, hop.rows_needed) == (
        1.0,
        0,
        0.0,
        None,
    )


def test_a_clearly_worse_model_is_inferior_and_the_way_back_is_better(found: Assessment) -> None:
    there, back = found.hops[:2]
    assert (there.verdict, there.better_than_before) == ("inferior", False)
    assert (back.verdict, back.better_than_before) == ("non_inferior", True)
    assert there.f1.difference == -back.f1.difference
    assert (there.worse, there.better) == (back.better, back.worse)
    assert there.mcnemar_p < 0.001


def test_a_paired_interval_is_narrower_than_two_apart() -> None:
    """A student that copies most of its teacher: the resamples' common luck cancels."""
    near = Outcome(
        TEACHER.validation,
        TEACHER.test + np.random.default_rng(9).normal(size=len(TEST)) * 0.1,
        0.0,
    )
    found = judged({**MODELS, "student": near}, VALIDATION, TEST)
    hop, apart = found.hops[0].f1, [found.models[name].f1 for name in ("teacher", "student")]
    width = hop.high - hop.low
    assert width < 0.5 * np.hypot(*(each.high - each.low for each in apart))


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(found: Assessment) -> None:
    assert judged(MODELS, VALIDATION, TEST) == found
    assert judged(MODELS, VALIDATION, TEST, seed=1) != found


def test_an_interval_at_a_threshold_knows_that_validation_is_a_sample_too() -> None:
    """The truth: how far the share found scatters over many validation and test samples of this
    size.
    """
    shares = []
    for seed in range(200):
        validation_labels, labels = labels_of(1_200, 1_000 + seed), labels_of(800, 2_000 + seed)
        each = outcome(validation_labels, labels, skill=1.5, seed=3_000 + seed)
        found, _ = metrics.tpr_at_fpr(
            0.01, validation=(each.validation, validation_labels), test=(each.test, labels)
        )
        assert found is not None
        shares.append(found)
    scatter = float(np.quantile(shares, 0.975) - np.quantile(shares, 0.025))
    widths = []
    for seed in range(5):
        validation_labels, labels = labels_of(1_200, 1_000 + seed), labels_of(800, 2_000 + seed)
        each = {"teacher": outcome(validation_labels, labels, skill=1.5, seed=3_000 + seed)}
        point = judge_alone(each, validation_labels, labels).models["teacher"].tpr_at_fpr_1pct
        widths.append(point.high - point.low)
    assert np.mean(widths) == pytest.approx(scatter, rel=0.35)


def judge_alone(
    outcomes: dict[str, Outcome], validation_labels: Array, labels: Array
) -> Assessment:
    method = Method(margin=0.005, resamples=1000, seed=0)
    return evidence.assess(
        outcomes, validation_labels=validation_labels, labels=labels, hops=(), method=method
    )


@pytest.mark.parametrize(
    "rule",
    [
        ThresholdParams(fpr=0.01, f1=False, precision=None),
        ThresholdParams(fpr=None, f1=False, precision=PrecisionParams(wanted=0.9, prevalence=0.1)),
    ],
    ids=["rate", "precision"],
)
def test_a_threshold_taken_on_validation_widens_the_interval_of_f1(rule: ThresholdParams) -> None:
    fixed, wanted = (
        Outcome(TEACHER.validation, TEACHER.test, 1.0, rule) for rule in (EVEN_ODDS, rule)
    )
    narrow, wide = (
        judge_alone({"teacher": each}, VALIDATION, TEST).models["teacher"].f1
        for each in (fixed, wanted)
    )
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_calibration_error_lies_in_its_interval_for_a_calibrated_model_too() -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        margins = draw.normal(size=1_000) * 2
        labels = (draw.random(1_000) < metrics.probability(margins)).astype(np.int64)
        found = (
            judge_alone({"teacher": Outcome(margins, margins, 0.0)}, labels, labels)
            .models["teacher"]
            .ece
        )
        assert 0 <= found.low <= found.value <= found.high


def test_all_right_is_no_proof_of_perfection() -> None:
    margins = np.where(TEST == 1, 3.0, -3.0)
    found = judge_alone(
        {"teacher": Outcome(TEACHER.validation, margins, 0.0)}, VALIDATION, TEST
    ).models["teacher"]
    # The exact bound for 800 of 800: 0.025^(1/800).
    assert found.accuracy == Estimate(1.0, round(0.025 ** (1 / 800), 4), 1.0)
    assert found.f1.low < 1.0


def test_few_rows_without_a_flip_do_not_show_non_inferiority() -> None:
    """With 200 rows and no flip at all, up to 1.8 % of the rows may flip: more than the margin of
    half a point.
    """
    few = slice(0, 200)
    same = Outcome(TEACHER.validation, TEACHER.test[few], 0.0)
    models = dict.fromkeys(("teacher", "student", "quantized"), same)
    hop = judged(models, VALIDATION, TEST[few]).hops[0]
    assert (hop.changed, hop.f1.low, hop.verdict) == (0, 0.0, "inconclusive")
    assert 600 < hop.rows_needed < 1_200


def test_another_test_set_is_another_sample() -> None:
    one = judge_alone({"teacher": TEACHER}, VALIDATION, TEST)
    labels = labels_of(800, 77)
    other = judge_alone(
        {"teacher": outcome(VALIDATION, labels, skill=2.5, seed=78)}, VALIDATION, labels
    )
    found = evidence.unpaired("teacher", one, other).f1
    wanted = other.models["teacher"].f1.value - one.models["teacher"].f1.value
    assert found.difference == pytest.approx(wanted, abs=1e-4)
    assert found.low > 0


def test_thresholds_move_accuracy_and_flips() -> None:
    high = Outcome(TEACHER.validation, TEACHER.test, 3.0)
    found = judged({**MODELS, "quantized": high}, VALIDATION, TEST)
    assert (
        found.models["quantized"].accuracy.value
        == metrics.classification(TEACHER.test, TEST, 3.0).accuracy
    )
    assert found.hops[2].changed > 0
    assert found.hops[2].roc_auc.difference == 0.0


def test_calibration_covers_every_model() -> None:
    found = evidence.calibration_report(
        MODELS, validation_labels=VALIDATION, labels=TEST, rule=EVEN_ODDS
    )
    assert set(found.models) == set(MODELS)
    assert found.models["teacher"] == found.models["quantized"] != found.models["student"]
