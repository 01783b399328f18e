"""Statistics of kept margins, by row and by domain: each model, and each hop of each run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.thresholds import EVEN
from minnow.evaluation import bootstrap, comparison, metrics
from minnow.evaluation.bootstrap import Ranked, Thresholds
from minnow.evaluation.drawn_thresholds import drawn_by_rules, no_interval
from minnow.evaluation.metrics import Array, rounded
from minnow.evaluation.results import as_json
from minnow.evaluation.units import JudgedRows, Units, clustered_p, sample_facts
from minnow.experiments.kept_margins import KeptRun, KeptSet, domain_digest

SCORES = ("f1", "accuracy", "roc_auc")
# Distances from the threshold are above 0 where the model says phishing.
AT = {"decision": EVEN}

Draws = Mapping[str, Array]


@dataclass(frozen=True)
class Plan:
    """How it is judged: the loss of F1 that a hop may cost, the bootstrap's resamples and seed."""

    margin: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class HeldOut:
    """The test rows of one split seed, and distances from the threshold (rows,) by column.

    `rules` took the thresholds of some columns from `validation`, where `on_validation` are their
    distances (rows,).
    """

    split_seed: int
    rows: JudgedRows
    columns: Mapping[str, Array]
    validation: JudgedRows
    on_validation: Mapping[str, Array]
    rules: Mapping[str, ThresholdParams]

    @classmethod
    def of(cls, kept: KeptSet, split_seed: int) -> "HeldOut":
        """Return the test rows of a split seed, with the columns of its runs."""
        runs = [run for run in kept.runs if run.seeds.split == split_seed]
        rules = {model.column: run.rule for run in runs for model in run.models.values()}
        test, validation = (kept.part(split_seed, split) for split in ("test", "validation"))
        ruled = {name: rule for name, rule in sorted(rules.items()) if rule != EVEN_ODDS}
        return cls(
            split_seed,
            judged_rows(test),
            distances_of(test, sorted(rules)),
            judged_rows(validation),
            distances_of(validation, ruled),
            ruled,
        )

    def no_interval(self, rules: Iterable[ThresholdParams]) -> str | None:
        """Return why no interval can be had at thresholds by these rules, None where one can."""
        return no_interval(self.rows, self.validation, rules)

    def by_row(self) -> "HeldOut":
        """Return the same rows, each a unit of its own."""
        return replace(self, rows=alone(self.rows), validation=alone(self.validation))


def judged_rows(table: pl.DataFrame) -> JudgedRows:
    """Return labels and domains of kept rows."""
    units = Units.domains(domain_names(table["domain"]))
    return JudgedRows(table["label"].to_numpy().astype(np.int64), units)


def distances_of(table: pl.DataFrame, names: Iterable[str]) -> dict[str, Array]:
    """Return some columns of kept rows, (rows,) each."""
    return {name: table[name].to_numpy().astype(np.float64) for name in names}


def alone(rows: JudgedRows) -> JudgedRows:
    """Return rows, each a unit of its own."""
    return JudgedRows(rows.labels, Units.rows(len(rows.labels)))


def domain_names(digests: pl.Series) -> pl.Series:
    """Return digests of domains as names; where there was no domain, as nothing."""
    nothing = digests == domain_digest("")
    return digests.cast(pl.String).set(nothing, "")


@dataclass(frozen=True)
class Scored:
    """Each score of one column on the rows as they are, and when domains or rows are drawn,
    (resamples,) each; `units` are the rows' domains.
    """

    point: Mapping[str, float]
    by_domain: Draws
    by_row: Draws
    units: Units


def column_scores(part: HeldOut, plan: Plan) -> dict[str, Scored]:
    """Return every column's scores, as they are and drawn both ways."""
    by_domain, by_row = (drawn_scores(each, plan) for each in (part, part.by_row()))
    found = {}
    for name, margins in part.columns.items():
        point = bootstrap.point(margins, part.rows, AT)
        values = {score: float(point[score]) for score in SCORES}
        found[name] = Scored(values, by_domain[name], by_row[name], part.rows.units)
    return found


