"""Models judged together: shapes, pairing, and what may be said."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from minnow.core.params import EVEN_ODDS, PrecisionParams, ThresholdParams
from minnow.evaluation import evidence, findings, metrics
from minnow.evaluation.evidence import Assessment
from minnow.evaluation.metrics import Array
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.records import Difference, Estimate, Estimates, OperatingPoint, Unmeasured
from minnow.evaluation.results import as_json
from minnow.evaluation.units import JudgedRows, Units
from minnow.layout import HOPS
from minnow.report.formatting import few_words

RULES = [
    ThresholdParams(fpr=0.05, f1=False, precision=None),
    ThresholdParams(fpr=None, f1=True, precision=None),
    ThresholdParams(fpr=None, f1=False, precision=PrecisionParams(wanted=0.5, prevalence=0.02)),
]


def labels_of(rows: int, seed: int) -> Array:
    return (np.random.default_rng(seed).random(rows) < 0.5).astype(np.int64)


def outcome(validation_labels: Array, labels: Array, *, skill: float, seed: int) -> Outcome:
    draw = np.random.default_rng(seed)
    margins = [
        draw.normal(size=len(each)) + skill * (2 * each - 1) for each in (validation_labels, labels)
    ]
    return Outcome(margins[0], margins[1], 0.0)


def alone(labels: Array) -> JudgedRows:
    return JudgedRows(labels, Units.rows(len(labels)))


def judged(
    outcomes: dict[str, Outcome], validation_labels: Array, labels: Array, seed: int = 0
) -> Assessment:
    return evidence.assess(
        outcomes,
        validation=alone(validation_labels),
        test=alone(labels),
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
            if isinstance(estimate, Estimate)
        }
        assert set(vars(estimates)) - set(measured) == {
            "tpr_at_fpr_0_1pct",
            "at_prevalence",
            "effective_rows",
        }
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
    assert point.test_fpr.value == round(float((margins[TEST == 0] > point.threshold).mean()), 4)
    assert point.value == round(float((margins[TEST == 1] > point.threshold).mean()), 4)


def test_a_model_compared_with_its_copy_differs_by_nothing_at_all(found: Assessment) -> None:
    hop = next(hop for hop in found.hops if (hop.before, hop.after) == ("teacher", "quantized"))
    assert hop.f1 == hop.roc_auc == Difference(0.0, 0.0, 0.0)
    assert (hop.verdict, hop.mcnemar_p, hop.clustered_p) == ("non_inferior", 1.0, 1.0)
    assert (hop.agreement, hop.changed, hop.mean_abs_dp, hop.rows_needed) == (
        1.0,
        0,
        0.0,
        None,
    )


def test_a_clearly_worse_model_is_inferior_and_the_way_back_is_better(found: Assessment) -> None:
    there, back = found.hops[:2]
    assert (there.verdict, there.uncorrected) == ("inferior", "inferior")
    assert (back.verdict, back.uncorrected) == ("better", "better")
    assert there.f1.difference == -back.f1.difference
    assert (there.worse, there.better) == (back.better, back.worse)
    assert max(there.mcnemar_p, there.clustered_p) < 0.001
    assert (there.p, there.adjusted_p) == (0.001, 0.003), "as small as 1,000 resamples can say"


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
    method = Method(margin=0.005, resamples=1000, seed=0, prevalences=(0.02,))
    return evidence.assess(
        outcomes,
        validation=alone(validation_labels),
        test=alone(labels),
        hops=(),
        method=method,
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
        assert found.value < found.measured
        assert found.null == pytest.approx(found.measured, rel=0.8)


def test_all_right_is_no_proof_of_perfection() -> None:
    margins = np.where(TEST == 1, 3.0, -3.0)
    found = judge_alone(
        {"teacher": Outcome(TEACHER.validation, margins, 0.0)}, VALIDATION, TEST
    ).models["teacher"]
    # The exact bound for 800 of 800: 0.025^(1/800).
    assert found.accuracy == Estimate(1.0, round(0.025 ** (1 / 800), 4), 1.0)
    assert found.f1.low < 1.0


def test_few_false_alarms_bound_a_rate_no_lower_than_the_exact_interval() -> None:
    """2 of 2,000: the resamples end at 5 alarms, the exact interval at 7.2 (Clopper & Pearson)."""
    labels = np.repeat([0, 1], [2_000, 1_000])
    margins = np.where(labels == 1, 1.0, -1.0)
    margins[[0, 1]], margins[2_000:2_100] = 1.0, -1.0
    models = dict.fromkeys(MODELS, Outcome(margins, margins, 0.0))
    found = judged(models, labels, labels).models["teacher"]
    assert (found.fpr.value, found.fpr.high) == (0.001, 0.0036)
    assert found.fpr.low == 0.0
    assert 0.87 < found.tpr.low < 0.89  # a hundred misses: the resamples know


def test_few_rows_without_a_flip_do_not_show_non_inferiority() -> None:
    """With 200 rows and no flip at all, up to 1.8 % of the rows may flip: more than the margin of
    half a point.
    """
    few = slice(0, 200)
    same = Outcome(TEACHER.validation, TEACHER.test[few], 0.0)
    models = dict.fromkeys(("teacher", "student", "quantized"), same)
    hop = judged(models, VALIDATION, TEST[few]).hops[0]
    assert (hop.changed, hop.f1.low, hop.verdict) == (0, 0.0, "undecided")
    assert (hop.rows_needed, hop.more_rows_show) == (800, "non_inferior")


def test_another_test_set_is_another_sample() -> None:
    one = judge_alone({"teacher": TEACHER}, VALIDATION, TEST)
    labels = labels_of(800, 77)
    other = judge_alone(
        {"teacher": outcome(VALIDATION, labels, skill=2.5, seed=78)}, VALIDATION, labels
    )
    found = findings.unpaired("teacher", one, other).f1
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


def test_what_few_domains_of_validation_set_says_so() -> None:
    few, many = (JudgedRows(VALIDATION, domains_of(1_200, size)) for size in (150, 3))
    told, silent = (
        findings.calibration_report(MODELS, validation=each, test=alone(TEST), rule=EVEN_ODDS)
        for each in (few, many)
    )
    assert told.few_domains is not None
    assert "the 1,200 rows stand in 8 domains" in told.few_domains
    assert "of validation the 1,200 rows stand in 8 domains" in few_words(told)
    assert few_words(silent) == ""
    assert "few_domains" not in as_json(silent), "other files stay as they are"


def test_calibration_covers_every_model() -> None:
    found = findings.calibration_report(
        MODELS, validation=alone(VALIDATION), test=alone(TEST), rule=EVEN_ODDS
    )
    assert set(found.models) == set(MODELS)
    assert found.models["teacher"] == found.models["quantized"] != found.models["student"]


def domains_of(rows: int, size: int) -> Units:
    """Domains of so many rows each."""
    of = (np.arange(rows) // size).astype(np.int32)
    return Units(of, int(of[-1]) + 1, of.astype(str))


def in_domains(
    outcome_: Outcome, test: JudgedRows, hops: tuple[tuple[str, str], ...] = ()
) -> Assessment:
    return evidence.assess(
        {"teacher": outcome_, "student": outcome_},
        validation=alone(VALIDATION),
        test=test,
        hops=hops,
        method=Method(margin=0.005, resamples=1000, seed=0, prevalences=(0.02,)),
    )


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


def test_intervals_by_domain_know_that_rows_go_together() -> None:
    """Every row eight times, in a domain of its own: as much is known as of each once."""
    eight = np.repeat(np.arange(200), 8)
    margins, labels = TEACHER.test[:200], TEST[:200]
    once = in_domains(Outcome(TEACHER.validation, margins, 0.0), alone(labels)).models["teacher"]
    outcome_ = Outcome(TEACHER.validation, margins[eight], 0.0)
    by_row = in_domains(outcome_, alone(labels[eight])).models["teacher"]
    test = JudgedRows(labels[eight], domains_of(1_600, 8))
    by_domain = in_domains(outcome_, test).models["teacher"]
    assert (by_domain.f1, by_domain.accuracy) == (once.f1, once.accuracy)
    assert width(by_domain.f1) > 2 * width(by_row.f1)
    assert (by_domain.effective_rows, by_row.effective_rows) == (200, 1_600)
    (rare, by_row_rare) = by_domain.at_prevalence[0], by_row.at_prevalence[0]
    assert rare.precision.value == by_row_rare.precision.value
    assert width(rare.precision) > 2 * width(by_row_rare.precision)


def test_where_few_domains_hold_the_rows_there_is_no_interval_and_no_verdict() -> None:
    found = in_domains(TEACHER, JudgedRows(TEST, domains_of(800, 100)), (("teacher", "student"),))
    assert found.sample.no_interval is not None
    assert "8 domains and weigh as much as 8 equal ones" in found.sample.no_interval
    teacher, (hop,) = found.models["teacher"], found.hops
    for metric in (teacher.f1, teacher.roc_auc, teacher.tpr, teacher.ece):
        assert (metric.low, metric.high) == (0.0, 1.0)
    assert (hop.f1.low, hop.f1.high, hop.verdict) == (-1.0, 1.0, "undecided")
    assert (hop.p, hop.adjusted_p, hop.clustered_p, hop.rows_needed) == (1.0, 1.0, 1.0, None)


def test_where_there_is_no_verdict_none_would_be_another_without_a_domain() -> None:
    """Half of the rows, and all flips, are one domain's: without it, nothing is lost."""
    names = ["big.org"] * 400 + [f"d{number}.org" for number in range(400)]
    test = JudgedRows(TEST, Units.domains(pl.Series(names)))
    margins = np.where(np.arange(800) < 60, -TEACHER.test, TEACHER.test)
    models = {"teacher": TEACHER, "student": Outcome(TEACHER.validation, margins, 0.0)}
    found = evidence.assess(
        models,
        validation=alone(VALIDATION),
        test=test,
        hops=(("teacher", "student"),),
        method=Method(margin=0.005, resamples=1000, seed=0),
    )
    (hop,) = found.hops
    assert found.sample.no_interval is not None
    assert hop.decisive is not None
    assert (hop.decisive.domain, hop.decisive.verdict_without) == ("big.org", None)


