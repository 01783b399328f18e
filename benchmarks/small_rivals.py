"""What a student's few bytes hold otherwise: hashed n-grams, and embeddings as fastText has them.

    python benchmarks/small_rivals.py psu=/tmp/minnow_real/psu hannousse=/tmp/minnow_real/hannousse

Each argument is a name and a folder that `prepare` wrote: data/prepared, or the checkout around it;
benchmarks/real_data.py makes both. Every rival is a real file of at most 1, 0.75, 0.5 or 0.25 MB,
and is judged by what is read back from it. F1 on validation at probability 0.5 alone chooses
n-grams, penalty, buckets, format, dimension, rate and epoch; of equals the first is taken.

Intervals are those of `evaluate`: registered domains are drawn, validation's too where the cut
comes from them, and the same for every model, so that differences are paired. Written to
docs/results/small_rivals.json, from which `make results` renders the table.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "src"), str(PROJECT / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.sparse import csr_matrix  # noqa: E402

from hashed_fits import fit_regression, multiplied, train_embeddings  # noqa: E402
from hashed_models import (  # noqa: E402
    FORMATS,
    Array,
    Linear,
    averaging,
    character_counts,
    fitting,
    folded,
    load_linear,
    room,
    save_linear,
    sublinear,
    word_counts,
)
from minnow.core.files import write_json  # noqa: E402
from minnow.core.params import EVEN_ODDS, ThresholdParams  # noqa: E402
from minnow.core.tables import read_table  # noqa: E402
from minnow.core.thresholds import decision_threshold  # noqa: E402
from minnow.errors import MinnowError  # noqa: E402
from minnow.evaluation import bootstrap, evidence  # noqa: E402
from minnow.evaluation.baseline import (  # noqa: E402
    baseline_logits,
    fit_baseline,
    load_baseline,
    save_baseline,
)
from minnow.evaluation.metrics import classification, margins_of, rounded  # noqa: E402
from minnow.evaluation.outcomes import Method, Outcome  # noqa: E402
from minnow.evaluation.units import JudgedRows  # noqa: E402
from minnow.layout import SPLITS, Layout  # noqa: E402
from real_data import machine  # noqa: E402

BUDGETS = (1_000_000, 750_000, 500_000, 250_000)
# Hashed n-grams: lengths, powers of two for the buckets, and inverse strengths of the penalty.
RANGES, BITS, STRENGTHS = ((1, 3), (1, 4), (1, 5), (1, 6)), range(17, 22), (3.0, 10.0, 30.0)
# fastText-style: dimensions, and whether embeddings and head are multiplied before they are stored;
# rates of Adagrad.
PIECES, SHAPES, RATES = (3, 6), ((8, False), (16, False), (8, True)), (0.1, 0.3)
# The end of a metric's name, and the rule for the cut that it is at.
CUTS = {"": EVEN_ODDS, "_at_best_cut": ThresholdParams(fpr=None, f1=True, precision=None)}
METHOD = Method(margin=0.005, resamples=1000, seed=0)
Rows = Mapping[str, csr_matrix]


@dataclass(frozen=True)
class Part:
    """A split: its texts, and their labels and domains."""

    texts: list[str]
    rows: JudgedRows

    @property
    def labels(self) -> Array:
        """Labels (rows,), 1 = phishing."""
        return self.rows.labels


Data = Mapping[str, Part]


@dataclass(frozen=True)
class Scored:
    """A model's file, and its margins of validation and test as read back from it."""

    name: str
    budget: int | None
    bytes: int
    settings: Mapping[str, Any]
    validation_f1: float
    margins: Mapping[str, Array]


@dataclass(frozen=True)
class Stored:
    """A model, how to store it in how many bytes, and how it came to be."""

    model: Linear
    stored_as: str
    budget: int
    settings: Mapping[str, Any]


# Data and files


def load(folder: Path) -> Data:
    """Return the splits in a prepared folder, or in the checkout that it belongs to."""
    inner = Layout(folder).prepared
    prepared = inner if inner.is_dir() else folder
    return {name: part_of(prepared / f"{name}.parquet") for name in SPLITS}


def part_of(file: Path) -> Part:
    """Return a split's texts, labels and domains."""
    table = read_table(file)
    return Part(table["text"].to_list(), JudgedRows.of(table, "domain"))


def scored(
    name: str, budget: int | None, size: int, settings: Any, margins: Any, data: Data
) -> Scored:
    """Return a model with its F1 on validation."""
    f1 = classification(margins["validation"], data["validation"].labels).f1
    return Scored(name, budget, size, settings, f1, margins)


def read_back(name: str, stored: Stored, rows: Rows, data: Data) -> Scored:
    """Write a model, read it, and score what was read."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "model.safetensors"
        size = save_linear(stored.model, file, stored.stored_as, stored.budget)
        read = load_linear(file)
    margins = {split: read.margins(rows[split]) for split in ("validation", "test")}
    buckets = len(stored.model.table)
    about = {**stored.settings, "stored_as": stored.stored_as, "buckets": buckets}
    return scored(name, stored.budget, size, about, margins, data)


def full_baseline(data: Data) -> Scored:
    """Return the project's own baseline, as read back from its folder."""
    pipeline = fit_baseline(data["train"].texts, data["train"].labels.tolist())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "baseline"
        save_baseline(pipeline, folder)
        read, files = load_baseline(folder), [*folder.iterdir()]
        size = sum(file.stat().st_size for file in files if file.name != "manifest.json")
    margins = {
        split: margins_of(baseline_logits(read, data[split].texts))
        for split in ("validation", "test")
    }
    return scored("character n-grams", None, size, {}, margins, data)


