"""How validation sets a threshold: a rule is a value, and resamples of validation follow it too.

A threshold hangs on a few dozen rows, and an interval that held it fixed would be several times too
narrow. So every resample of validation sets one of its own.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.thresholds import Cuts, by_cuts, written
from minnow.evaluation.bootstrap import Counts, Ranked
from minnow.evaluation.metrics import Array
from minnow.evaluation.units import JudgedRows, draws, too_few, too_few_units


def threshold_draws(rule: ThresholdParams, ranked: Ranked, weights: Array) -> Array:
    """Return the thresholds (resamples,) that resamples of validation would have set by a rule for
    false alarms, F1 or precision.

    `weights` are (units, resamples). Of equally good thresholds the lowest is taken.
    """
    counts = Counts.of(ranked, weights)
    if rule.fpr is not None:
        allowed = np.floor(counts.negative * rule.fpr + 1e-9)
        at = (counts.negative - counts.safe_upto <= allowed).argmax(axis=0)
        return written(np.asarray(ranked.margins[at]))
    found = counts.positive - counts.phishing_upto + counts.phishing
    alarms = counts.negative - counts.safe_upto + counts.safe
    return by_cuts(Cuts.below(ranked.margins, found.T, alarms.T), rule.precision)


def few_to_set(rule: ThresholdParams, validation: JudgedRows) -> str | None:
    """Return why resamples of validation cannot tell how a threshold by this rule varies, None
    where they can or where probability 0.5 is the threshold.

    False alarms hang on the safe rows alone.
    """
    if rule == EVEN_ODDS:
        return None
    if rule.fpr is not None:
        return too_few_units(validation.units.part(validation.labels == 0), "safe ")
    return too_few(validation)


def no_interval(
    rows: JudgedRows, validation: JudgedRows, rules: Iterable[ThresholdParams]
) -> str | None:
    """Return why no interval can be had of rows at thresholds that these rules took from
    validation, None where one can: both are drawn, so neither may have too few domains.
    """
    few = (few_to_set(rule, validation) for rule in rules)
    of_validation = (f"of validation, which sets the threshold, {each}" for each in few if each)
    return too_few(rows) or next(of_validation, None)


def drawn_by_rules(
    margins: Mapping[str, Array],
    rules: Mapping[str, Mapping[str, ThresholdParams]],
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
