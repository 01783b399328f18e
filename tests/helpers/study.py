"""Made-up runs over seeds: margins, and checkouts that hold one run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from minnow.core.files import write_json
from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.tables import write_logits, write_table
from minnow.core.thresholds import decision_threshold
from minnow.evaluation import metrics
from minnow.evaluation.metrics import Array
from minnow.experiments.kept_margins import (
    KeptModel,
    KeptRun,
    KeptSet,
    RunSeeds,
    distances,
    row_facts,
    with_run,
)
from minnow.layout import JUDGED, Layout

# How well each model separates the labels: its margins' distance between them.
STRENGTH = {"baseline": 2.0, "teacher": 4.0, "student": 3.6, "quantized": 3.5}


def prepared(split: str, *, seed: int = 0, domains: int = 120) -> pl.DataFrame:
    """Return a prepared split with one to six rows a domain."""
    generator = np.random.default_rng([seed, len(split)])
    sizes = generator.integers(1, 7, size=domains)
    names = np.repeat([f"{split}{number}.example" for number in range(domains)], sizes)
    texts = [f"{name}/{row}" for row, name in enumerate(names)]
    return pl.DataFrame(
        {
            "id": [f"{seed:04x}{len(split):04x}{row:08x}" for row in range(len(names))],
            "text": texts,
            "label": generator.integers(0, 2, size=len(names)).astype(np.int8),
            "domain": names,
        }
    )


def made_up_margins(model: str, labels: Array, seeds: RunSeeds) -> Array:
    """Return margins that depend on all seeds that the model depends on, and on no other."""
    upto = {"baseline": 1, "teacher": 2}.get(model, 3)
    own = (seeds.split, seeds.teacher, seeds.student)[:upto]
    generator = np.random.default_rng([len(model), *own])
    return STRENGTH[model] * (labels - 0.5) + generator.normal(size=len(labels))


def kept_set(
    all_seeds: Sequence[RunSeeds], recipe: str = "default", rule: ThresholdParams = EVEN_ODDS
) -> KeptSet:
    """Return kept margins of these runs, with thresholds that validation set by a rule."""
    kept = KeptSet.empty()
    for seeds in all_seeds:
        tables = {split: prepared(split, seed=seeds.split) for split in ("validation", "test")}
        facts = pl.concat(row_facts(table, name, seeds.split) for name, table in tables.items())
        labels = facts["label"].to_numpy().astype(np.int64)
        margins = {model: made_up_margins(model, labels, seeds) for model in JUDGED}
        first = slice(tables["validation"].height)
        thresholds = {
            model: decision_threshold(each[first], labels[first], rule)
            for model, each in margins.items()
        }
        columns = {model: distances(margins[model], at) for model, at in thresholds.items()}
        models = {model: KeptModel("", at) for model, at in thresholds.items()}
        kept = with_run(kept, KeptRun(recipe, seeds, "digest", models, rule), facts, columns)
    return kept


def write_run(root: Path, seeds: RunSeeds, rule: ThresholdParams = EVEN_ODDS) -> Layout:
    """Write what a run leaves of splits, logits and metrics; params.yaml is the caller's."""
    thresholds = {}
    layout = Layout(root)
    tables = {split: prepared(split, seed=seeds.split) for split in ("validation", "test")}
    for split, table in tables.items():
        write_table(layout.split(split), table)
        labels = table["label"].to_numpy()
        for model in JUDGED:
            margins = made_up_margins(model, labels, seeds)
            logits = np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
            write_logits(layout.logits_of(model, split), table["id"].to_list(), logits)
            read = metrics.margins_of(logits)
            if split == "validation":
                thresholds[model] = decision_threshold(read, labels, rule)
            else:
                found = metrics.classification(read, labels, thresholds[model])
                write_json(layout.metrics(model), {"f1": found.f1})
    decisions = {model: {"decision": {"threshold": at}} for model, at in thresholds.items()}
    write_json(layout.evidence("calibration"), {"models": decisions})
    return layout
