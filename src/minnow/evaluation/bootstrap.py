"""The bootstrap behind every interval: one set of resamples for all models, so that differences are
paired.

A resample is a weight per unit (`units`): how often that domain, or row, was drawn. An interval is
the percentile interval of what the resamples give (Efron & Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13). Rows of one margin are a group, and a sparse matrix counts the rows of
each group in each unit: its product with the weights counts the rows of each group in each
resample, and all estimates come from these, cumulated. So the cost is linear.

Of more than GROUPS margins, neighbours share a group of a GROUPS-th of the rows. Order within a
group is lost: it counts as a tie, which moves the ROC AUC by Σ p_g n_g / 2 at most, with p_g and
n_g the group's shares of the phishing and of the safe rows. That is at most 1 / GROUPS, 0.000015,
at any prevalence. What a threshold lets pass is off by the rows of one group at most.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.stats import norm, t

from minnow.evaluation import metrics
from minnow.evaluation.metrics import Array
from minnow.evaluation.units import JudgedRows, Units, draws

CONFIDENCE = 0.95
GROUPS = 1 << 16
# Behind a threshold's name: the share of safe rows above it.
FPR = " fpr"


@dataclass(frozen=True)
class Ranked:
    """A model's rows in groups by rising margin; `margins` (groups,) has the highest of each.

    `counts` (2 · groups, units) has the safe rows of each group, then the phishing ones;
    `probability` (groups,) is their mean, `costs` (2, groups) the mean squared error of the safe
    and of the phishing rows; `bins` has the first group of each bin of the calibration error.
    """

    margins: Array
    counts: csr_array
    probability: Array
    costs: Array
    bins: Array

    @classmethod
    def of(cls, margins: Array, rows: JudgedRows, cuts: tuple[float, ...] = ()) -> "Ranked":
        """Group a model's margins (rows,); no group has margins on both sides of one of `cuts`."""
        highest, group = groups_of(margins, cuts)
        size, cell = len(highest), group + rows.labels * len(highest)
        ones = np.ones(len(margins), dtype=np.int32)
        counts = coo_array((ones, (cell, rows.units.of)), shape=(2 * size, rows.units.count))
        probability = metrics.probability(margins)
        filled = np.maximum(np.bincount(cell, minlength=2 * size), 1)
        error = (probability - rows.labels) ** 2
        costs = np.bincount(cell, weights=error, minlength=2 * size) / filled
        mean = np.bincount(group, weights=probability) / np.bincount(group)
        bins = np.zeros(size, dtype=np.int64)
        bins[group] = metrics.bin_of(margins)
        firsts = np.flatnonzero(np.append(True, bins[1:] != bins[:-1]))
        return cls(highest, counts.tocsr(), mean, costs.reshape(2, size), firsts)


def groups_of(margins: Array, cuts: tuple[float, ...]) -> tuple[Array, Array]:
    """Return the highest margin of each group, rising, and the group of each row (rows,)."""
    values, group, rows = np.unique(margins, return_inverse=True, return_counts=True)
    if len(values) <= GROUPS:
        return values, group
    middle = np.cumsum(rows) - rows / 2
    wide = np.floor(GROUPS * middle / len(margins)).astype(np.int64)
    wide += np.searchsorted(np.sort(cuts), values)  # a step behind each cut
    last = np.flatnonzero(np.append(wide[1:] != wide[:-1], True))
    return values[last], np.searchsorted(last, np.arange(len(values)))[group]


@dataclass(frozen=True)
class Counts:
    """Drawn rows by group, and both cumulated from the lowest group on; each (groups,
    resamples).
    """

    safe: Array
    phishing: Array
    safe_upto: Array
    phishing_upto: Array

    @classmethod
    def of(cls, model: Ranked, weights: Array) -> "Counts":
        """Count the rows of each group where unit u counts `weights[u]` times, (units,
        resamples).
        """
        drawn = (model.counts @ weights).astype(np.float64)
        safe, phishing = drawn[: len(model.margins)], drawn[len(model.margins) :]
        return cls(safe, phishing, np.cumsum(safe, axis=0), np.cumsum(phishing, axis=0))

    @property
    def negative(self) -> Array:
        """All safe rows, (resamples,)."""
        return np.asarray(self.safe_upto[-1])

    @property
    def positive(self) -> Array:
        """All phishing rows, (resamples,)."""
        return np.asarray(self.phishing_upto[-1])

    @property
    def rows(self) -> Array:
        """All rows, (resamples,)."""
        return self.negative + self.positive


Thresholds = Mapping[str, float | Array]


def estimates(model: Ranked, weights: Array, thresholds: Thresholds) -> dict[str, Array]:
    """Return every metric of a model under each of the weights (units, resamples), as arrays
    (resamples,); `gaps` are those of the calibration error's bins, (resamples, bins).

    `thresholds` are margins, one for all resamples or one for each: `decision` gives accuracy, f1,
    tpr and fpr, any other name the share of phishing rows above it, and with FPR behind the name
    that of safe rows. What a resample without
    phishing or without safe rows leaves undefined is nan there; intervals leave those out.
    """
    counts = Counts.of(model, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            **_ranking(counts),
            "brier": (model.costs[0] @ counts.safe + model.costs[1] @ counts.phishing)
            / counts.rows,
            "gaps": _gaps(model, counts),
            **_at_thresholds(model, counts, thresholds),
        }


