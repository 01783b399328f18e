"""The bootstrap behind every interval: one set of resamples for all models, so that differences are
paired.

Phishing and safe rows are drawn separately, each as many as there are (a stratified bootstrap), and
an interval is the percentile interval of what the resamples give (Efron & Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 13). A resample is a weight per row: how often it was
drawn. All estimates come from cumulated weights along the rows in the order of their margin, which
is sorted once per model; a thousand resamples are a few matrix passes.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from minnow.evaluation import metrics
from minnow.evaluation.metrics import ECE_BINS, Array

CONFIDENCE = 0.95
# Weights held at once: bounds the memory.
CHUNK = 1 << 20


@dataclass(frozen=True)
class Ranked:
    """A model's test rows by rising margin, as arrays of (rows,).

    Rows of one margin are a group: `starts` (groups,) has the first row of each, `hits` the groups
    with a phishing row.
    """

    order: Array
    starts: Array
    hits: Array
    margins: Array
    labels: Array
    probability: Array
    squared_error: Array

    @classmethod
    def of(cls, margins: Array, labels: Array) -> "Ranked":
        """Sort a model's margins (rows,) and labels (rows,)."""
        order = np.argsort(margins, kind="stable")
        ranked = margins[order]
        starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        probability, actual = metrics.probability(ranked), labels[order].astype(np.uint16)
        hits = np.flatnonzero(np.add.reduceat(actual, starts, dtype=np.int64))
        return cls(order, starts, hits, ranked, actual, probability, (probability - actual) ** 2)

    def grouped(self, drawn: Array) -> Array:
        """Return the weight of each group of tied margins, (resamples, groups), of ordered ones
        (resamples, rows).
        """
        if len(self.starts) == len(self.order):
            return drawn.astype(np.int64)
        return np.add.reduceat(drawn, self.starts, axis=1, dtype=np.int64)


