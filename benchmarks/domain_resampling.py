"""Metrics over resamples of registered domains: what is sampled is a domain, not a row.

Domains are drawn with replacement, as many as there are, without strata. A resample is a weight per
row: how often its domain was drawn. The first one takes every row once.
"""

import numpy as np

from hashed_models import Array
from minnow.evaluation.metrics import rounded

RESAMPLES, SEED = 1000, 0


def domain_weights(domains: Array, *, resamples: int = RESAMPLES, seed: int = SEED) -> Array:
    """Return how often each row is drawn, (1 + resamples, rows): once each, then by domain."""
    generator, count = np.random.default_rng(seed), int(domains.max()) + 1
    drawn = [
        np.bincount(generator.integers(count, size=count), minlength=count)[domains]
        for _ in range(resamples)
    ]
    return np.stack([np.ones(len(domains), dtype=np.int64), *drawn]).astype(np.float64)


def cumulated(margins: Array, labels: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return the distinct margins (groups,) from low to high, and of each the weight of phishing
    and of safe rows up to it, (resamples, groups).
    """
    order = np.argsort(margins, kind="stable")
    groups, starts = np.unique(margins[order], return_index=True)
    ends = np.append(starts[1:], len(order)) - 1
    ranked, phishing = weights[:, order], labels[order] == 1
    missed, spared = (np.cumsum(ranked * each, axis=1)[:, ends] for each in (phishing, ~phishing))
    return groups, missed, spared


def best_cuts(margins: Array, labels: Array, weights: Array) -> Array:
    """Return the margin (resamples,) above which a row is called phishing at the best F1."""
    groups, missed, spared = cumulated(margins, labels, weights)
    positive, negative = missed[:, -1:], spared[:, -1:]
    called = positive + negative - missed - spared
    return np.asarray(groups[(2 * (positive - missed) / (positive + called)).argmax(axis=1)])


def f1_and_accuracy(margins: Array, labels: Array, weights: Array, cuts: Array) -> dict[str, Array]:
    """Return both for each resample; `cuts` are margins, one for all or one for each."""
    called, phishing = margins > cuts[:, None], labels == 1
    hits, alarms = ((weights * (called & each)).sum(axis=1) for each in (phishing, ~phishing))
    positive, rows = weights @ phishing, weights.sum(axis=1)
    return {
        "f1": 2 * hits / (positive + hits + alarms),
        "accuracy": (rows - positive - alarms + hits) / rows,
    }


def roc_auc(margins: Array, labels: Array, weights: Array) -> Array:
    """Return the chance (resamples,) that a phishing row lies above a safe one; ties count half."""
    _, phishing, safe = cumulated(margins, labels, weights)
    each = np.diff(phishing, axis=1, prepend=0)
    below = safe - np.diff(safe, axis=1, prepend=0) / 2
    return np.asarray((each * below).sum(axis=1) / (phishing[:, -1] * safe[:, -1]))


def estimate(values: Array) -> dict[str, float]:
    """Return the first value, with the 95 % percentile interval of the others."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": rounded(values[0]), "low": rounded(low), "high": rounded(high)}
