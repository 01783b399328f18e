"""Statistics of kept margins as tables: each run's hops, and recipes over their seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

from minnow.experiments.run_tables import NAMES
from minnow.experiments.seed_statistics import FEW_DOMAINS, LEVELS, ONE_TEACHER
from minnow.layout import BASELINE
from minnow.report.markdown import markdown_table

Entries = Sequence[Mapping[str, Any]]
# What an interval holds beside domains, by the seeds that were drawn.
HOLDS = {"teachers": "teachers, students", "students": "students", "none": "none"}
# What is shown of a recipe.
SHOWN = {
    "better": "better",
    "non_inferior": "non-inferior",
    "worse_margin_open": "worse, margin open",
    "inferior": "inferior",
    "undecided": "undecided",
    ONE_TEACHER: "no claim: one teacher",
    FEW_DOMAINS: "no claim: too few domains",
}
# The same of a rival, which has no margin.
AGAINST = {
    "better": "better",
    "non_inferior": "not shown better",
    "worse_margin_open": "worse",
    "inferior": "worse",
    "undecided": "not shown better",
}


def kept_changes(found: Entries) -> str:
    """Return a row for each hop of each run: its change of F1 with intervals and p, both ways."""
    rows = [
        [
            each["recipe"],
            hop_name(each),
            *(str(each["seeds"][level]) for level in LEVELS),
            f"{each['f1']['difference']:+.4f}",
            *(change_interval(each["f1"], f"{way}_") for way in ("by_domain", "by_row")),
            str(each["worse"]),
            str(each["better"]),
            *(p_text(each[f"p_by_{way}"]) for way in ("domain", "row")),
        ]
        for each in found
    ]
    seeds = [f"{level} seed" for level in LEVELS]
    ways = ["95 % by domain", "95 % by row", "worse", "better", "p by domain", "p by row"]
    return markdown_table(["recipe", "hop", *seeds, "change of F1", *ways], rows)


def study_models(found: Entries) -> str:
    """Return a row for each model of each recipe: mean scores over its runs, with intervals."""
    titles = {"f1": "F1", "accuracy": "accuracy", "roc_auc": "ROC AUC"}
    rows = [
        [
            each["recipe"],
            NAMES[each["model"]],
            str(each["runs"]),
            *(score_text(each[score]) for score in titles),
        ]
        for each in found
    ]
    return markdown_table(["recipe", "model", "runs", *titles.values()], rows)


def study_hops(found: Entries) -> str:
    """Return a row for each hop of each recipe: the mean change of F1, and what it shows."""
    rows = [
        [
            each["recipe"],
            hop_name(each),
            *(str(each[count]) for count in ("splits", "teachers", "runs")),
            f"{each['f1']['mean']:+.4f}",
            change_interval(each["f1"]),
            HOLDS[each["f1"]["holds"]],
            shown_text(each),
        ]
        for each in found
    ]
    counts = ["splits", "teachers", "runs"]
    ends = ["change of F1", "95 %", "seeds in it", "shown"]
    return markdown_table(["recipe", "hop", *counts, *ends], rows)


def study_summary(found: Mapping[str, Entries]) -> str:
    """Return a row for the teacher, for the n-grams, and for each recipe's quantized student, with
    what the latter's hops show; teacher and n-grams are those of the first recipe.
    """
    first = found["study_models"][0]["recipe"]
    scores = {(each["recipe"], each["model"]): each["f1"] for each in found["study_models"]}
    hops = {(hop["recipe"], hop["before"], hop["after"]): hop for hop in found["study_hops"]}
    rows = [
        [NAMES[model], score_text(scores[first, model]), "", ""] for model in (BASELINE, "teacher")
    ]
    for recipe in dict.fromkeys(each["recipe"] for each in found["study_models"]):
        steps = (hops[recipe, before, "quantized"] for before in ("teacher", BASELINE))
        told = [f"{hop['f1']['mean']:+.4f} {change_interval(hop['f1'])}" for hop in steps]
        rows.append([f"student, `{recipe}`", score_text(scores[recipe, "quantized"]), *told])
    return markdown_table(["model", "F1", "against its teacher", "against n-grams"], rows)


def score_text(score: Mapping[str, float]) -> str:
    """Return a mean with its interval."""
    return f"{score['mean']:.4f} [{score['low']:.4f}, {score['high']:.4f}]"


def shown_text(hop: Mapping[str, Any]) -> str:
    """Return what a hop shows, and in brackets what it would show if it stood alone, where that is
    more.
    """
    words = {**SHOWN, **AGAINST} if hop["before"] == BASELINE else SHOWN
    said, alone = words[hop["shown"]], words[hop["alone"]]
    return said if said == alone else f"{said} (alone: {alone})"


def study_parts(found: Entries) -> str:
    """Return a row for each F1 and each change of it: the standard deviation that domains and each
    kind of seed add to one run, and their shares of the variance.
    """
    names = ("domains", *LEVELS)
    rows = [
        [
            each["recipe"],
            " → ".join(NAMES[model] for model in each["of"]),
            *(part_text(name, each, sum((each[n] or 0) ** 2 for n in names)) for name in names),
        ]
        for each in found
    ]
    return markdown_table(["recipe", "F1 of", "domains", *(f"{n} seed" for n in LEVELS)], rows)


def part_text(name: str, parts: Mapping[str, Any], total: float) -> str:
    """Return a part's standard deviation and its share of all, `0 (below 0)` where the estimated
    variance was negative, `one only` where nothing varied.
    """
    if parts[name] is None:
        return "one only"
    if name in parts["negative"]:
        return "0 (below 0)"
    return f"{parts[name]:.4f} ({parts[name] ** 2 / total:.0%})" if total else "0.0000"


def study_test(found: Entries) -> str:
    """Return a row for each split: its test rows, their domains, and why no interval can be had of
    them, where none can.
    """
    rows = [
        [
            str(each["split_seed"]),
            *(f"{n:,}" for n in (each["safe"] + each["phishing"], each["phishing"])),
            f"{each['domains']['count']:,}",
            f"{each['domains']['largest_share']:.1%}",
            f"{each['domains']['equal']:,.0f}",
            each["no_interval"] or "",
        ]
        for each in found
    ]
    domains = ["domains", "rows in the largest", "equal domains"]
    head = ["split seed", "test rows", "phishing", *domains, "no interval"]
    return markdown_table(head, rows)


def hop_name(hop: Mapping[str, Any]) -> str:
    """Return both models of a hop."""
    return f"{NAMES[hop['before']]} → {NAMES[hop['after']]}"


def change_interval(ends: Mapping[str, float], way: str = "") -> str:
    """Return an interval of a change."""
    return f"[{ends[f'{way}low']:+.4f}, {ends[f'{way}high']:+.4f}]"


def p_text(p: float) -> str:
    """Return p in three digits."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