def test_a_rate_set_by_few_domains_of_validation_is_unmeasured() -> None:
    found = evidence.assess(
        {"teacher": TEACHER},
        validation=JudgedRows(VALIDATION, domains_of(1_200, 150)),
        test=alone(TEST),
        hops=(),
        method=Method(margin=0.005, resamples=1000, seed=0),
    )
    point = found.models["teacher"].tpr_at_fpr_1pct
    assert isinstance(point, Unmeasured)
    assert "of validation the" in point.reason
    assert "stand in 8 domains" in point.reason


def test_what_a_rate_of_few_domains_would_have_cost_is_not_told_either() -> None:
    """A change between two points that are unmeasured would be one of nothing."""
    found = few_on_validation(EVEN_ODDS, domains_of(1_200, 150))
    assert found.hops[0].tpr_at_fpr_1pct is None
    assert few_on_validation(EVEN_ODDS, domains_of(1_200, 3)).hops[0].tpr_at_fpr_1pct is not None


def few_on_validation(rule: ThresholdParams, units: Units) -> Assessment:
    ruled = {name: replace(each, rule=rule) for name, each in MODELS.items()}
    method = Method(margin=0.005, resamples=200, seed=0, prevalences=(0.02,))
    validation = JudgedRows(VALIDATION, units)
    return evidence.assess(ruled, validation=validation, test=alone(TEST), hops=HOPS, method=method)


