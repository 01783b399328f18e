"""How validation sets a threshold: a rule is a value, and resamples of validation follow it too.

A threshold hangs on a few dozen rows, and an interval that held it fixed would be several times too
narrow. So every resample of validation sets one of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minnow.evaluation import metrics
from minnow.evaluation.bootstrap import Counts, Ranked
from minnow.evaluation.metrics import Array
from minnow.evaluation.params import Prevalences, ThresholdParams
from minnow.evaluation.units import JudgedRows, draws


@dataclass(frozen=True)
class Rule:
    """What validation is asked for: a threshold that at most the share `fpr` of its safe rows
    passes, that of its best F1, or the lowest that reaches `precision` where `prevalence` of all
    URLs are phishing. One of the three.
    """

    fpr: float | None = None
    f1: bool = False
    precision: float | None = None
    prevalence: float | None = None


def rule_of(params: ThresholdParams, prevalences: Prevalences) -> Rule | None:
    """Return the rule that params.yaml asks for, None for probability 0.5."""
    if params.fpr is None and not params.f1 and params.precision is None:
        return None
    prevalence = prevalences.first if params.precision is not None else None
    return Rule(params.fpr, params.f1, params.precision, prevalence)


def threshold_draws(rule: Rule, ranked: Ranked, weights: Array) -> Array:
    """Return the thresholds (resamples,) that resamples of validation would have set by a rule.

    `weights` are (units, resamples). A threshold is a margin of the rows: what lies above it is
    called phishing. Of equally good ones the lowest is taken.
    """
    counts = Counts.of(ranked, weights)
    safe_above = counts.negative - counts.safe_upto
    found = counts.positive - counts.phishing_upto
    if rule.fpr is not None:
        allowed = np.floor(counts.negative * rule.fpr + 1e-9)
        at = (safe_above <= allowed).argmax(axis=0)
    elif rule.f1:
        at = (2 * found / np.maximum(counts.positive + found + safe_above, 1)).argmax(axis=0)
    else:
        at = _of_precision(rule, found / counts.positive, safe_above / counts.negative)
    return metrics.written(np.asarray(ranked.margins[at]))


def _of_precision(rule: Rule, tpr: Array, fpr: Array) -> Array:
    """Return the first group (resamples,) above which precision is reached; where it never is, the
    one of the best precision.
    """
    assert rule.precision is not None, "the rule is one of precision"
    assert rule.prevalence is not None, "which is at a prevalence"
    hits, alarms = rule.prevalence * tpr, (1 - rule.prevalence) * fpr
    precision = hits / np.maximum(hits + alarms, np.finfo(float).tiny)
    reached = precision >= rule.precision
    return np.asarray(
        np.where(reached.any(axis=0), reached.argmax(axis=0), precision.argmax(axis=0))
    )


def drawn_by_rules(
    margins: Mapping[str, Array],
    rules: Mapping[str, Mapping[str, Rule]],
    validation: JudgedRows,
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Array]]:
    """Return model → name of a threshold → what each resample of validation sets, (resamples,).

    `margins` (rows,) are each model's on validation. All models see the same resamples.
    """
    ranked = {name: Ranked.of(margins[name], validation) for name in rules if rules[name]}
    drawn = {name: {key: np.empty(resamples) for key in rules[name]} for name in rules}
    if not ranked:
        return drawn
    first = 0
    for weights in draws(validation.units.count, resamples=resamples, seed=seed):
        these = slice(first, first + weights.shape[1])
        for name, model in ranked.items():
            for key, rule in rules[name].items():
                drawn[name][key][these] = threshold_draws(rule, model, weights)
        first = these.stop
    return drawn
