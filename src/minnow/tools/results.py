"""results: render the tables of README.md and docs/*.md from the committed JSON, between their markers.

`<!-- results:hannousse.models -->` … `<!-- /results -->` encloses a table: a set of results and the part of it to show.
The set is `embedded` (metrics/*.json) or a file of docs/results/; the part is a key of RENDERERS.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from minnow import store, verdicts
from minnow.errors import MinnowError, listed, nearest
from minnow.layout import JUDGED, SPLITS, Layout
from minnow.markdown import table

DOCUMENTS = ("README.md", "docs/*.md")
RESULTS = "docs/results"
OPENING, CLOSING = "<!-- results:", "<!-- /results -->"
BLOCK = re.compile(rf"(?P<open>{OPENING}(?P<name>[^>]*?) -->\n)(?P<table>.*?)(?P<close>{CLOSING})", re.DOTALL)
COLUMNS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "tpr_at_fpr_1pct",
    "ece",
    "validation_f1",
    "size_mb",
    "parameters",
    "compression_x",
)
# The columns of a table over several seeds, for which there is less room.
SEED_COLUMNS = ("accuracy", "f1", "roc_auc", "tpr_at_fpr_1pct", "ece", "validation_f1", "size_mb", "compression_x")
# In the order of the tables, with the words that they use.
NAMES = {
    "baseline": "character n-grams",
    "teacher": "teacher",
    "no_teacher": "student without teacher",
    "student": "student",
    "quantized": "quantized",
}
# The rows of README's table: models and runs of benchmarks/compression.py, in words for who sees them first.
HEADLINE = {
    "teacher": "teacher: MiniLM, 6 layers, fine-tuned",
    "forward_kl": "**student, 4 bits**",
    "forward_kl, 256 wide": "the same, 256 wide",
    "baseline": "character n-grams, logistic regression",
}


def main(root: Path, check: str = "") -> None:
    """Render every table; with "check", only compare.

    Raises:
        MinnowError: a marker names no table or is not closed; with "check", a document differs from its JSON.
    """
    if check not in ("", "check"):
        raise MinnowError(f"unknown argument {check!r}; allowed: check, or nothing")
    for document in (file for pattern in DOCUMENTS for file in sorted(root.glob(pattern))):
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
    """Return a set of results by part. Runs with several seeds are several parts: one for each way to show them."""
    if source == "embedded":
        layout = Layout(root)
        splits = store.read_json(layout.metrics("prepare"))
        if splits["source"] != "synthetic":
            raise MinnowError(
                f"metrics/ holds results of {splits['source']!r} data, not of the preset embedded: run that first"
            )
        found = {model: store.read_json(layout.metrics(model)) for model in JUDGED}
        return {"models": found, "hops": [store.read_json(layout.metrics("hops"))], "prepare": splits}
    results: Mapping[str, Any] = store.read_json(root / RESULTS / f"{source}.json")
    if "references" in results:  # of benchmarks/compression.py
        return {"headline": results, "screen": results, "losses": results, "compressed": results}
    if "runs" not in results:
        return results
    runs = results["runs"]
    by_seed = {"seeds": runs, "curves": runs, "elsewhere": runs, "hops": [with_control(run) for run in runs]}
    return {**by_seed, "prepare": results["prepare"]}


def with_control(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's hops, that from the student without a teacher last."""
    extra = run["controls"].get("no_teacher", {"hops": []})["hops"]
    return {**run["hops"], "hops": [*run["hops"]["hops"], *extra]}