def draws(labels: Array, *, resamples: int, seed: int) -> Iterator[Array]:
    """Yield weights (some resamples, rows), `resamples` of them in all; the same whatever the size
    of a chunk.
    """
    generator = np.random.default_rng(seed)
    strata = [np.flatnonzero(labels == label) for label in (0, 1)]
    at_once = max(1, CHUNK // len(labels))
    for first in range(0, resamples, at_once):
        weights = np.empty((min(at_once, resamples - first), len(labels)), dtype=np.uint16)
        for row in weights:
            for members in strata:
                size = len(members)
                row[members] = np.bincount(
                    generator.integers(size, size=size, dtype=np.int32), minlength=size
                )
        yield weights


Thresholds = Mapping[str, float | Array]


def threshold_draws(safe: Array, weights: Array, *, fpr: float) -> Array:
    """Return the thresholds (resamples,) that resamples of validation's safe rows would have set
    for this rate.

    `safe` are margins (rows,) and `weights` (resamples, rows). A threshold for few false positives
    hangs on a few dozen rows, and an interval that held it fixed would be several times too narrow.
    """
    allowed = metrics.allowed_false_positives(len(safe), fpr)
    # Far more rows than hold the highest `allowed` of any resample.
    highest = np.argsort(-safe, kind="stable")[: 4 * allowed + 200]
    passed = np.cumsum(weights.take(highest, axis=1), axis=1, dtype=np.int64) > allowed
    return metrics.written(safe[highest][passed.argmax(axis=1)])


def estimates(model: Ranked, weights: Array, thresholds: Thresholds) -> dict[str, Array]:
    """Return every metric of a model under each of the weights (resamples, rows), as arrays
    (resamples,).

    `thresholds` are margins, one for all resamples or one for each: `decision` gives accuracy and
    f1, any other name the share of phishing rows above it.
    """
    drawn = weights.take(model.order, axis=1)
    counts = Counts.of(model.grouped(drawn), model.grouped(drawn * model.labels))
    exact = drawn.astype(np.float64)
    return {
        **_ranking(counts, model.hits),
        "brier": np.einsum("ij,j->i", exact, model.squared_error) / counts.rows,
        "ece": _calibration_error(model, counts, exact, drawn * model.labels),
        **_at_thresholds(model, counts, thresholds),
    }


@dataclass(frozen=True)
class Counts:
    """Drawn rows per group of tied margins, all and phishing ones, and both cumulated; each
    (resamples, groups).
    """

    all: Array
    phishing: Array
    all_upto: Array
    phishing_upto: Array

    @classmethod
    def of(cls, everything: Array, phishing: Array) -> "Counts":
        """Cumulate along the groups."""
        return cls(everything, phishing, np.cumsum(everything, axis=1), np.cumsum(phishing, axis=1))

    @property
    def rows(self) -> Array:
        """All drawn rows, (resamples,)."""
        return np.asarray(self.all_upto[:, -1])

    @property
    def positive(self) -> Array:
        """Drawn phishing rows, (resamples,)."""
        return np.asarray(self.phishing_upto[:, -1])


def _ranking(counts: Counts, groups: Array) -> dict[str, Array]:
    """Return ROC AUC and average precision; `groups` are those with phishing rows, where alone they
    gain.

    AUC is the chance that a phishing row lies above a safe one, ties counted half (Mann-Whitney);
    average precision the mean over phishing rows of the precision at their margin.
    """
    everything, phishing, all_upto, phishing_upto = (
        each.take(groups, axis=1).astype(np.float64)
        for each in (counts.all, counts.phishing, counts.all_upto, counts.phishing_upto)
    )
    rows, positive = counts.rows[:, None], counts.positive[:, None]
    safe_below = all_upto - phishing_upto - (everything - phishing) / 2
    found = positive - phishing_upto + phishing
    called = rows - all_upto + everything
    precision = found / np.maximum(called, 1)  # where none is called, none is found
    return {
        "roc_auc": np.einsum("ij,ij->i", phishing, safe_below)
        / (positive * (rows - positive))[:, 0],
        "average_precision": np.einsum("ij,ij->i", phishing, precision) / positive[:, 0],
    }


def _calibration_error(model: Ranked, counts: Counts, drawn: Array, phishing: Array) -> Array:
    """Return `metrics.expected_calibration_error`, its bins drawn anew in each resample."""
    gaps = drawn * model.probability - phishing
    twice_middle = 2 * counts.all_upto - counts.all
    total = np.empty(len(gaps))
    for number, gap in enumerate(gaps):
        # First group of each bin but the first; middles do not fall, since weights are not
        # negative.
        inner = 2 * counts.rows[number] * np.arange(1, ECE_BINS) / ECE_BINS
        firsts = np.unique(np.searchsorted(twice_middle[number], inner))
        edges = model.starts[firsts[firsts < len(model.starts)]]
        total[number] = np.abs(np.add.reduceat(gap, np.union1d(0, edges))).sum()
    return total / counts.rows


def _at_thresholds(model: Ranked, counts: Counts, thresholds: Thresholds) -> dict[str, Array]:
    found: dict[str, Array] = {}
    groups, resamples = model.margins[model.starts], np.arange(len(counts.rows))
    for name, threshold in thresholds.items():
        below = np.broadcast_to(np.searchsorted(groups, threshold, side="right"), resamples.shape)
        missed, left = (
            np.where(below > 0, upto[resamples, np.maximum(below - 1, 0)], 0)
            for upto in (counts.phishing_upto, counts.all_upto)
        )
        hits, called = counts.positive - missed, counts.rows - left
        if name == "decision":
            found["accuracy"] = (hits + left - missed) / counts.rows
            found["f1"] = 2 * hits / (counts.positive + called)
        else:
            found[name] = hits / counts.positive
    return found


def point(model: Ranked, thresholds: Thresholds) -> dict[str, float]:
    """Return every metric on the rows as they are."""
    whole = estimates(model, np.ones((1, len(model.order)), dtype=np.uint16), thresholds)
    return {name: float(value[0]) for name, value in whole.items()}


def bootstrap(
    models: Mapping[str, Ranked],
    thresholds: Mapping[str, Thresholds],
    labels: Array,
    *,
    resamples: int,
    seed: int,
) -> dict[str, dict[str, Array]]:
    """Return model → metric → its value in each resample, (resamples,); the same resamples for
    every model.

    `thresholds` are those of each model: margins, or arrays (resamples,) of them.
    """
    parts: dict[str, list[dict[str, Array]]] = {name: [] for name in models}
    first = 0
    with ThreadPoolExecutor() as pool:  # numpy lets go of the interpreter
        for weights in draws(labels, resamples=resamples, seed=seed):
            these = slice(first, first + len(weights))
            found = pool.map(
                lambda name, weights=weights, these=these: estimates(
                    models[name],
                    weights,
                    {
                        key: at if isinstance(at, float) else at[these]
                        for key, at in thresholds[name].items()
                    },
                ),
                models,
            )
            for name, values in zip(models, found, strict=True):
                parts[name].append(values)
            first += len(weights)
    return {
        name: {key: np.concatenate([part[key] for part in found]) for key in found[0]}
        for name, found in parts.items()
    }


def interval(values: Array) -> tuple[float, float]:
    """Return the percentile interval of resampled values."""
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def interval_around(value: float, values: Array) -> tuple[float, float]:
    """Return the percentile interval of resampled values, moved so that it lies around the
    estimate, from 0 up.

    A calibration error is never negative, so noise raises it, and resampling raises it once more:
    the percentile interval itself may lie above its own estimate.
    """
    low, high = interval(values)
    middle = float(np.median(values))
    return max(0.0, value - (middle - low)), value + (high - middle)
