"""Statistics of a recipe over the seeds of its runs: means, claims, parts of the variance."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from minnow.evaluation import bootstrap, comparison
from minnow.evaluation.comparison import Ruling, corrected
from minnow.evaluation.hops import margin_of
from minnow.evaluation.metrics import Array, rounded
from minnow.experiments.kept_margins import KeptRun, KeptSet, RunSeeds
from minnow.experiments.margin_statistics import (
    SCORES,
    HeldOut,
    Plan,
    Scored,
    change_of,
    column_scores,
    drawn_change_of_f1,
    hidden_loss_of,
    rows_report,
    score_of,
)
from minnow.experiments.seed_bootstrap import SeededMean, seeded_mean
from minnow.experiments.variance_parts import nested_variances
from minnow.layout import AGAINST_BASELINE, HOPS, JUDGED

# What is nested: the seeds of a run, outermost first.
LEVELS = ("split", "teacher", "student")
ALL_HOPS = (*HOPS, *AGAINST_BASELINE)
ONE_TEACHER, FEW_DOMAINS = "one_teacher", "few_domains"
# Nearer to 0 than this a variance is rounding.
NOISE = 1e-12

BySplit = Mapping[int, Mapping[str, Scored]]


@dataclass(frozen=True)
class Seeded:
    """One number of each run: values (runs,), draws by domain (runs, resamples), and the seeds.

    `wider` (resamples,) is what stretches the mean's draws where few domains hold many rows. What
    tells runs apart is not stretched by it: few seeds have a stretch of their own.
    """

    values: Array
    draws: Array
    seeds: Sequence[RunSeeds]
    wider: Array | float = 0.0

    def mean(self, seed: int) -> SeededMean:
        """Return resamples of the mean over runs, of domains and of seeds at once."""
        found = seeded_mean(self.draws, self.seeds, seed=seed)
        return replace(found, draws=found.draws + self.wider)


def study_report(kept: KeptSet, plan: Plan) -> dict[str, Any]:
    """Return all that kept margins say, as JSON: `kept_` of each run, `study_` of each recipe over
    the seeds of its runs.
    """
    parts = {seed: HeldOut.of(kept, seed) for seed in sorted({r.seeds.split for r in kept.runs})}
    scores = {seed: column_scores(part, plan) for seed, part in parts.items()}
    recipes = [list(runs) for _, runs in groupby(kept.runs, key=lambda run: run.recipe)]
    return {
        "plan": {**vars(plan), "confidence": bootstrap.CONFIDENCE},
        "kept_scores": [
            {"column": name, "split_seed": seed, **score_of(each)}
            for seed, by_column in scores.items()
            for name, each in by_column.items()
        ],
        "kept_changes": [
            change_of(run, hop, parts[run.seeds.split], scores[run.seeds.split])
            for run in kept.runs
            for hop in ALL_HOPS
        ],
        "study_test": [rows_report(part) for part in parts.values()],
        "study_models": [one for runs in recipes for one in models_over_seeds(runs, scores, plan)],
        "study_hops": [
            one for runs in recipes for one in hops_over_seeds(runs, parts, scores, plan)
        ],
        "study_parts": [one for runs in recipes for one in parts_over_seeds(runs, scores)],
    }


def models_over_seeds(runs: Sequence[KeptRun], scores: BySplit, plan: Plan) -> list[dict[str, Any]]:
    """Return the mean scores of each model of one recipe."""
    return [
        {
            **counts_of(runs),
            "model": model,
            **{score: mean_of(seeded(runs, model, score, scores), plan) for score in SCORES},
        }
        for model in JUDGED
    ]


def hops_over_seeds(
    runs: Sequence[KeptRun], parts: Mapping[int, HeldOut], scores: BySplit, plan: Plan
) -> list[dict[str, Any]]:
    """Return the mean change of F1 of each hop of one recipe, and what it shows: corrected for the
    number of hops, and `alone`. `parts` are the test rows by split seed.
    """
    rules = {run.rule for run in runs}
    few = [seed for seed, part in parts.items() if part.no_interval(rules)]
    changes = [change_over_seeds(runs, hop, scores) for hop in ALL_HOPS]
    hidden = [least_hidden(runs, hop, parts, scores) for hop in ALL_HOPS]
    margins = [margin_of(before, plan.margin) for before, _ in ALL_HOPS]
    alone = [
        ruling_of(change, loss, margin, plan)
        for change, loss, margin in zip(changes, hidden, margins, strict=True)
    ]
    told = []
    for hop, change, one, both in zip(ALL_HOPS, changes, alone, corrected(alone), strict=True):
        mean = mean_of(change, plan)
        barred = no_claim(change.seeds, few)
        said = {
            "shown": barred or comparison.verdict(both.allowed),
            "alone": barred or comparison.verdict(one.allowed),
        }
        names = {"before": hop[0], "after": hop[1]}
        told.append({**counts_of(runs), **names, "f1": mean, **said})
    return told


def least_hidden(
    runs: Sequence[KeptRun], hop: tuple[str, str], parts: Mapping[int, HeldOut], scores: BySplit
) -> float:
    """Return the loss of F1 that chance may have kept out of sight, by the run that sees most."""
    return min(
        hidden_loss_of(run, hop, parts[run.seeds.split], scores[run.seeds.split]) for run in runs
    )


def ruling_of(change: Seeded, hidden: float, margin: float, plan: Plan) -> Ruling:
    """Return what may be claimed of a change of F1 over seeds and domains, each with its p; nothing
    good where a loss that is `hidden` may pass the margin.
    """
    draws = change.mean(plan.seed).draws
    allowed = comparison.claims(*bootstrap.interval(draws), margin)
    p = comparison.claim_ps(draws, margin)
    if hidden > margin:
        allowed -= {"better", "non_inferior"}
        p |= {"better": 1.0, "non_inferior": 1.0}
    return Ruling(allowed, p, None, None)


def no_claim(seeds: Sequence[RunSeeds], few: Collection[int]) -> str:
    """Return why nothing can be claimed of a change, or nothing: few domains tell nothing of more,
    and a split with one teacher nothing of how its teachers differ.
    """
    if any(one.split in few for one in seeds):
        return FEW_DOMAINS
    teachers = Counter(split for split, _ in {(one.split, one.teacher) for one in seeds})
    return ONE_TEACHER if min(teachers.values()) < 2 else ""


def parts_over_seeds(runs: Sequence[KeptRun], scores: BySplit) -> list[dict[str, Any]]:
    """Return the parts of the variance of each model's F1, and of each hop's change of it; `of`
    names the model, or both.
    """
    models = {(model,): seeded(runs, model, "f1", scores) for model in JUDGED}
    hops = {hop: change_over_seeds(runs, hop, scores) for hop in ALL_HOPS}
    return [
        {"recipe": runs[0].recipe, "of": list(of), **spread_parts(numbers)}
        for of, numbers in (*models.items(), *hops.items())
    ]


def change_over_seeds(runs: Sequence[KeptRun], hop: tuple[str, str], scores: BySplit) -> Seeded:
    """Return a hop's change of F1 in all runs."""
    before, after = (
        [scores[run.seeds.split][run.models[model].column] for run in runs] for model in hop
    )
    pairs = list(zip(before, after, strict=True))
    values = np.array([other.point["f1"] - one.point["f1"] for one, other in pairs])
    draws = np.stack([other.by_domain["f1"] - one.by_domain["f1"] for one, other in pairs])
    stretched = np.stack([drawn_change_of_f1(one, other) for one, other in pairs])
    wider = stretched.mean(axis=0) - draws.mean(axis=0)
    return Seeded(values, draws, [run.seeds for run in runs], wider)