def models(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return one row per model, with the headline metrics."""
    rows = [[title, *(number(name, found[model][name]) for name in COLUMNS)] for model, title in shown(found)]
    return table(["model", *COLUMNS], rows)


def number(name: str, value: float | None) -> str:
    """Return a metric as its column shows it."""
    if value is None:
        return "n/a"
    if name == "parameters":
        return f"{value:,}"
    return f"{value:.1f}" if name in ("size_mb", "compression_x") else f"{value:.4f}"


def seeds(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per model: each metric's mean over the seeds, ± its standard deviation where it differs."""
    rows = []
    for model, title in NAMES.items():
        per_seed = [metrics_of(run, model) for run in runs]
        columns = ([each[name] for each in per_seed if each.get(name) is not None] for name in SEED_COLUMNS)
        cells = [spread(name, values) for name, values in zip(SEED_COLUMNS, columns, strict=True)]
        rows.append([title, *cells])
    return table(["model", *SEED_COLUMNS], rows)


def metrics_of(run: Mapping[str, Any], model: str) -> Mapping[str, float]:
    """Return a model's metrics in one run; of a control those that are known."""
    if model in run["models"]:
        found: Mapping[str, float] = run["models"][model]
        return found
    control = run["controls"].get(model, {"models": {}})["models"].get(model, {})
    return {name: estimate["value"] for name, estimate in control.items()}


def spread(name: str, values: Sequence[float]) -> str:
    """Return `mean ± standard deviation`, or the value that all share."""
    if not values:
        return "n/a"
    middle = number(name, mean(values))
    return middle if len(set(values)) == 1 else f"{middle} ± {stdev(values):.4f}"


def hops(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per hop, and per seed where there are several: difference of F1, flips, and the verdict."""
    found: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for seed, report in enumerate(reports):
        for hop in report["hops"]:
            found.setdefault((hop["before"], hop["after"]), {})[str(seed)] = hop
    several = len(reports) > 1
    rows = []
    for (before, after), by_seed in found.items():
        hops_ = list(by_seed.values())
        if several and len(hops_) == len(reports) and all(each == hops_[0] for each in hops_):
            by_seed = {"all": hops_[0]}
        rows += [
            [f"{NAMES[before]} → {NAMES[after]}", *([seed] if several else []), *judged(hop)]
            for seed, hop in by_seed.items()
        ]
    seed_column = ["seed"] if several else []
    return table(["hop", *seed_column, "change of F1", "95 %", "worse", "better", "p", "verdict"], rows)


def judged(hop: Mapping[str, Any]) -> list[str]:
    """Return a hop's cells."""
    change = hop["f1"]
    p = "< 0.001" if hop["mcnemar_p"] < 0.001 else f"{hop['mcnemar_p']:.3f}"
    if hop["before"] in verdicts.RIVALS:
        verdict, _ = verdicts.label(hop)
    elif hop["better_than_before"]:
        verdict = "better"
    else:
        verdict = hop["verdict"].replace("_", "-")
        if hop["rows_needed"] is not None:
            verdict += f" (needs {hop['rows_needed']:,} rows)"
    return [*changed(change), str(hop["worse"]), str(hop["better"]), p, verdict]


def changed(f1: Mapping[str, float]) -> list[str]:
    """Return a difference of F1 and its interval."""
    return [f"{f1['difference']:+.4f}", f"[{f1['low']:+.4f}, {f1['high']:+.4f}]"]


def elsewhere(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return every model's F1 and ROC AUC on the further test sets, mean over the seeds, ± standard deviation."""
    rows = []
    for name, facts in runs[0]["extra"].items():
        for model, title in NAMES.items():
            found = [run["extra"][name]["models"][model] for run in runs if model in run["extra"][name]["models"]]
            if found:
                cells = [spread(key, [each[key]["value"] for each in found]) for key in ("accuracy", "f1", "roc_auc")]
                rows.append(
                    [name, f"{facts['rows']:,}", str(facts["removed_seen"]), f"{facts['leak']:.1%}", title, *cells]
                )
    header = ["test set", "rows", "removed", "domains known", "model", "accuracy", "f1", "roc_auc"]
    return table(header, rows)


def prepare(report: Mapping[str, Any]) -> str:
    """Return rows, classes and domains of each split."""
    rows = []
    for split in SPLITS:
        kept, domains = report["kept"][split], report["domains"][split]
        rows.append([split, *(f"{n:,}" for n in (sum(kept.values()), kept["phishing"], kept["safe"], domains))])
    return table(["split", "rows", "phishing", "safe", "domains"], rows)


def curves(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return validation F1 after each epoch of each training."""
    trained = {("teacher", ""): runs[0]["curves"]["teacher"]}
    trained |= {("student", f", seed {run['seed']}"): run["curves"]["student"] for run in runs}
    epochs = max(len(curve) for curve in trained.values())
    rows = [
        [NAMES[model] + seed, *(f"{epoch['validation_f1']:.4f}" for epoch in curve), *[""] * (epochs - len(curve))]
        for (model, seed), curve in trained.items()
    ]
    return table(["validation F1", *(f"epoch {epoch + 1}" for epoch in range(epochs))], rows)


def sweep(found: Sequence[Mapping[str, Any]]) -> str:
    """Return best validation F1 per seed for each batch size and dropout rate, and the mean over seeds."""
    every = sorted({run["seed"] for run in found})
    best = {(run["batch_size"], run["dropout"], run["seed"]): max(run["validation_f1"]) for run in found}
    rows = []
    for batch, dropout in dict.fromkeys(key[:2] for key in best):
        scores = [best[batch, dropout, seed] for seed in every]
        rate = "the teacher's (0.1)" if dropout is None else str(dropout)
        rows.append([str(batch), rate, *(f"{score:.4f}" for score in scores), f"{mean(scores):.4f}"])
    return table(["batch size", "dropout", *(f"seed {seed}" for seed in every), "mean"], rows)


def ladder(found: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per way to quantize one student: bytes, both F1, and the hop from its teacher."""
    rows = []
    for each in found:
        f1, cells = each["estimates"]["f1"], judged(each["hop"])
        size, test = f"{each['bytes'] / 1e6:.2f}", f"{f1['value']:.4f} [{f1['low']:.4f}, {f1['high']:.4f}]"
        rows.append([each["name"], size, f"{each['validation_f1']:.4f}", test, *cells[:2], cells[-1]])
    return table(["student", "MB", "validation F1", "F1", "against teacher", "95 %", "verdict"], rows)


def screen(found: Mapping[str, Any]) -> str:
    """Return what validation says of each way to train a student, baseline and teacher first."""
    rows = [
        [NAMES[model], f"{found['references'][model]['validation_f1']:.4f}", ""] for model in ("baseline", "teacher")
    ]
    for run in found["runs"]:
        rows.append([run["name"], *(f"{run[model]['validation_f1']:.4f}" for model in ("student", "quantized"))])
    return table(["validation F1", "student", "quantized"], rows)


def headline(found: Mapping[str, Any]) -> str:
    """Return README's table: MB, F1 on test, and its change against the teacher, of HEADLINE's models and runs."""
    references = found["references"]
    to_teacher = against(references["teacher"], "baseline")["f1"]
    change = {"difference": -to_teacher["difference"], "low": -to_teacher["high"], "high": -to_teacher["low"]}
    cells = {
        "teacher": [*brief(references["teacher"]), "", ""],
        "baseline": [*brief(references["baseline"]), " ".join(changed(change)), ""],
    }
    rows = []
    for name, title in HEADLINE.items():
        runs = [run["quantized"] for run in found["runs"] if run["name"] == name]
        rows.append([f"{title} ({len(runs)} seeds)", *over_seeds(runs)] if runs else [title, *cells[name]])
    return table(["", "MB", "F1", "change against the teacher", "non-inferior"], rows)


def brief(model: Mapping[str, Any]) -> list[str]:
    """Return a model's MB, and its F1 on test with its interval."""
    size, _, f1, _ = sized(model)
    return [size, f1]


def over_seeds(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return MB, F1 as mean ± standard deviation, the mean change against the teacher and its range, and verdicts."""
    hops = [against(each, "teacher") for each in models]
    changes = [hop["f1"]["difference"] for hop in hops]
    change = f"{mean(changes):+.4f} ({min(changes):+.4f} to {max(changes):+.4f})"
    kept = sum(hop["verdict"] == "non_inferior" for hop in hops)
    f1 = spread("f1", [each["estimates"]["f1"]["value"] for each in models])
    return [f"{models[0]['bytes'] / 1e6:.2f}", f1, change, f"{kept} of {len(hops)}"]


def against(model: Mapping[str, Any], before: str) -> Mapping[str, Any]:
    """Return a model's hop from another one."""
    found: Mapping[str, Any] = next(hop for hop in model["hops"] if hop["before"] == before)
    return found


def losses(found: Mapping[str, Any]) -> str:
    """Return mean ± standard deviation over the seeds of the quantized student, for each way to train it."""
    rows = [[NAMES[model], *scores([found["references"][model]])] for model in ("baseline", "teacher")]
    for name in dict.fromkeys(run["name"] for run in found["runs"]):
        rows.append([name, *scores([run["quantized"] for run in found["runs"] if run["name"] == name])])
    return table(["model", "seeds", "MB", "validation F1", "F1", "roc_auc", "F1, exact 1,000"], rows)


def scores(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table's cells for one model, or for one of several seeds."""
    tested = [[each["estimates"][key]["value"] for each in models] for key in ("f1", "roc_auc")]
    exact = [each["elsewhere"]["estimates"]["f1"]["value"] for each in models]
    columns = [[each["validation_f1"] for each in models], *tested, exact]
    return [str(len(models)), f"{models[0]['bytes'] / 1e6:.2f}", *(spread("f1", column) for column in columns)]


def compressed(found: Mapping[str, Any]) -> str:
    """Return one row per run, with its seed where there are several: bytes, scores, hops from teacher and baseline."""
    rows = [
        [NAMES[model], *sized(found["references"][model]), "", "", "", exact(found["references"][model])]
        for model in ("baseline", "teacher")
    ]
    names = [run["name"] for run in found["runs"]]
    for run in found["runs"]:
        each = run[run["model"]]
        hops_by_origin = {hop["before"]: hop for hop in each["hops"]}
        against, rival = judged(hops_by_origin["teacher"]), hops_by_origin.get("baseline")
        over = "" if rival is None else " ".join(judged(rival)[:2])
        name = titled(run, several=names.count(run["name"]) > 1)
        rows.append([name, *sized(each), " ".join(against[:2]), against[-1], over, exact(each)])
    test = ["F1", "roc_auc", "against teacher", "verdict", "against n-grams", "F1, exact 1,000"]
    return table(["student", "MB", "validation F1", *test], rows)


def titled(run: Mapping[str, Any], *, several: bool) -> str:
    """Return a run's name, with its seed where there are several, and what came of a recovery that did not pay."""
    seed = f", seed {run['changes']['distill.seed']}" if several else ""
    recovery = run.get("recovery")
    return f"{run['name']}{seed}{'' if recovery is None or recovery['kept'] else ' (not kept)'}"


def sized(model: Mapping[str, Any]) -> list[str]:
    """Return bytes, F1 on validation, and F1 and ROC AUC on test with their intervals."""
    tested = (model["estimates"][key] for key in ("f1", "roc_auc"))
    cells = [f"{each['value']:.4f} [{each['low']:.4f}, {each['high']:.4f}]" for each in tested]
    return [f"{model['bytes'] / 1e6:.2f}", f"{model['validation_f1']:.4f}", *cells]


def exact(model: Mapping[str, Any]) -> str:
    """Return F1 on the exact 1,000 rows with its interval."""
    f1 = model["elsewhere"]["estimates"]["f1"]
    return f"{f1['value']:.4f} [{f1['low']:.4f}, {f1['high']:.4f}]"


def shown(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return key and title of the models that are there, in the order of the tables."""
    return [(model, title) for model, title in NAMES.items() if model in found]


RENDERERS: dict[str, Callable[[Any], str]] = {
    "models": models,
    "seeds": seeds,
    "hops": hops,
    "elsewhere": elsewhere,
    "prepare": prepare,
    "curves": curves,
    "sweep": sweep,
    "ladder": ladder,
    "headline": headline,
    "screen": screen,
    "losses": losses,
    "compressed": compressed,
}
