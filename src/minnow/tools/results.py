"""results: render the tables of README.md and docs/*.md from the committed JSON, between their
markers.

`<!-- results:hannousse.models -->` … `<!-- /results -->` encloses a table: a set of results and the
part of it to show. The set is `embedded` (metrics/*.json) or a file of docs/results/; the part is a
key of RENDERERS.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from minnow.core.files import read_json, replacing
from minnow.errors import MinnowError, listed, nearest
from minnow.experiments import compression_tables, run_tables, study_tables
from minnow.layout import EVERY_MODEL, Layout

DOCUMENTS = ("README.md", "docs/*.md")
OPENING, CLOSING = "<!-- results:", "<!-- /results -->"
BLOCK = re.compile(
    rf"(?P<open>{OPENING}(?P<name>[^>]*?) -->\n)(?P<table>.*?)(?P<close>{CLOSING})", re.DOTALL
)


def main(root: Path, check: str = "") -> None:
    """Render every table; with "check", only compare.

    Raises:
        MinnowError: a marker names no table or is not closed; with "check", a document differs from
        its JSON.
    """
    if check not in ("", "check"):
        raise MinnowError(f"unknown argument {check!r}; allowed: check, or nothing")
    for document in (file for pattern in DOCUMENTS for file in sorted(root.glob(pattern))):
        text = document.read_text(encoding="utf-8")
        rendered = render_tables(text, root, document.name)
        if rendered == text:
            continue
        if check:
            raise MinnowError(
                f"{document.relative_to(root)} differs from its results; run `make results`"
            )
        with replacing(document) as temporary:
            temporary.write_text(rendered, encoding="utf-8")


def render_tables(text: str, root: Path, document: str) -> str:
    """Return `text` with the table between each pair of markers rendered anew.

    Raises:
        MinnowError: a marker names no table or is not closed.
    """
    if not text.count(OPENING) == text.count(CLOSING) == len(BLOCK.findall(text)):
        raise MinnowError(
            f"{document}: each {OPENING}NAME --> must stand on a line of its own and end with"
            f" {CLOSING}"
        )
    return BLOCK.sub(
        lambda found: f"{found['open']}{table_of(found['name'], root, document)}\n{found['close']}",
        text,
    )


def table_of(name: str, root: Path, document: str) -> str:
    """Return the table that a marker names: `SET.PART`, or `SET` for its models.

    Raises:
        MinnowError: there is no such set, or it has no such part.
    """
    source, _, part = name.partition(".")
    part = part or "models"
    sets = ["embedded", *sorted(file.stem for file in Layout(root).results.glob("*.json"))]
    if source not in sets:
        raise MinnowError(
            f"{document}: no results called {source!r}; there are"
            f" {listed(sets)}{nearest(source, sets)}"
        )
    results = load_results(root, source)
    parts = [each for each in RENDERERS if each in results]
    if part not in parts:
        raise MinnowError(
            f"{document}: {source} has no part {part!r}; it has"
            f" {listed(parts)}{nearest(part, parts)}"
        )
    return RENDERERS[part](results[part])


def load_results(root: Path, source: str) -> Mapping[str, Any]:
    """Return a set of results by part. Runs with several seeds are several parts: one for each way
    to show them.
    """
    if source == "embedded":
        layout = Layout(root)
        splits = read_json(layout.metrics("prepare"))
        if splits["source"] != "synthetic":
            raise MinnowError(
                f"metrics/ holds results of {splits['source']!r} data, not of the preset embedded:"
                " run that first"
            )
        told = {model: read_json(layout.metrics(model)) for model in EVERY_MODEL}
        found = {model: metrics for model, metrics in told.items() if metrics}
        return {"models": found, "hops": [read_json(layout.evidence("hops"))], "prepare": splits}
    results: Mapping[str, Any] = read_json(Layout(root).results / f"{source}.json")
    if "references" in results:  # of benchmarks/compression.py
        return {"headline": results, "screen": results, "losses": results, "compressed": results}
    if "study_hops" in results:
        return {**results, "study_summary": results}
    if "runs" not in results:
        return results
    runs = results["runs"]
    by_seed = {
        "seeds": runs,
        "curves": runs,
        "elsewhere": runs,
        "hops": [with_control(run) for run in runs],
    }
    return {**by_seed, "prepare": results["prepare"]}


def with_control(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's hops, that from the student without a teacher last."""
    extra = run["controls"].get("no_teacher", {"hops": []})["hops"]
    return {**run["hops"], "hops": [*run["hops"]["hops"], *extra]}


RENDERERS: dict[str, Callable[[Any], str]] = {
    "models": run_tables.models,
    "seeds": run_tables.seeds,
    "hops": run_tables.hops,
    "elsewhere": run_tables.further_sets,
    "prepare": run_tables.prepare,
    "curves": run_tables.curves,
    "sweep": compression_tables.sweep,
    "ladder": compression_tables.ladder,
    "headline": compression_tables.headline_table,
    "screen": compression_tables.screen,
    "losses": compression_tables.losses,
    "compressed": compression_tables.compressed,
    "kept_changes": study_tables.kept_changes,
    "study_models": study_tables.study_models,
    "study_hops": study_tables.study_hops,
    "study_parts": study_tables.study_parts,
    "study_test": study_tables.study_test,
    "study_summary": study_tables.study_summary,
    "rivals": compression_tables.rivals,
}
