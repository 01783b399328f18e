"""Runs of benchmarks/real_data.py, and the metrics of the embedded preset, as tables."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from statistics import mean, stdev
from typing import Any

from minnow.evaluation.records import RIVALS, Headline
from minnow.layout import SPLITS
from minnow.report import verdicts
from minnow.report.markdown import markdown_table

COLUMNS = tuple(metric.name for metric in fields(Headline) if metric.default is MISSING)
# The columns of a table over several seeds, for which there is less room.
SEED_COLUMNS = (
    "accuracy",
    "f1",
    "roc_auc",
    "tpr_at_fpr_1pct",
    "ece",
    "validation_f1",
    "size_mb",
    "compression_x",
)
# In the order of the tables, with the words that they use.
NAMES = {
    "baseline": "character n-grams",
    "teacher": "teacher",
    "no_teacher": "student without teacher",
    "student": "student",
    "quantized": "quantized",
    "exported": "exported",
}


def models(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return one row per model, with the headline metrics."""
    rows = [
        [title, *(metric_text(name, found[model][name]) for name in COLUMNS)]
        for model, title in titled_models(found)
    ]
    return markdown_table(["model", *COLUMNS], rows)


def metric_text(name: str, value: float | None) -> str:
    """Return a metric as its column shows it."""
    if value is None:
        return "n/a"
    if name == "parameters":
        return f"{value:,}"
    return f"{value:.1f}" if name in ("size_mb", "compression_x") else f"{value:.4f}"


def seeds(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per model: each metric's mean over the seeds, ± its standard deviation where
    it differs.
    """
    rows = []
    for model, title in NAMES.items():
        per_seed = [metrics_of(run, model) for run in runs]
        columns = (
            [each[name] for each in per_seed if each.get(name) is not None] for name in SEED_COLUMNS
        )
        cells = [spread(name, values) for name, values in zip(SEED_COLUMNS, columns, strict=True)]
        rows.append([title, *cells])
    return markdown_table(["model", *SEED_COLUMNS], rows)


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
    middle = metric_text(name, mean(values))
    return middle if len(set(values)) == 1 else f"{middle} ± {stdev(values):.4f}"


def hops(reports: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per hop, and per seed where there are several: difference of F1, flips, and
    the verdict.
    """
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
            [f"{NAMES[before]} → {NAMES[after]}", *([seed] if several else []), *hop_cells(hop)]
            for seed, hop in by_seed.items()
        ]
    seed_column = ["seed"] if several else []
    return markdown_table(
        ["hop", *seed_column, "change of F1", "95 %", "worse", "better", "p", "verdict"], rows
    )


def hop_cells(hop: Mapping[str, Any]) -> list[str]:
    """Return a hop's cells."""
    change = hop["f1"]
    by_domain = hop.get("clustered_p", hop["mcnemar_p"])  # older runs have p by row alone
    p = "< 0.001" if by_domain < 0.001 else f"{by_domain:.3f}"
    return [*f1_change(change), str(hop["worse"]), str(hop["better"]), p, hop_verdict(hop)]


def hop_verdict(hop: Mapping[str, Any]) -> str:
    """Return a hop's verdict, and the rows that would settle an open one; of runs before verdicts
    had more than three words, the verdict alone.
    """
    before = "better" if hop.get("better_than_before") else hop["verdict"]
    if hop["before"] in RIVALS:
        lost = hop["f1"]["high"] < 0 and before != "undecided"
        beaten = "worse" if lost else "open"
        return verdicts.AGAINST_RIVAL["beats" if before == "better" else beaten][0]
    verdict = {"worse_margin_open": "worse, margin open"}.get(before, before.replace("_", "-"))
    # Older runs say rows in seven digits, and not what they would show.
    shown = str(hop.get("more_rows_show") or "").replace("_", "-")
    if before == "better" or hop["rows_needed"] is None or not shown:
        return verdict
    return f"{verdict} ({hop['rows_needed']:,} rows show {shown})"


def f1_change(f1: Mapping[str, float]) -> list[str]:
    """Return a difference of F1 and its interval."""
    return [f"{f1['difference']:+.4f}", f"[{f1['low']:+.4f}, {f1['high']:+.4f}]"]


def further_sets(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return every model's F1 and ROC AUC on the further test sets, mean over the seeds, ± standard
    deviation.
    """
    rows = []
    for name, facts in runs[0]["extra"].items():
        for model, title in NAMES.items():
            found = [
                run["extra"][name]["models"][model]
                for run in runs
                if model in run["extra"][name]["models"]
            ]
            if found:
                cells = [
                    spread(key, [each[key]["value"] for each in found])
                    for key in ("accuracy", "f1", "roc_auc")
                ]
                rows.append(
                    [
                        name,
                        f"{facts['rows']:,}",
                        str(facts["removed_seen"]),
                        f"{facts['leak']:.1%}",
                        title,
                        *cells,
                    ]
                )
    header = ["test set", "rows", "removed", "domains known", "model", "accuracy", "f1", "roc_auc"]
    return markdown_table(header, rows)


def prepare(report: Mapping[str, Any]) -> str:
    """Return rows, classes and domains of each split."""
    rows = []
    for split in SPLITS:
        kept, domains = report["kept"][split], report["domains"][split]
        rows.append(
            [
                split,
                *(f"{n:,}" for n in (sum(kept.values()), kept["phishing"], kept["safe"], domains)),
            ]
        )
    return markdown_table(["split", "rows", "phishing", "safe", "domains"], rows)


def curves(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return validation F1 after each epoch of each training."""
    trained = {("teacher", ""): runs[0]["curves"]["teacher"]}
    trained |= {("student", f", seed {run['seed']}"): run["curves"]["student"] for run in runs}
    epochs = max(len(curve) for curve in trained.values())
    rows = [
        [
            NAMES[model] + seed,
            *(f"{epoch['validation_f1']:.4f}" for epoch in curve),
            *[""] * (epochs - len(curve)),
        ]
        for (model, seed), curve in trained.items()
    ]
    return markdown_table(
        ["validation F1", *(f"epoch {epoch + 1}" for epoch in range(epochs))], rows
    )


def titled_models(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return key and title of the models that are there, in the order of the tables."""
    return [(model, title) for model, title in NAMES.items() if model in found]