@pytest.mark.parametrize("rule", RULES)
def test_few_domains_of_validation_set_no_threshold_that_an_interval_could_hold(
    rule: ThresholdParams,
) -> None:
    found = few_on_validation(rule, domains_of(1_200, 150))
    assert found.sample.no_interval is not None
    assert found.sample.no_interval.startswith("of validation, which sets the threshold, the ")
    f1, hop = found.models["teacher"].f1, found.hops[0]
    assert (f1.low, f1.high, hop.f1.low, hop.verdict) == (0.0, 1.0, -1.0, "undecided")
    fixed = few_on_validation(EVEN_ODDS, domains_of(1_200, 150))
    assert (fixed.sample.no_interval, fixed.hops[0].verdict) == (None, "inferior")


def test_false_alarms_need_domains_of_safe_rows_alone() -> None:
    names = [f"p{n % 3}" if label else f"s{n}" for n, label in enumerate(VALIDATION)]
    units = Units.domains(pl.Series(names))
    by_rate, by_f1 = (few_on_validation(rule, units).sample.no_interval for rule in RULES[:2])
    assert by_rate is None
    assert by_f1 is not None
    assert "604 domains and weigh as much as 12 equal ones" in by_f1


def test_every_value_can_be_written_where_a_class_is_all_but_missing() -> None:
    labels = np.zeros(400, dtype=np.int64)
    labels[:30] = 1
    of = np.concatenate([np.zeros(25), np.arange(1, 376)]).astype(np.int32)
    found = in_domains(
        Outcome(TEACHER.validation, TEACHER.test[:400], 0.0),
        JudgedRows(labels, Units(of, 376, of.astype(str))),
    )
    assert found.sample.no_interval is not None
    assert "phishing rows stand in 6 domains" in found.sample.no_interval
    written = [each for each in flat(found.models["teacher"]) if each is not None]
    assert np.isfinite(written).all()


def flat(estimates: Estimates) -> list[float]:
    """All numbers of estimates."""
    parts = [each for each in vars(estimates).values() if isinstance(each, Estimate)]
    parts += [each.test_fpr for each in parts if isinstance(each, OperatingPoint)]
    found = [number for part in parts for number in vars(part).values()]
    return [number for number in found if not isinstance(number, Estimate)]
