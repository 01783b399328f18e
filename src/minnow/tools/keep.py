"""keep: keep the margins of the run in this checkout, on validation and test, in docs/results/
margins/NAME.parquet; its recipe is called `default` if no name is given.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from minnow.core.files import read_json
from minnow.core.params import (
    PLAIN_NAME,
    ThresholdParams,
    active_preset,
    pick,
    read_params,
    validated,
)
from minnow.core.tables import read_table
from minnow.core.thresholds import decision_threshold
from minnow.errors import MinnowError, shortened
from minnow.evaluation import inputs, metrics
from minnow.experiments.kept_margins import (
    KeptModel,
    KeptRun,
    RunSeeds,
    distances,
    read_or_empty,
    row_facts,
    with_run,
    write_kept,
)
from minnow.experiments.sweeps import as_text, params_that_matter
from minnow.layout import JUDGED, Layout

DEFAULT = "default"
# Where the seeds of RunSeeds stand in params.yaml.
SEED_KEYS = {
    "split": "presets.{}.data.seed",
    "teacher": "presets.{}.teacher.seed",
    "student": "distill.seed",
}
KEPT_SPLITS = ("validation", "test")


def main(root: Path, name: str = "", recipe: str = DEFAULT) -> None:
    """Keep the run that this checkout holds.

    Raises:
        MinnowError: no plain name; or metrics, logits and params are not of one run; or the rows
        are others than those kept under this name.
    """
    require_name("NAME", name)
    require_name("RECIPE", recipe)
    print(keep_run(Layout(root), Layout(root).kept_margins(name), recipe))


def require_name(what: str, name: str) -> None:
    """Make sure that a name can be that of a file and of an experiment.

    Raises:
        MinnowError: it cannot.
    """
    if not re.fullmatch(PLAIN_NAME, name):
        raise MinnowError(
            f"{what} is {shortened(name)!r}; give 1 to 64 letters, digits, - or _, such as psu"
        )


def keep_run(layout: Layout, path: Path, recipe: str) -> str:
    """Add a checkout's run to a file of margins, and return a line that says so."""
    document = read_params(layout.params)
    rule = rule_of(document)
    run = KeptRun(recipe, seeds_of(document), params_digest(document), thresholds(layout), rule)
    facts = [
        row_facts(read_table(layout.split(split)), split, run.seeds.split) for split in KEPT_SPLITS
    ]
    columns = {model: kept_column(layout, model, run.models[model], rule) for model in JUDGED}
    write_kept(path, with_run(read_or_empty(path), run, pl.concat(facts), columns))
    return f"kept {run.name} in {path}: {path.stat().st_size / 1e6:.2f} MB"


def seeds_of(document: Mapping[str, Any]) -> RunSeeds:
    """Return the seeds of params.yaml."""
    preset = active_preset(document)
    return RunSeeds(**{name: pick(document, at.format(preset)) for name, at in SEED_KEYS.items()})


def rule_of(document: Mapping[str, Any]) -> ThresholdParams:
    """Return the rule of params.yaml by which validation sets thresholds."""
    place = "evaluate.threshold"
    return validated(ThresholdParams, pick(document, place), place)


def params_digest(document: Mapping[str, Any]) -> str:
    """Return a digest of the params that can change a margin, but for the seeds of RunSeeds.

    What is null is not used. So a param that is new, and null, changes no digest of kept runs. The
    exported model is not kept.
    """
    preset = active_preset(document)
    left_out = {"export.mode", *(key.format(preset) for key in SEED_KEYS.values())}
    kept = {
        key: value
        for key, value in params_that_matter(document, preset)
        if key not in left_out and value != as_text(None)
    }
    told = json.dumps({"preset": as_text(preset), **kept}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def thresholds(layout: Layout) -> dict[str, KeptModel]:
    """Return each model's threshold, as evaluation wrote it."""
    decided = read_json(layout.evidence("calibration"))["models"]
    return {model: KeptModel("", decided[model]["decision"]["threshold"]) for model in JUDGED}


def kept_column(
    layout: Layout, model: str, kept: KeptModel, rule: ThresholdParams
) -> metrics.Array:
    """Return a model's distances on all kept rows.

    Raises:
        MinnowError: the F1 that they give, or the threshold that the rule does, is not the one in
        metrics/.
    """
    margins = {
        split: metrics.margins_of(inputs.logits(layout, model, split)) for split in KEPT_SPLITS
    }
    labels = inputs.labels_of(layout, "validation")
    ruled = metrics.rounded(decision_threshold(margins["validation"], labels, rule))
    if ruled != kept.threshold:
        raise MinnowError(
            f"{layout.evidence('calibration')} says threshold {kept.threshold} of {model}, and"
            f" evaluate.threshold gives {ruled}: they are of different runs; run `dvc repro"
            " evaluate`"
        )
    parts = {split: distances(each, kept.threshold) for split, each in margins.items()}
    found = metrics.classification(parts["test"], inputs.labels_of(layout, "test")).f1
    told = read_json(layout.metrics(model))["f1"]
    if found != told:
        raise MinnowError(
            f"{layout.metrics(model)} says F1 {told}, and the logits give {found}: they are of"
            " different runs; run `dvc repro evaluate`"
        )
    return np.concatenate([parts[split] for split in KEPT_SPLITS])
