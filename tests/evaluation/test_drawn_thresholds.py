"""Thresholds that validation sets by a rule, on its rows and in resamples of them."""

import numpy as np
import pytest

from minnow.core.params import PrecisionParams, ThresholdParams
from minnow.core.thresholds import Cuts, by_cuts, decision_threshold
from minnow.evaluation import drawn_thresholds, units
from minnow.evaluation.bootstrap import Ranked
from minnow.evaluation.metrics import Array
from minnow.evaluation.params import EvaluateParams
from minnow.evaluation.units import JudgedRows, Units

RULES = [
    ThresholdParams(fpr=0.05, f1=False, precision=None),
    ThresholdParams(fpr=None, f1=True, precision=None),
    ThresholdParams(fpr=None, f1=False, precision=PrecisionParams(wanted=0.5, prevalence=0.02)),
]


def example(rows: int, seed: int = 0) -> tuple[Array, JudgedRows]:
    """Margins in steps that can be written down, in domains of three rows."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < 0.4).astype(np.int64)
    margins = np.round(draw.normal(size=rows) * 2 + 3 * labels - 1.5, 2)
    of = (np.arange(rows) // 3).astype(np.int32)
    return margins, JudgedRows(labels, Units(of, int(of[-1]) + 1, of.astype(str)))


@pytest.mark.parametrize("rule", RULES)
def test_every_resample_sets_what_its_own_rows_would(rule: ThresholdParams) -> None:
    """Up to where within a cut: rows that were not drawn still say where cuts can be."""
    margins, rows = example(120)
    weights = next(units.draws(rows.units.count, resamples=25, seed=3))
    found = drawn_thresholds.threshold_draws(rule, Ranked.of(margins, rows), weights)
    for number, at in enumerate(found):
        drawn = np.repeat(np.arange(120), weights[rows.units.of, number])
        alone = decision_threshold(margins[drawn], rows.labels[drawn], rule)
        assert np.array_equal(margins[drawn] > at, margins[drawn] > alone)


@pytest.mark.parametrize("rule", RULES[1:])
def test_weights_by_unit_are_weights_by_row(rule: ThresholdParams) -> None:
    margins, rows = example(120)
    weights = next(units.draws(rows.units.count, resamples=25, seed=3))
    by_row = Cuts.of(margins, rows.labels, weights[rows.units.of].T)
    found = drawn_thresholds.threshold_draws(rule, Ranked.of(margins, rows), weights)
    assert np.array_equal(found, by_cuts(by_row, rule.precision))


@pytest.mark.parametrize("rule", RULES)
def test_every_row_once_sets_the_decision(rule: ThresholdParams) -> None:
    margins, rows = example(300)
    once = np.ones((rows.units.count, 1), dtype=np.int32)
    found = drawn_thresholds.threshold_draws(rule, Ranked.of(margins, rows), once)[0]
    assert found == decision_threshold(margins, rows.labels, rule)


def test_a_precision_that_none_reaches_gives_the_best_there_is() -> None:
    labels = np.tile([0, 1], 50)
    margins = np.where(labels == 1, 1.0, np.repeat([2.0, 0.0], 50))
    rows = JudgedRows(labels, Units.rows(100))
    once = np.ones((100, 1), dtype=np.int32)
    wanted = PrecisionParams(wanted=0.99, prevalence=0.001)
    rule = ThresholdParams(fpr=None, f1=False, precision=wanted)
    found = drawn_thresholds.threshold_draws(rule, Ranked.of(margins, rows), once)[0]
    assert found == 0.5, "half of the safe rows lie below, at 0; the phishing rows at 1"


def test_all_models_see_the_same_resamples() -> None:
    margins, rows = example(300)
    rules = {"one": {"decision": RULES[1]}, "same": {"decision": RULES[1]}, "none": {}}
    given = dict.fromkeys(rules, margins)
    found = drawn_thresholds.drawn_by_rules(given, rules, rows, resamples=50, seed=1)
    assert np.array_equal(found["one"]["decision"], found["same"]["decision"])
    assert len(np.unique(found["one"]["decision"])) > 3, "validation is a sample too"
    assert found["none"] == {}


def test_prevalences_are_shares() -> None:
    given = {"unit": None, "margin": 0.005, "extra_margin": 0.02, "resamples": 1000, "seed": 0}
    given["validation_extra"] = None
    given["prevalence"] = []
    given["threshold"] = {"fpr": None, "f1": False, "precision": None}
    assert EvaluateParams.model_validate(given).prevalence.root == []
    for wrong in ([0.0], [1.0], [-0.1], [float("nan")], ["0.02"], [0.1] * 11, 0.02):
        with pytest.raises(ValueError, match="prevalence"):
            EvaluateParams.model_validate(given | {"prevalence": wrong})
    with pytest.raises(ValueError, match="unit"):
        EvaluateParams.model_validate(given | {"unit": "host"})
    for wrong in (0.0, 1.0, -0.02, float("nan"), "0.02", None):
        with pytest.raises(ValueError, match="extra_margin"):
            EvaluateParams.model_validate(given | {"extra_margin": wrong})
