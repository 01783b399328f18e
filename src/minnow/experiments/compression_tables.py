"""Runs of benchmarks/compression.py as tables: small students, their size and what it cost."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from minnow.experiments.run_tables import NAMES, f1_change, hop_cells, spread
from minnow.report.markdown import markdown_table

# The rows of README's table: models and runs of benchmarks/compression.py, in words for who sees
# them first.
HEADLINE = {
    "teacher": "teacher: MiniLM, 6 layers, fine-tuned",
    "forward_kl": "**student, 4 bits**",
    "forward_kl, 256 wide": "the same, 256 wide",
    "baseline": "character n-grams, logistic regression",
}


def sweep(found: Sequence[Mapping[str, Any]]) -> str:
    """Return best validation F1 per seed for each batch size and dropout rate, and the mean over
    seeds.
    """
    every = sorted({run["seed"] for run in found})
    best = {
        (run["batch_size"], run["dropout"], run["seed"]): max(run["validation_f1"]) for run in found
    }
    rows = []
    for batch, dropout in dict.fromkeys(key[:2] for key in best):
        scores = [best[batch, dropout, seed] for seed in every]
        rate = "the teacher's (0.1)" if dropout is None else str(dropout)
        rows.append(
            [str(batch), rate, *(f"{score:.4f}" for score in scores), f"{mean(scores):.4f}"]
        )
    return markdown_table(
        ["batch size", "dropout", *(f"seed {seed}" for seed in every), "mean"], rows
    )


def ladder(found: Sequence[Mapping[str, Any]]) -> str:
    """Return one row per way to quantize one student: bytes, both F1, and the hop from its
    teacher.
    """
    rows = []
    for each in found:
        f1, cells = each["estimates"]["f1"], hop_cells(each["hop"])
        size, test = (
            f"{each['bytes'] / 1e6:.2f}",
            f"{f1['value']:.4f} [{f1['low']:.4f}, {f1['high']:.4f}]",
        )
        rows.append(
            [each["name"], size, f"{each['validation_f1']:.4f}", test, *cells[:2], cells[-1]]
        )
    return markdown_table(
        ["student", "MB", "validation F1", "F1", "against teacher", "95 %", "verdict"], rows
    )


def screen(found: Mapping[str, Any]) -> str:
    """Return what validation says of each way to train a student, baseline and teacher first."""
    rows = [
        [NAMES[model], f"{found['references'][model]['validation_f1']:.4f}", ""]
        for model in ("baseline", "teacher")
    ]
    for run in found["runs"]:
        rows.append(
            [
                run["name"],
                *(f"{run[model]['validation_f1']:.4f}" for model in ("student", "quantized")),
            ]
        )
    return markdown_table(["validation F1", "student", "quantized"], rows)


def headline_table(found: Mapping[str, Any]) -> str:
    """Return README's table: MB, F1 on test, and its change against the teacher, of HEADLINE's
    models and runs.
    """
    references = found["references"]
    to_teacher = against(references["teacher"], "baseline")["f1"]
    change = {
        "difference": -to_teacher["difference"],
        "low": -to_teacher["high"],
        "high": -to_teacher["low"],
    }
    cells = {
        "teacher": [*brief(references["teacher"]), "", ""],
        "baseline": [*brief(references["baseline"]), " ".join(f1_change(change)), ""],
    }
    rows = []
    for name, title in HEADLINE.items():
        runs = [run["quantized"] for run in found["runs"] if run["name"] == name]
        rows.append(
            [f"{title} ({len(runs)} seeds)", *over_seeds(runs)] if runs else [title, *cells[name]]
        )
    return markdown_table(["", "MB", "F1", "change against the teacher", "non-inferior"], rows)


def brief(model: Mapping[str, Any]) -> list[str]:
    """Return a model's MB, and its F1 on test with its interval."""
    size, _, f1, _ = sized(model)
    return [size, f1]