def counts_of(runs: Sequence[KeptRun]) -> dict[str, Any]:
    """Return the recipe, and how many runs, splits, and teachers in all it has."""
    seeds = [run.seeds for run in runs]
    return {
        "recipe": runs[0].recipe,
        "runs": len(runs),
        "splits": len({one.split for one in seeds}),
        "teachers": len({(one.split, one.teacher) for one in seeds}),
    }


def seeded(runs: Sequence[KeptRun], model: str, score: str, scores: BySplit) -> Seeded:
    """Return one score of one model in all runs."""
    found = [scores[run.seeds.split][run.models[model].column] for run in runs]
    values = np.array([each.point[score] for each in found])
    draws = np.stack([each.by_domain[score] for each in found])
    return Seeded(values, draws, [run.seeds for run in runs])


def mean_of(numbers: Seeded, plan: Plan) -> dict[str, Any]:
    """Return the mean over the runs, its interval, and which seeds that holds beside domains."""
    mean = numbers.mean(plan.seed)
    low, high = bootstrap.interval(mean.draws)
    middle = rounded(float(numbers.values.mean()))
    return {"mean": middle, "low": rounded(low), "high": rounded(high), "holds": mean.holds}


def spread_parts(numbers: Seeded) -> dict[str, Any]:
    """Return the standard deviation that domains and each kind of seed add to one run, None where
    it cannot be seen, and the names of those whose estimated variance was negative and is 0.

    `domains` is the mean variance when domains are drawn. Splits differ in their test domains, so
    it is taken off what they add.
    """
    levels = [np.array([getattr(one, level) for one in numbers.seeds]) for level in LEVELS]
    domains = float(numbers.draws.var(axis=1, ddof=1).mean())
    nested = dict(zip(LEVELS, nested_variances(numbers.values, levels), strict=True))
    if nested["split"] is not None:
        nested["split"] -= domains
    variances = {"domains": domains, **nested}
    parts: dict[str, Any] = {
        name: None if variance is None else rounded(max(variance, 0.0) ** 0.5)
        for name, variance in variances.items()
    }
    negative = [name for name, each in variances.items() if each is not None and each < -NOISE]
    return {**parts, "negative": negative}