# Hashed n-grams


def hashed(data: Data) -> Iterator[Scored]:
    """Yield hashed n-grams of every setting, in each format that fits a budget."""
    for ngram_range in RANGES:
        counts = {split: character_counts(part.texts, ngram_range) for split, part in data.items()}
        for bits in BITS:
            rows = {split: sublinear(folded(each, 2**bits)) for split, each in counts.items()}
            for strength in STRENGTHS:
                model = fit_regression(rows["train"], data["train"].labels, strength)
                about = {"ngram_range": list(ngram_range), "C": strength}
                for budget, stored_as in product(BUDGETS, FORMATS):
                    if fitting(stored_as, 2**bits, budget):
                        stored = Stored(model, stored_as, budget, about)
                        yield read_back("n-grams, hashed", stored, rows, data)


# fastText-style


def fasttext_style(data: Data) -> Iterator[Scored]:
    """Yield embeddings of every setting for every budget."""
    counts = {
        split: csr_matrix(character_counts(part.texts, PIECES) + word_counts(part.texts))
        for split, part in data.items()
    }
    for budget, (dimension, whole) in product(BUDGETS, SHAPES):
        buckets = room(budget, 1 if whole else dimension)
        rows = {split: averaging(folded(each, buckets)) for split, each in counts.items()}
        for rate in RATES:
            train, validation = ((rows[each], data[each].labels) for each in SPLITS[:2])
            model, epoch = train_embeddings(train, validation, dimension, rate)
            about = {"dimension": dimension, "multiplied": whole, "rate": rate, "epoch": epoch}
            stored = Stored(multiplied(model) if whole else model, "int8", budget, about)
            yield read_back("fastText-style", stored, rows, data)


# Judging


def judged(models: Sequence[Scored], data: Data) -> list[dict[str, Array]]:
    """Return of each model every metric on test, (1 + resamples,): on the rows as they are, then in
    each resample of domains.
    """
    found: list[dict[str, Array]] = [{} for _ in models]
    for ending, rule in CUTS.items():
        outcomes = {str(place): outcome_of(each, data, rule) for place, each in enumerate(models)}
        rows = data["validation"].rows, data["test"].rows
        drawn = evidence.resampled(outcomes, *rows, METHOD)
        for metrics, (place, outcome) in zip(found, outcomes.items(), strict=True):
            point = bootstrap.point(outcome.test, rows[1], {"decision": outcome.threshold})
            for key in ("f1", "accuracy", "roc_auc"):
                metrics[key + ending] = np.append(point[key], drawn[place][key])
    return found


def outcome_of(model: Scored, data: Data, rule: ThresholdParams) -> Outcome:
    """Return a model's margins, and the cut that a rule takes from validation's."""
    validation, test = model.margins["validation"], model.margins["test"]
    cut = decision_threshold(validation, data["validation"].labels, rule)
    return Outcome(validation, test, cut, rule)


def estimate(values: Array) -> dict[str, float]:
    """Return the first value, with the interval of the others."""
    low, high = bootstrap.interval(values[1:])
    return {"value": rounded(values[0]), "low": rounded(low), "high": rounded(high)}


def facts(model: Scored) -> dict[str, Any]:
    """Return all of a model but its margins."""
    return {key: value for key, value in asdict(model).items() if key != "margins"}


def report(
    model: Scored, found: Mapping[str, Array], baseline: Mapping[str, Array]
) -> dict[str, Any]:
    """Return what the results file holds of a model."""
    against = {key: estimate(values - baseline[key]) for key, values in found.items()}
    estimates = {key: estimate(values) for key, values in found.items()}
    return {**facts(model), "estimates": estimates, "against_baseline": against}


def measure(data: Data) -> dict[str, Any]:
    """Return rows, every candidate's F1 on validation, and the chosen ones judged on test."""
    baseline, candidates = full_baseline(data), [*told(hashed, data), *told(fasttext_style, data)]
    chosen: dict[tuple[str, int | None], Scored] = {}
    for each in candidates:
        key = each.name, each.budget
        chosen[key] = max(chosen.get(key, each), each, key=lambda one: one.validation_f1)
    models = [baseline, *chosen.values()]
    found = judged(models, data)
    return {
        "rows": {split: rows_of(part) for split, part in data.items()},
        "models": [
            report(each, values, found[0]) for each, values in zip(models, found, strict=True)
        ],
        "candidates": [facts(each) for each in candidates],
    }


def told(family: Callable[[Data], Iterator[Scored]], data: Data) -> Iterator[Scored]:
    """Yield candidates and print each."""
    for each in family(data):
        print(each.name, each.budget, each.validation_f1, dict(each.settings), flush=True)
        yield each


def rows_of(part: Part) -> dict[str, int]:
    """Return how many rows and domains a split has."""
    return {"rows": len(part.texts), "domains": part.rows.units.count}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every data set that is named, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="+", metavar="NAME=FOLDER", help="data that were prepared")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        named = {
            name: load(Path(folder))
            for name, _, folder in (each.partition("=") for each in options.data)
        }
    except MinnowError as error:
        raise SystemExit(str(error)) from None
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True)
    results = {
        "command": shlex.join(["python", "benchmarks/small_rivals.py", *options.data]),
        "commit": commit.stdout.strip(),
        "machine": {**machine(), "threads": 1},
        "rivals": {name: measure(data) for name, data in named.items()},
    }
    write_json(PROJECT / "docs" / "results" / "small_rivals.json", results)


if __name__ == "__main__":
    main()