def over_seeds(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return MB, F1 as mean ± standard deviation, the mean change against the teacher and its
    range, and verdicts.
    """
    hops = [against(each, "teacher") for each in models]
    changes = [hop["f1"]["difference"] for hop in hops]
    change = f"{mean(changes):+.4f} ({min(changes):+.4f} to {max(changes):+.4f})"
    kept = sum(hop["verdict"] in ("better", "non_inferior") for hop in hops)
    f1 = spread("f1", [each["estimates"]["f1"]["value"] for each in models])
    return [f"{models[0]['bytes'] / 1e6:.2f}", f1, change, f"{kept} of {len(hops)}"]


def against(model: Mapping[str, Any], before: str) -> Mapping[str, Any]:
    """Return a model's hop from another one."""
    found: Mapping[str, Any] = next(hop for hop in model["hops"] if hop["before"] == before)
    return found


def losses(found: Mapping[str, Any]) -> str:
    """Return mean ± standard deviation over the seeds of the quantized student, for each way to
    train it.
    """
    rows = [
        [NAMES[model], *scores([found["references"][model]])] for model in ("baseline", "teacher")
    ]
    for name in dict.fromkeys(run["name"] for run in found["runs"]):
        rows.append(
            [name, *scores([run["quantized"] for run in found["runs"] if run["name"] == name])]
        )
    return markdown_table(
        ["model", "seeds", "MB", "validation F1", "F1", "roc_auc", "F1, exact 1,000"], rows
    )


def scores(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table's cells for one model, or for one of several seeds."""
    tested = [[each["estimates"][key]["value"] for each in models] for key in ("f1", "roc_auc")]
    exact = [each["elsewhere"]["estimates"]["f1"]["value"] for each in models]
    columns = [[each["validation_f1"] for each in models], *tested, exact]
    return [
        str(len(models)),
        f"{models[0]['bytes'] / 1e6:.2f}",
        *(spread("f1", column) for column in columns),
    ]


def compressed(found: Mapping[str, Any]) -> str:
    """Return one row per run, with its seed where there are several: bytes, scores, hops from
    teacher and baseline.
    """
    rows = [
        [
            NAMES[model],
            *sized(found["references"][model]),
            "",
            "",
            "",
            exact(found["references"][model]),
        ]
        for model in ("baseline", "teacher")
    ]
    names = [run["name"] for run in found["runs"]]
    for run in found["runs"]:
        each = run[run["model"]]
        hops_by_origin = {hop["before"]: hop for hop in each["hops"]}
        against, rival = hop_cells(hops_by_origin["teacher"]), hops_by_origin.get("baseline")
        over = "" if rival is None else " ".join(hop_cells(rival)[:2])
        name = titled(run, several=names.count(run["name"]) > 1)
        rows.append([name, *sized(each), " ".join(against[:2]), against[-1], over, exact(each)])
    test = ["F1", "roc_auc", "against teacher", "verdict", "against n-grams", "F1, exact 1,000"]
    return markdown_table(["student", "MB", "validation F1", *test], rows)


def titled(run: Mapping[str, Any], *, several: bool) -> str:
    """Return a run's name, with its seed where there are several, and what came of a recovery that
    did not pay.
    """
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


def rivals(found: Mapping[str, Any]) -> str:
    """Return one row per data set and model of benchmarks/small_rivals.py: its form, bytes, and
    scores at probability 0.5 and at validation's best cut, each with its change against n-grams.
    """
    rows = [
        [data, each["name"], *rival_form(each), *rival_scores(each)]
        for data, results in found.items()
        for each in results["models"]
    ]
    shape = ["form", "MB at most", "MB"]
    even = ["validation F1", "F1", "against n-grams", "accuracy", "roc_auc"]
    at_cut = ["F1 at best cut", "against n-grams", "accuracy"]
    return markdown_table(["data", "model", *shape, *even, *at_cut], rows)


def rival_form(model: Mapping[str, Any]) -> list[str]:
    """Return how a rival looks inside, its budget and its MB; of the full baseline the last."""
    size = f"{model['bytes'] / 1e6:.2f}"
    if model["budget"] is None:
        return ["", "", size]
    settings = model["settings"]
    buckets = f"{settings['buckets']:,} buckets, {settings['stored_as']}"
    if "dimension" in settings:
        shape = "1 number each" if settings["multiplied"] else f"{settings['dimension']} wide"
        told = f"{buckets}, {shape}"
    else:
        low, high = settings["ngram_range"]
        told = f"{low} to {high}, {buckets}"
    return [told, f"{model['budget'] / 1e6:.2f}", size]


def rival_scores(model: Mapping[str, Any]) -> list[str]:
    """Return a rival's cells behind its bytes; of the baseline no change against itself."""
    cells = {
        key: f"{each['value']:.4f} [{each['low']:.4f}, {each['high']:.4f}]"
        for key, each in model["estimates"].items()
    }
    changes = {
        key: "" if model["budget"] is None else change_and_interval(each)
        for key, each in model["against_baseline"].items()
    }
    even = [cells["f1"], changes["f1"], cells["accuracy"], cells["roc_auc"]]
    at_cut = [cells["f1_at_best_cut"], changes["f1_at_best_cut"], cells["accuracy_at_best_cut"]]
    return [f"{model['validation_f1']:.4f}", *even, *at_cut]


def change_and_interval(change: Mapping[str, float]) -> str:
    """Return a change and its interval."""
    return " ".join(f1_change({**change, "difference": change["value"]}))
