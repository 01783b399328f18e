"""What a threshold is worth where phishing is as rare as in real traffic, from its two rates."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from minnow.evaluation.bootstrap import interval
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.records import AtPrevalence, Estimate

MILLION = 1_000_000
Figure = Callable[[Array, Array], Array]


def precision(tpr: Array, fpr: Array, prevalence: float) -> Array:
    """Return the share of phishing among what is called so, 0 where nothing is: Bayes' rule."""
    hits, alarms = prevalence * tpr, (1 - prevalence) * fpr
    return np.asarray(hits / np.maximum(hits + alarms, np.finfo(float).tiny))


def f1(tpr: Array, fpr: Array, prevalence: float) -> Array:
    """Return the harmonic mean of precision and recall: twice the hits by all that is phishing or
    called so.
    """
    hits, alarms = prevalence * tpr, (1 - prevalence) * fpr
    return np.asarray(2 * hits / (prevalence + hits + alarms))


def alarms_per_million(tpr: Array, fpr: Array, prevalence: float) -> Array:
    """Return how many safe URLs of a million URLs are called phishing."""
    return np.asarray(MILLION * (1 - prevalence) * fpr)


def at_prevalences(
    prevalences: Sequence[float],
    rates: tuple[Array, Array],
    bounds: tuple[Estimate, Estimate],
    resampled: tuple[Array, Array],
) -> tuple[AtPrevalence, ...]:
    """Return the figures at each prevalence, with intervals.

    `rates` are tpr and fpr, `bounds` the same with their intervals, `resampled` the same in each
    resample, (resamples,).
    """
    return tuple(
        AtPrevalence(
            share,
            *(
                estimated(partial(figure, prevalence=share), rates, bounds, resampled)
                for figure in (precision, f1, alarms_per_million)
            ),
        )
        for share in prevalences
    )


def estimated(
    figure: Figure,
    rates: tuple[Array, Array],
    bounds: tuple[Estimate, Estimate],
    resampled: tuple[Array, Array],
) -> Estimate:
    """Return a figure of tpr and fpr with its interval; where the bounds of the two hold more than
    their resamples, it also holds what follows from those bounds.
    """
    (tpr, fpr), ends = bounds, [*interval(figure(*resampled))]
    if any(map(holds_more, bounds, resampled)):
        corners = ((tpr.low, fpr.high), (tpr.high, fpr.low))
        ends += [float(figure(np.array(one), np.array(two))) for one, two in corners]
    return Estimate(rounded(float(figure(*rates))), rounded(min(ends)), rounded(max(ends)))


def holds_more(bound: Estimate, resampled: Array) -> bool:
    """Return whether an interval is wider than that of the resamples alone."""
    low, high = map(rounded, interval(resampled))
    return bound.low < low or bound.high > high
