"""results: render the tables of README.md and docs/results.md from the committed JSON, between their markers.

`<!-- results:hannousse.models -->` … `<!-- /results -->` encloses a table: a set of results and the part of it to show.
The set is `embedded` (metrics/*.json) or a file of docs/results/; the part is a key of RENDERERS.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import comb
from pathlib import Path
from statistics import mean
from typing import Any

from minnow import store
from minnow.errors import MinnowError, listed, nearest
from minnow.layout import MODELS, SPLITS, Layout

DOCUMENTS = ("README.md", "docs/results.md")
RESULTS = "docs/results"
OPENING, CLOSING = "<!-- results:", "<!-- /results -->"
BLOCK = re.compile(rf"(?P<open>{OPENING}(?P<name>[^>]*?) -->\n)(?P<table>.*?)(?P<close>{CLOSING})", re.DOTALL)
COLUMNS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "validation_f1",
    "size_mb",
    "parameters",
    "compression_x",
)
# In the order of the tables, with the words that they use.
NAMES = {
    "ngrams": "character n-grams",
    "teacher": "teacher",
    "student_without_teacher": "student without teacher",
    "student": "student",
    "quantized": "quantized",
}
SHOWN_PAIRS = (
    ("ngrams", "teacher"),
    ("ngrams", "quantized"),
    ("teacher", "student"),
    ("student_without_teacher", "student"),
    ("student", "quantized"),
)


def main(root: Path, check: str = "") -> None:
    """Render every table; with "check", only compare.

    Raises:
        MinnowError: a marker names no table or is not closed; with "check", a document differs from its JSON.
    """
    if check not in ("", "check"):
        raise MinnowError(f"unknown argument {check!r}; allowed: check, or nothing")
    for document in (root / name for name in DOCUMENTS):
        if not document.exists():
            continue
        text = document.read_text(encoding="utf-8")
        rendered = render(text, root, document.name)
        if rendered == text:
            continue
        if check:
            raise MinnowError(f"{document.relative_to(root)} differs from its results; run `make results`")
        with store.replacing(document) as temporary:
            temporary.write_text(rendered, encoding="utf-8")


def render(text: str, root: Path, document: str) -> str:
    """Return `text` with the table between each pair of markers rendered anew.

    Raises:
        MinnowError: a marker names no table or is not closed.
    """
    if not text.count(OPENING) == text.count(CLOSING) == len(BLOCK.findall(text)):
        raise MinnowError(f"{document}: each {OPENING}NAME --> must stand on a line of its own and end with {CLOSING}")
    return BLOCK.sub(lambda found: f"{found['open']}{table_of(found['name'], root, document)}\n{found['close']}", text)


def table_of(name: str, root: Path, document: str) -> str:
    """Return the table that a marker names: `SET.PART`, or `SET` for its models.

    Raises:
        MinnowError: there is no such set, or it has no such part.
    """
    source, _, part = name.partition(".")
    part = part or "models"
    sets = ["embedded", *sorted(file.stem for file in (root / RESULTS).glob("*.json"))]
    if source not in sets:
        raise MinnowError(f"{document}: no results called {source!r}; there are {listed(sets)}{nearest(source, sets)}")
    results = load(root, source)
    parts = [each for each in RENDERERS if each in results]
    if part not in parts:
        raise MinnowError(f"{document}: {source} has no part {part!r}; it has {listed(parts)}{nearest(part, parts)}")
    return RENDERERS[part](results[part])


def load(root: Path, source: str) -> Mapping[str, Any]:
    """Return a set of results by part."""
    if source == "embedded":
        made_from = store.read_json(Layout(root).metrics("prepare"))["source"]
        if made_from != "synthetic":
            raise MinnowError(
                f"metrics/ holds results of {made_from!r} data, not of the preset embedded: run that first"
            )
        return {"models": {model: store.read_json(Layout(root).metrics(model)) for model in MODELS}}
    results: Mapping[str, Any] = store.read_json(root / RESULTS / f"{source}.json")
    return results


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, numbers to the right."""
    ruler = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ruler, *rows])


def models(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return one row per model, with the headline metrics."""
    rows = [[title, *(number(name, found[model][name]) for name in COLUMNS)] for model, title in shown(found)]
    return markdown(["model", *COLUMNS], rows)


def number(name: str, value: float) -> str:
    """Return a metric as its column shows it."""
    if name == "parameters":
        return f"{value:,}"
    return f"{value:.1f}" if name in ("size_mb", "compression_x") else f"{value:.4f}"


def pairs(found: Sequence[Mapping[str, Any]]) -> str:
    """Return how many test rows each of two models alone gets right, with the sign test's p."""
    by_names = {(pair["from"], pair["to"]): pair for pair in found}
    rows = []
    for one, other in SHOWN_PAIRS:
        pair = by_names[one, other]
        only_one, only_other = pair["broken"], pair["mended"]
        p = sign_test(only_one, only_other)
        rows.append([NAMES[one], NAMES[other], str(only_one), str(only_other), "< 0.001" if p < 0.001 else f"{p:.3f}"])
    return markdown(["A", "B", "only A right", "only B right", "p"], rows)


def sign_test(one: int, other: int) -> float:
    """Return the two-sided p of so unequal counts if both were equally likely: McNemar's exact test."""
    tosses = one + other
    tail = sum(comb(tosses, heads) for heads in range(min(one, other) + 1))
    return float(min(1.0, 2 * tail / 2**tosses))


def prepare(report: Mapping[str, Any]) -> str:
    """Return rows, classes and domains of each split."""
    rows = []
    for split in SPLITS:
        kept, domains = report["kept"][split], report["domains"][split]
        rows.append([split, *(f"{n:,}" for n in (sum(kept.values()), kept["phishing"], kept["safe"], domains))])
    return markdown(["split", "rows", "phishing", "safe", "domains"], rows)


def curves(found: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return validation F1 after each epoch of each training."""
    epochs = max(len(curve) for curve in found.values())
    rows = [
        [title, *(f"{epoch['validation_f1']:.4f}" for epoch in found[name]), *[""] * (epochs - len(found[name]))]
        for name, title in shown(found)
    ]
    return markdown(["validation F1", *(f"epoch {epoch + 1}" for epoch in range(epochs))], rows)


def runs(found: Sequence[Mapping[str, Any]]) -> str:
    """Return best validation F1 per seed for each batch size and dropout rate, and the mean over seeds."""
    seeds = sorted({run["seed"] for run in found})
    best = {(run["batch_size"], run["dropout"], run["seed"]): max(run["validation_f1"]) for run in found}
    rows = []
    for batch, dropout in dict.fromkeys(key[:2] for key in best):
        scores = [best[batch, dropout, seed] for seed in seeds]
        rate = "the teacher's (0.1)" if dropout is None else str(dropout)
        rows.append([str(batch), rate, *(f"{score:.4f}" for score in scores), f"{mean(scores):.4f}"])
    return markdown(["batch size", "dropout", *(f"seed {seed}" for seed in seeds), "mean"], rows)


def shown(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return key and title of the models that are there, in the order of the tables."""
    return [(model, title) for model, title in NAMES.items() if model in found]


RENDERERS: dict[str, Callable[[Any], str]] = {
    "models": models,
    "pairs": pairs,
    "prepare": prepare,
    "curves": curves,
    "runs": runs,
}