def drawn_scores(part: HeldOut, plan: Plan) -> dict[str, dict[str, Array]]:
    """Return the scores of every column in every resample of the rows' units; the same resamples
    for all.
    """
    drawn = bootstrap.bootstrap(
        {name: Ranked.of(margins, part.rows) for name, margins in part.columns.items()},
        drawn_decisions(part, plan),
        part.rows.units.count,
        resamples=plan.resamples,
        seed=first_seed(part, plan),
    )
    return {name: {score: found[score] for score in SCORES} for name, found in drawn.items()}


def drawn_decisions(part: HeldOut, plan: Plan) -> dict[str, Thresholds]:
    """Return the threshold of every column: 0, or what its rule takes from each resample of
    validation, (resamples,).
    """
    drawn = drawn_by_rules(
        part.on_validation,
        {name: {"decision": rule} for name, rule in part.rules.items()},
        part.validation,
        resamples=plan.resamples,
        seed=first_seed(part, plan) + 1,
    )
    return {name: {**AT, **drawn.get(name, {})} for name in part.columns}


def first_seed(part: HeldOut, plan: Plan) -> int:
    """Return the seed by which test is drawn; validation has the next, and other splits others, so
    that all that is drawn is independent.
    """
    return plan.seed + 2 * part.split_seed


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
    rows = part.rows
    guesses = [metrics.predicted(part.columns[column]) for column in (before, after)]
    flips = comparison.flips(guesses[0], guesses[1], rows.labels)
    net = comparison.net_flips(guesses[0], guesses[1], rows.labels, rows.units)
    return {
        "recipe": run.recipe,
        "seeds": vars(run.seeds),
        "before": hop[0],
        "after": hop[1],
        **{score: score_change(scores[before], scores[after], score) for score in SCORES},
        "worse": flips.worse,
        "better": flips.better,
        "p_by_domain": rounded(clustered_p(net)),
        "p_by_row": rounded(comparison.mcnemar(flips.worse, flips.better)),
    }


def hidden_loss_of(
    run: KeptRun, hop: tuple[str, str], part: HeldOut, scores: Mapping[str, Scored]
) -> float:
    """Return the loss of F1 that chance may have kept out of sight in a hop of one run."""
    before, after = (run.models[model].column for model in hop)
    guesses = [metrics.predicted(part.columns[column]) for column in (before, after)]
    net = comparison.net_flips(guesses[0], guesses[1], part.rows.labels, part.rows.units)
    return comparison.hidden_loss(net, part.rows, scores[before].point["f1"])


def score_change(before: Scored, after: Scored, score: str) -> dict[str, float]:
    """Return the difference of a score, after − before, with both intervals."""
    by_domain = after.by_domain[score] - before.by_domain[score]
    if score == "f1":
        by_domain = drawn_change_of_f1(before, after)
    by_row = after.by_row[score] - before.by_row[score]
    difference = rounded(after.point[score] - before.point[score])
    return {"difference": difference, **both_intervals(by_domain, by_row)}


def drawn_change_of_f1(before: Scored, after: Scored) -> Array:
    """Return after − before of F1 when domains are drawn, (resamples,), as wide as evaluation's
    interval of a hop.
    """
    measured = after.point["f1"] - before.point["f1"]
    moved = after.by_domain["f1"] - before.by_domain["f1"]
    return bootstrap.stretched(measured, moved, after.units)


def rows_report(part: HeldOut) -> dict[str, Any]:
    """Return how many test rows stand in how many domains, and whether they allow an interval.

    The largest domain has no name here, since only its digest is known.
    """
    why = part.no_interval(part.rules.values())
    sample = as_json(replace(sample_facts(part.rows), no_interval=why))
    del sample["domains"]["largest"]
    return {"split_seed": part.split_seed, **sample}
