"""Statistics of kept margins, by row and by domain: each model, and each hop of each run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from minnow.evaluation import bootstrap, comparison, metrics
from minnow.evaluation.bootstrap import CHUNK, Ranked
from minnow.evaluation.metrics import Array, rounded
from minnow.experiments.kept_margins import KeptRun, KeptSet

SCORES = ("f1", "accuracy", "roc_auc")
Draws = Mapping[str, Array]


@dataclass(frozen=True)
class Plan:
    """How it is judged: the loss of F1 that a hop may cost, the bootstrap's resamples and seed."""

    margin: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class HeldOut:
    """The test rows of one split seed: labels (rows,), each row's domain as a number (rows,), and
    each column of distances from the threshold (rows,).
    """

    split_seed: int
    labels: Array
    domains: Array
    columns: Mapping[str, Array]

    @classmethod
    def of(cls, kept: KeptSet, split_seed: int) -> "HeldOut":
        """Return the test rows of a split seed, with the columns of its runs."""
        rows = kept.part(split_seed, "test")
        runs = [run for run in kept.runs if run.seeds.split == split_seed]
        names = sorted({model.column for run in runs for model in run.models.values()})
        _, domains = np.unique(rows["domain"].to_numpy(), return_inverse=True)
        columns = {name: rows[name].to_numpy().astype(np.float64) for name in names}
        return cls(split_seed, rows["label"].to_numpy().astype(np.int64), domains, columns)


@dataclass(frozen=True)
class Scored:
    """Each score of one column on the rows as they are, and when domains or rows are drawn,
    (resamples,) each.
    """

    point: Mapping[str, float]
    by_domain: Draws
    by_row: Draws


# Drawing


def unit_weights(units: Array, *, resamples: int, seed: tuple[int, ...]) -> Iterator[Array]:
    """Yield how often each row is drawn, (some resamples, rows), where units are drawn with
    replacement, as many as there are; `units` (rows,) numbers each row's unit from 0.
    """
    generator = np.random.default_rng(seed)
    size, at_once = int(units.max()) + 1, max(1, CHUNK // len(units))
    for first in range(0, resamples, at_once):
        some = min(at_once, resamples - first)
        drawn = generator.integers(size, size=(some, size))
        counts = np.stack([np.bincount(row, minlength=size) for row in drawn])
        yield counts.astype(np.uint16).take(units, axis=1)


def drawn_scores(part: HeldOut, units: Array, plan: Plan) -> dict[str, Draws]:
    """Return SCORES of every column in every resample, (resamples,) each; the same resamples for
    all.
    """
    ranked = {name: Ranked.of(margins, part.labels) for name, margins in part.columns.items()}
    found: dict[str, list[Draws]] = {name: [] for name in ranked}
    seed = (plan.seed, part.split_seed)  # what two splits draw is independent
    for weights in unit_weights(units, resamples=plan.resamples, seed=seed):
        for name, model in ranked.items():
            found[name].append(bootstrap.estimates(model, weights, {"decision": metrics.EVEN}))
    return {
        name: {score: np.concatenate([each[score] for each in drawn]) for score in SCORES}
        for name, drawn in found.items()
    }


def scored(part: HeldOut, plan: Plan) -> dict[str, Scored]:
    """Return every column's scores, as they are and drawn both ways."""
    by_domain = drawn_scores(part, part.domains, plan)
    by_row = drawn_scores(part, np.arange(len(part.labels)), plan)
    points = {
        name: bootstrap.point(Ranked.of(margins, part.labels), {"decision": metrics.EVEN})
        for name, margins in part.columns.items()
    }
    return {name: Scored(points[name], by_domain[name], by_row[name]) for name in part.columns}


# One run


def score_of(scores: Scored) -> dict[str, dict[str, float]]:
    """Return each score of a column with both intervals."""
    return {
        score: {
            "value": rounded(scores.point[score]),
            **both_intervals(scores.by_domain[score], scores.by_row[score]),
        }
        for score in SCORES
    }


def both_intervals(by_domain: Array, by_row: Array) -> dict[str, float]:
    """Return the intervals of draws (resamples,), by domain and by row."""
    ends = {"by_domain": bootstrap.interval(by_domain), "by_row": bootstrap.interval(by_row)}
    return {
        **{f"{way}_low": rounded(low) for way, (low, _) in ends.items()},
        **{f"{way}_high": rounded(high) for way, (_, high) in ends.items()},
    }


def change_of(
    run: KeptRun, hop: tuple[str, str], part: HeldOut, scores: Mapping[str, Scored]
) -> dict[str, Any]:
    """Return what a hop of one run changed, with intervals and p by domain and by row."""
    before, after = (run.models[model].column for model in hop)
    one, other = scores[before], scores[after]
    signs = flip_signs(part.columns[before], part.columns[after], part.labels)
    worse, better = int((signs < 0).sum()), int((signs > 0).sum())
    return {
        "recipe": run.recipe,
        "seeds": vars(run.seeds),
        "before": hop[0],
        "after": hop[1],
        **{score: moved(one, other, score) for score in SCORES},
        "worse": worse,
        "better": better,
        "p_by_domain": rounded(clustered_p(signs, part.domains)),
        "p_by_row": rounded(comparison.mcnemar(worse, better)),
    }


def moved(before: Scored, after: Scored, score: str) -> dict[str, float]:
    """Return the difference of a score, after − before, with both intervals."""
    drawn = (
        getattr(after, way)[score] - getattr(before, way)[score] for way in ("by_domain", "by_row")
    )
    difference = rounded(after.point[score] - before.point[score])
    return {"difference": difference, **both_intervals(*drawn)}


def flip_signs(before: Array, after: Array, labels: Array) -> Array:
    """Return (rows,): 1 where a row turned from wrong to right, −1 from right to wrong, else 0."""
    right = [(metrics.predicted(margins) == labels).astype(np.int64) for margins in (before, after)]
    return np.asarray(right[1] - right[0])


def clustered_p(signs: Array, domains: Array) -> float:
    """Return the two-sided p of so unequal flips, where the rows of a domain flip together.

    z = Σ s_d / √Σ s_d² with s_d a domain's sum of signs: McNemar's statistic where each domain has
    one row (Durkalski et al. 2003, doi 10.1002/sim.1438).
    """
    sums = np.bincount(domains, weights=signs)
    spread = float(np.sqrt((sums**2).sum()))
    return float(2 * norm.sf(abs(sums.sum()) / spread)) if spread else 1.0


def rows_report(part: HeldOut) -> dict[str, Any]:
    """Return how many test rows and domains there are, and what the largest domain's share is."""
    sizes = np.bincount(part.domains)
    return {
        "split_seed": part.split_seed,
        "rows": len(part.labels),
        "phishing": int(part.labels.sum()),
        "domains": len(sizes),
        "largest_share": rounded(sizes.max() / sizes.sum()),
    }
