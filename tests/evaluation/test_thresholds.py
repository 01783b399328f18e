"""Thresholds that validation sets by a rule, on its rows and in resamples of them."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from minnow.evaluation import calibration, metrics, thresholds, units
from minnow.evaluation.bootstrap import Ranked
from minnow.evaluation.metrics import Array
from minnow.evaluation.params import EvaluateParams, Prevalences, ThresholdParams
from minnow.evaluation.thresholds import Rule
from minnow.evaluation.units import JudgedRows, Units

RULES = [
    Rule(fpr=0.05),
    Rule(f1=True),
    Rule(precision=0.5, prevalence=0.02),
]


def example(rows: int, seed: int = 0) -> tuple[Array, JudgedRows]:
    """Margins in steps that can be written down, in domains of three rows."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < 0.4).astype(np.int64)
    margins = np.round(draw.normal(size=rows) * 2 + 3 * labels - 1.5, 2)
    of = (np.arange(rows) // 3).astype(np.int32)
    return margins, JudgedRows(labels, Units(of, int(of[-1]) + 1, of.astype(str)))


def by_hand(rule: Rule, margins: Array, labels: Array) -> float:
    """The lowest of the rows' margins that keeps the rule."""
    best, found = -1.0, 0.0
    for at in np.unique(margins):
        tpr = metrics.true_positive_rate(margins, labels, at)
        fpr = metrics.false_positive_rate(margins, labels, at)
        if rule.fpr is not None and fpr <= rule.fpr:
            return float(at)
        if rule.f1 and (score := f1_score(labels, margins > at, zero_division=0)) > best + 1e-12:
            best, found = score, float(at)
        if rule.precision is not None:
            called = 0.02 * tpr + 0.98 * fpr
            if called and 0.02 * tpr / called >= rule.precision:
                return float(at)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_every_resample_sets_what_its_own_rows_would(rule: Rule) -> None:
    margins, rows = example(120)
    weights = next(units.draws(rows.units.count, resamples=25, seed=3))
    found = thresholds.threshold_draws(rule, Ranked.of(margins, rows), weights)
    for number, at in enumerate(found):
        drawn = np.repeat(np.arange(120), weights[rows.units.of, number])
        assert at == pytest.approx(by_hand(rule, margins[drawn], rows.labels[drawn]), abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_the_rows_themselves_set_the_decision(rule: Rule) -> None:
    margins, rows = example(300)
    found = calibration.decision_threshold(margins, rows.labels, rule)
    assert found == pytest.approx(by_hand(rule, margins, rows.labels), abs=1e-9)
    if rule.fpr is not None:
        assert found == metrics.threshold_at_fpr(margins, rows.labels, rule.fpr)


def test_a_precision_that_none_reaches_gives_the_best_there_is() -> None:
    labels = np.tile([0, 1], 50)
    margins = np.where(labels == 1, 1.0, np.repeat([2.0, 0.0], 50))
    rows = JudgedRows(labels, Units.rows(100))
    once = np.ones((100, 1), dtype=np.int32)
    rule = Rule(precision=0.99, prevalence=0.001)
    assert thresholds.threshold_draws(rule, Ranked.of(margins, rows), once)[0] == 0.0


def test_all_models_see_the_same_resamples() -> None:
    margins, rows = example(300)
    rules = {"one": {"decision": RULES[1]}, "same": {"decision": RULES[1]}, "none": {}}
    given = dict.fromkeys(rules, margins)
    found = thresholds.drawn_by_rules(given, rules, rows, resamples=50, seed=1)
    assert np.array_equal(found["one"]["decision"], found["same"]["decision"])
    assert len(np.unique(found["one"]["decision"])) > 3, "validation is a sample too"
    assert found["none"] == {}


def test_a_rule_is_what_params_ask_for() -> None:
    def rule(**given: object) -> Rule | None:
        whole = {"fpr": None, "f1": False, "precision": None, **given}
        return thresholds.rule_of(ThresholdParams(**whole), Prevalences([0.02, 0.001]))

    assert rule() is None
    assert rule(fpr=0.01) == Rule(fpr=0.01)
    assert rule(f1=True) == Rule(f1=True)
    assert rule(precision=0.9) == Rule(precision=0.9, prevalence=0.02)
    with pytest.raises(ValueError, match="fpr, f1 are set; a threshold follows one rule at most"):
        rule(fpr=0.01, f1=True)


def test_a_precision_needs_a_prevalence_and_wrong_values_are_refused() -> None:
    given = {"unit": None, "margin": 0.005, "resamples": 1000, "seed": 0, "prevalence": []}
    given |= {"extra_margin": 0.02}
    given["threshold"] = {"fpr": None, "f1": False, "precision": 0.9}
    with pytest.raises(ValueError, match="at the first prevalence, and there is none; name one"):
        EvaluateParams.model_validate(given)
    given["prevalence"] = [0.02]
    assert EvaluateParams.model_validate(given).prevalence.first == 0.02
    for wrong in ([0.0], [1.0], [-0.1], [float("nan")], ["0.02"], [0.1] * 11, 0.02):
        with pytest.raises(ValueError, match="prevalence"):
            EvaluateParams.model_validate(given | {"prevalence": wrong})
    with pytest.raises(ValueError, match="unit"):
        EvaluateParams.model_validate(given | {"unit": "host"})
    for wrong in (0.0, 1.0, -0.02, float("nan"), "0.02", None):
        with pytest.raises(ValueError, match="extra_margin"):
            EvaluateParams.model_validate(given | {"extra_margin": wrong})