def _ranking(counts: Counts) -> dict[str, Array]:
    """Return ROC AUC and average precision.

    AUC is the chance that a phishing row lies above a safe one, ties counted half (Mann-Whitney);
    average precision the mean over phishing rows of the precision at their margin.
    """
    safe_below = counts.safe_upto - counts.safe / 2
    found = counts.positive - counts.phishing_upto + counts.phishing
    alarms = counts.negative - counts.safe_upto + counts.safe
    precision = found / np.maximum(found + alarms, 1)  # where none is called, none is found
    return {
        "roc_auc": np.einsum("ij,ij->j", counts.phishing, safe_below)
        / (counts.positive * counts.negative),
        "average_precision": np.einsum("ij,ij->j", counts.phishing, precision) / counts.positive,
    }


def _gaps(model: Ranked, counts: Counts) -> Array:
    """Return the sum of probabilities − labels of each bin over all rows, (resamples, bins).

    The bins are those of the rows as they are.
    """
    off = (counts.safe + counts.phishing) * model.probability[:, None] - counts.phishing
    return np.asarray((np.add.reduceat(off, model.bins, axis=0) / counts.rows).T)


def _at_thresholds(model: Ranked, counts: Counts, thresholds: Thresholds) -> dict[str, Array]:
    found: dict[str, Array] = {}
    resamples = np.arange(len(counts.rows))
    for name, threshold in thresholds.items():
        below = np.searchsorted(model.margins, threshold, side="right")
        below = np.broadcast_to(below, resamples.shape)
        missed, cleared = (
            np.where(below > 0, upto[np.maximum(below - 1, 0), resamples], 0)
            for upto in (counts.phishing_upto, counts.safe_upto)
        )
        hits, alarms = counts.positive - missed, counts.negative - cleared
        tpr, fpr = hits / counts.positive, alarms / counts.negative
        if name == "decision":
            f1 = 2 * hits / (counts.positive + hits + alarms)
            found["accuracy"] = (hits + cleared) / counts.rows
            found["f1"] = np.where(counts.positive > 0, f1, np.nan)
            found |= {"tpr": tpr, "fpr": fpr}
        else:
            found |= {name: tpr, name + FPR: fpr}
    return found


def point(margins: Array, rows: JudgedRows, thresholds: Thresholds) -> dict[str, Array]:
    """Return every metric on the rows as they are, as 0-dimensional arrays; `gaps` are (bins,)."""
    cuts = tuple(float(at) for at in thresholds.values())
    model = Ranked.of(margins, rows, cuts)
    whole = estimates(model, np.ones((rows.units.count, 1), dtype=np.int32), thresholds)
    return {name: value[0] for name, value in whole.items()}


def bootstrap(
    models: Mapping[str, Ranked],
    thresholds: Mapping[str, Thresholds],
    units: int,
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
        for weights in draws(units, resamples=resamples, seed=seed):
            these = slice(first, first + weights.shape[1])
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
            first = these.stop
    return {
        name: {key: np.concatenate([part[key] for part in found]) for key in found[0]}
        for name, found in parts.items()
    }


def expansion(units: float, freedom: float) -> float:
    """Return by how much a bootstrap of so few units, two or more, has to be stretched.

    Drawn from n units a mean varies by (n − 1) / n too little, and a normal quantile stands where
    that of Student's t belongs, of so many degrees of freedom (Hesterberg, What Teachers Should
    Know About the Bootstrap, 2015; of clusters Cameron & Miller 2015, Journal of Human Resources
    50(2), section VI).
    """
    upper = (1 + CONFIDENCE) / 2
    return float(np.sqrt(units / (units - 1)) * t.ppf(upper, freedom) / norm.ppf(upper))


def stretched(measured: float, resampled: Array, units: Units) -> Array:
    """Return resamples (resamples,) of a difference, `measured` of the rows as they are, stretched
    around it where few units hold many rows.

    Units of m rows count as (Σm²)² / Σm⁴ equal ones, and as two at least: as many as would know
    the variance as well, were the rows of a unit right and wrong together (Satterthwaite 1946,
    Biometrics Bulletin 2(6); for clusters Bell & McCaffrey 2002, Survey Methodology 28(2)).
    """
    squares = np.bincount(units.of, minlength=units.count).astype(np.float64) ** 2
    equal = max(2.0, float(squares.sum() ** 2 / (squares**2).sum()))
    return np.asarray(measured + (resampled - measured) * expansion(equal, equal - 1))


def interval(values: Array) -> tuple[float, float]:
    """Return the percentile interval of resampled values, undefined ones left out."""
    low, high = np.nanquantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
