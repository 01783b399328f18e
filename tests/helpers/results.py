"""Made-up results in the shapes of metrics/*.json and metrics/plots/*.csv, as report and package
read them.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, get_type_hints

import polars as pl

from minnow.core.tables import write_table
from minnow.evaluation import comparison
from minnow.evaluation.comparison import mcnemar
from minnow.evaluation.plots import by_model
from minnow.evaluation.records import RIVALS, Headline
from minnow.evaluation.results import DataReport, Evidence, Sensitivity, from_json
from minnow.layout import JUDGED, Layout
from minnow.quantization.sensitivity import plot_table
from minnow.report.mistakes import Mistake
from minnow.report.page import Findings

HOPS = (
    ("teacher", "student"),
    ("student", "quantized"),
    ("teacher", "quantized"),
    ("baseline", "teacher"),
    ("baseline", "quantized"),
)
F1 = {"baseline": 0.9012, "teacher": 0.9243, "student": 0.9221, "quantized": 0.9204}


def record(kind: Any, value: Any) -> Any:
    """Return a record of results from what JSON holds."""
    return from_json(kind, value, "made up")


def estimate(value: float, half: float = 0.0081) -> dict[str, float]:
    return {"value": value, "low": round(value - half, 4), "high": round(min(1.0, value + half), 4)}


def estimates(f1: float) -> dict[str, Any]:
    rate = {"threshold": 2.3123, "validation_fpr": 0.0098, "test_fpr": estimate(0.0131, 0.0042)}
    return {
        "accuracy": estimate(f1 - 0.002),
        "f1": estimate(f1),
        "roc_auc": estimate(f1 + 0.03, 0.0052),
        "average_precision": estimate(f1 + 0.035, 0.0049),
        "brier": estimate(0.0812, 0.0031),
        "ece": {**estimate(0.0271, 0.0092), "measured": 0.0311, "null": 0.0102},
        "tpr": estimate(f1 - 0.01),
        "fpr": estimate(0.0831),
        "effective_rows": 2148,
        "at_prevalence": [
            {
                "prevalence": share,
                "precision": estimate(share * 8, 0.0011),
                "f1": estimate(share * 9, 0.0012),
                "alarms_per_million": {"value": 81438.0, "low": 73500.0, "high": 89376.0},
            }
            for share in (0.02, 0.001)
        ],
        "tpr_at_fpr_1pct": {**estimate(f1 - 0.15, 0.02), **rate},
        "tpr_at_fpr_0_1pct": {
            "value": None,
            "reason": "validation has 450 safe rows; a false-positive rate of 0.1 % needs 1000",
        },
    }


def main_estimates(f1: float) -> dict[str, Any]:
    """What is estimated of a model on rows other than the test split's."""
    names = ("accuracy", "f1", "roc_auc", "tpr", "fpr", "effective_rows")
    return {name: estimates(f1)[name] for name in names}


def hop(before: str, after: str, low: float, high: float, margin: float = 0.005) -> dict[str, Any]:
    """A hop whose verdict follows from its interval, as the contract says."""
    verdict = comparison.verdict(comparison.claims(low, high, 0.0 if before in RIVALS else margin))
    is_open = verdict in ("undecided", "worse_margin_open")
    middle = round((low + high) / 2, 4)
    return {
        "before": before,
        "after": after,
        "f1": {"difference": middle, "low": low, "high": high},
        "roc_auc": {"difference": middle, "low": low, "high": high},
        "tpr_at_fpr_1pct": None,
        "agreement": 0.9753,
        "worse": 41,
        "better": 50,
        "changed": 91,
        "mcnemar_p": 0.4021,
        "clustered_p": 0.5012,
        "mean_abs_dp": 0.0123,
        "verdict": verdict,
        "uncorrected": verdict,
        "p": 0.001 if not is_open else 0.0301,
        "adjusted_p": 0.004 if not is_open else 0.0602,
        "rows_needed": 20000 if is_open else None,
        "more_rows_show": "non_inferior" if is_open else None,
        "domains": [{"domain": "login.example.com", "worse": 9, "better": 1}],
        "decisive": None,
    }


def hops() -> dict[str, Any]:
    intervals = [
        (-0.0067, 0.0023),
        (-0.0041, 0.0011),
        (-0.0081, 0.0002),
        (0.0141, 0.0319),
        (0.0112, 0.0271),
    ]
    found = [hop(*names, *interval) for names, interval in zip(HOPS, intervals, strict=True)]
    return {"confidence": 0.95, "margin": 0.005, "rows": 4508, "hops": found}


def calibrated(temperature: float) -> dict[str, Any]:
    before, after = (
        {"ece": 0.0311, "ece_null": 0.0102, "brier": 0.0812, "nll": 0.2911},
        {"ece": 0.0122, "ece_null": 0.0098, "brier": 0.0791, "nll": 0.2703},
    )
    split = {"before": before, "after": after}
    decision = {"threshold": 0.0, "probability_before_temperature": 0.5}
    decision |= {"validation_fpr": 0.0812, "test_fpr": 0.0834, "test_tpr": 0.9212}
    return {
        "temperature": temperature,
        "validation": deepcopy(split),
        "test": split,
        "decision": decision,
    }


def one_slice(name: str, value: str, rows: int, measure: str = "f1") -> dict[str, Any]:
    changes = [
        {"before": before, "after": after, "change": change, "worse": 12, "better": 3}
        | {"mcnemar_p": round(mcnemar(12, 3), 4), "clustered_p": 0.0201}
        | {"adjusted_p": 0.0402 if rows >= 100 else None}
        for (before, after), change in zip(HOPS[:3], (-0.0102, 0.0, -0.0102), strict=True)
    ]
    safe = {"f1": rows // 3, "recall": 0, "specificity": rows}[measure]
    models = {model: round(f1 - rows % 7 / 100, 4) for model, f1 in F1.items()}
    return {
        "slice": name,
        "value": value,
        "rows": rows,
        "effective_rows": rows // 2,
        "domains": domains(rows // 3),
        "safe": safe,
        "phishing": rows - safe,
        "small": rows < 100,
        "measure": measure,
        "models": models,
        "hops": changes,
        "hurt": rows >= 100,
    }


def domains(count: int) -> dict[str, Any]:
    """How rows lie in their domains."""
    return {
        "count": count,
        "largest": "free.example.com",
        "largest_share": 0.0461,
        "equal": count / 2,
    }


def sample(safe: int, phishing: int, **changes: Any) -> dict[str, Any]:
    """The rows that models are judged on."""
    given = {"safe": safe, "phishing": phishing, "no_interval": None}
    return given | {"domains": domains(2695)} | changes


def slices() -> dict[str, Any]:
    found = [
        one_slice("length", "up to 25 characters", 1202),
        one_slice("length", "26 to 50 characters", 2101),
        one_slice("length", "over 50 characters", 1205),
        one_slice("path", "with path", 3000),
        one_slice("path", "without path", 1508),
        one_slice("host", "IP address", 61, "recall"),
        one_slice("top-level domain", "com", 2033),
        one_slice("top-level domain", "tk", 44, "recall"),
        one_slice("top-level domain", "gov", 120, "specificity"),
    ]
    return {"small_below": 100, "slices": found}


def curve(x: str, y: str, power: float, *, falling: bool = False) -> pl.DataFrame:
    xs = [step / 40 for step in range(41)]
    ys = [round(1 - value**power / 2 if falling else value**power, 4) for value in xs]
    return pl.DataFrame({x: xs, y: ys})


def plots() -> dict[str, pl.DataFrame]:
    tables: dict[str, pl.DataFrame] = {}
    pairs = [("safe", "safe")] * 90 + [("safe", "phishing")] * 9 + [("phishing", "safe")] * 7
    pairs += [("phishing", "phishing")] * 1194
    observed = [round(step / 15, 4) for step in range(15)]
    reliability = {
        "probability": [round(value**1.3, 4) for value in observed],
        "observed": observed,
        "rows": [300] * 15,
    }
    counts = pl.DataFrame(pairs, schema=["actual", "predicted"], orient="row")
    numbers = dict(zip(JUDGED, range(len(JUDGED)), strict=True))
    tables["roc"] = by_model(numbers, lambda number: curve("fpr", "tpr", 0.12 - number / 100))
    tables["pr"] = by_model(
        numbers, lambda number: curve("recall", "precision", 12 + number, falling=True)
    )
    tables["calibration"] = by_model(numbers, lambda _: pl.DataFrame(reliability))
    tables["confusion"] = by_model(numbers, lambda _: counts)
    dp = [round(-1 + 2 * (step + 0.5) / 41, 4) for step in range(41)]
    share = [max(0.0, 0.5 - abs(x)) / 5 for x in dp]
    tables["shift"] = pl.concat(
        pl.DataFrame({"before": before, "after": after, "dp": dp, "share": share})
        for before, after in HOPS[:3]
    )
    for model in ("teacher", "student", "recovery"):
        tables[f"{model}_training"] = pl.DataFrame(
            {"epoch": [1, 2, 3], "loss": [0.41, 0.22, 0.15], "validation_f1": [0.88, 0.91, 0.92]}
        )
    sizes_table = [
        {"model": model, "part": part, "mb": size / 1e6}
        for model, found in sizes().items()
        for part, size in found.items()
        if part != "total"
    ]
    tables["sizes"] = pl.DataFrame(sizes_table)
    tables["sensitivity"] = plot_table(sensitivity())
    tables["slices"] = pl.DataFrame(
        [
            {"slice": f"{one['slice']}: {one['value']}", "model": model, "score": score}
            for one in slices()["slices"]
            for model, score in one["models"].items()
        ]
    )
    return tables


def write_plots(layout: Layout, tables: Mapping[str, pl.DataFrame]) -> None:
    """Write each table where its stage does."""
    for name, table_of in tables.items():
        own = name == "sensitivity" or name.endswith("_training")
        write_table(layout.plot(name) if own else layout.evaluation_plot(name), table_of)


def sizes() -> dict[str, dict[str, int]]:
    return {
        "baseline": {"weights": 812000, "vocabulary": 1204000, "total": 2016000},
        "teacher": {
            "embeddings": 1099776,
            "body": 3238400,
            "head": 1032,
            "vocabulary": 120000,
            "other": 8989,
            "total": 4468197,
        },
        "student": {
            "embeddings": 1098752,
            "body": 1586176,
            "head": 67080,
            "vocabulary": 120000,
            "other": 5384,
            "total": 2877392,
        },
        "quantized": {
            "embeddings": 549376,
            "body": 224601,
            "head": 33540,
            "vocabulary": 70000,
            "other": 63512,
            "total": 941029,
        },
    }


def one_part(name: str, kind: str, weights: int, four: float | None) -> dict[str, Any]:
    formats = {"4": ("nf4", four, 0.53), "8": ("int8", 3.21e-6, 1.01), "16": ("bfloat16", 0.0, 2.0)}
    in_bits = {
        bits: {
            "format": form,
            "bytes": round(weights * size),
            "kl": kl,
            "mean_abs_dp": 0.0012,
            "flips": 3 if bits == "4" else 0,
            "validation_f1_change": 0.0,
        }
        for bits, (form, kl, size) in formats.items()
        if kl is not None
    }
    return {"name": name, "kind": kind, "weights": weights, "in_bits": in_bits}


def sensitivity() -> dict[str, Any]:
    parts = [
        one_part("bert.embeddings.word_embeddings", "embedding", 262144, 0.00112),
        one_part("bert.encoder.layer.0.output.dense", "linear", 65536, 0.00234),
        one_part("bert.encoder.layer.1.output.dense", "linear", 65536, 1.2e-5),
        one_part("bert.pooler.dense", "linear", 1600, None),
    ]
    return {"rows": 1000, "validation_f1": 0.9231, "parts": parts}


FORMATS = {
    "bert.embeddings.word_embeddings": "bfloat16",
    "bert.encoder.layer.0.output.dense": "nf4",
}
FORMATS |= {"bert.encoder.layer.1.output.dense": "nf4", "classifier": "bfloat16"}


def headline(model: str) -> dict[str, Any]:
    size = sizes()[model]["total"]
    f1 = F1[model]
    return {
        "accuracy": f1 - 0.002,
        "precision": f1,
        "recall": f1,
        "f1": f1,
        "roc_auc": f1 + 0.03,
        "tpr_at_fpr_1pct": f1 - 0.15,
        "ece": 0.0311,
        "validation_f1": f1 + 0.002,
        "size_mb": round(size / 1e6, 4),
        "parameters": size // 4,
        "compression_x": round(4468197 / size, 4),
    }


def prepare(source: str = "synthetic") -> dict[str, Any]:
    split = {"safe": 2182, "phishing": 2326}
    return {
        "source": source,
        "split": "domain",
        "seed": 0,
        "rows_read": 30000,
        "test_file": None,
        "carved": ["test", "validation"],
        "cleaned": {"control_characters": 0, "html_escapes": 12, "scheme_moved": 25535},
        "dropped": {"both_labels": 4, "duplicate": 21, "empty": 0},
        "kept": {"train": {"safe": 10494, "phishing": 10490}, "validation": split, "test": split},
        "domains": {"train": 12381, "validation": 2652, "test": 2695},
        "leak": 0.0,
    }


def mistakes(texts: list[str]) -> list[Mistake]:
    return [
        Mistake(
            text,
            {
                "teacher": 0.02 + rank / 100,
                "student": 0.01 + rank / 100,
                "quantized": 0.003 + rank / 100,
            },
        )
        for rank, text in enumerate(texts)
    ]


def extra() -> dict[str, Any]:
    return {
        "next_year": {
            "file": "data/raw/embedded/next.csv",
            "rows_read": 1200,
            "kept": {"safe": 600, "phishing": 540},
            "removed_seen": 41,
            "dropped": {"duplicate": 19},
            "leak": 0.1211,
            "rows": 1140,
            "sample": sample(600, 540),
            "models": {
                model: main_estimates(f1 - 0.1) | {"fpr": estimate(0.3812, 0.02)}
                for model, f1 in F1.items()
            },
            "hops": [hop(*names, -0.024, 0.004, margin=0.02) for names in HOPS],
            "margin": 0.02,
            "thresholds": {model: transfers() for model in F1},
        }
    }


def transfers() -> dict[str, Any]:
    """What a model's thresholds do on a further test set."""
    test = {"decision": estimate(0.0831), "tpr_at_fpr_1pct": estimate(0.0131, 0.0042)}
    here = {"decision": estimate(0.3812, 0.02), "tpr_at_fpr_1pct": estimate(0.1201, 0.015)}
    wanted = {"decision": None, "tpr_at_fpr_1pct": 0.01}
    return {
        name: {"wanted": wanted[name], "test_fpr": test[name], "fpr": here[name], "exceeds": True}
        for name in wanted
    }


def intervals() -> dict[str, Any]:
    return {
        "confidence": 0.95,
        "resamples": 1000,
        "seed": 0,
        "rows": sample(2182, 2326),
        "ece_bins": 15,
        "models": {model: estimates(f1) for model, f1 in F1.items()},
    }


def calibration() -> dict[str, Any]:
    models = {model: calibrated(1.31 + number / 10) for number, model in enumerate(JUDGED)}
    return {"ece_bins": 15, "wanted_fpr": None, "models": models}


def controls() -> dict[str, Any]:
    pair = {"difference": 0.01, "low": -0.01, "high": 0.03}
    return {
        "no_teacher": {
            "facts": {"control": "no_teacher"},
            "against_pipeline": {"student": {"f1": pair, "roc_auc": pair}},
            "rows": 100,
            "sample": sample(50, 50),
            "models": dict.fromkeys(("no_teacher", "student"), main_estimates(0.9)),
            "hops": [hop("no_teacher", "student", 0.001, 0.01)],
        }
    }


def evidence() -> Evidence:
    """All of metrics/evidence, further sets and controls too."""
    return findings(extra=extra(), controls=controls()).evidence


def findings(**changes: Any) -> Findings:
    """Everything that the page shows; `changes` replaces fields."""
    given: dict[str, Any] = {
        "preset": "embedded",
        "prepare": prepare(),
        "headline": {model: headline(model) for model in JUDGED},
        "intervals": intervals(),
        "hops": hops(),
        "calibration": calibration(),
        "slices": slices(),
        "extra": {},
        "controls": {},
        "sizes": sizes(),
        "sensitivity": sensitivity(),
        "formats": FORMATS,
        "plots": plots(),
        "missed": mistakes(["paypa1-login.example.com/verify?id=1", "10.0.0.1/bank"]),
        "alarms": mistakes(["www.example.org/login/reset"]),
        "params": {
            "evaluate": {"margin": 0.005, "extra": {}},
            "distill": {"temperature": 2.0, "soft_weight": 0.5},
        },
        "versions": {"python": "3.11", "torch": "2.13.0"},
    }
    raw = given | changes
    kinds = get_type_hints(Evidence)
    return Findings(
        data=record(DataReport, raw.pop("prepare")),
        headline={model: record(Headline, flat) for model, flat in raw.pop("headline").items()},
        evidence=Evidence(**{name: record(kinds[name], raw.pop(name)) for name in kinds}),
        sensitivity=record(Sensitivity, raw.pop("sensitivity")),
        **raw,
    )


def with_exported() -> dict[str, Any]:
    """Return the changes of `findings` that make an exported model like the quantized one."""
    changed: dict[str, Any] = {
        "headline": {model: headline(model) for model in JUDGED},
        "intervals": intervals(),
        "calibration": calibration(),
        "sizes": sizes(),
        "slices": slices(),
    }
    by_name = [changed[name]["models"] for name in ("intervals", "calibration")]
    by_name += [changed["headline"], changed["sizes"]]
    for models in [*by_name, *(one["models"] for one in changed["slices"]["slices"])]:
        models["exported"] = deepcopy(models["quantized"])
    found = hops()
    more = [hop(before, "exported", -0.001, 0.001) for before in ("quantized", "teacher")]
    return {**changed, "hops": {**found, "hops": [*found["hops"], *more]}, "plots": both(plots())}


def both(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return the tables of plots with the quantized model's rows once more, as the exported one's,
    and the hops to it.
    """
    found = {}
    for name, table_of in tables.items():
        parts = [table_of]
        if "model" in table_of.columns:
            rows = table_of.filter(pl.col("model") == "quantized")
            parts.append(rows.with_columns(model=pl.lit("exported")))
        if name == "shift":
            rows = table_of.filter(pl.col("before") == "teacher", pl.col("after") == "quantized")
            parts += [
                rows.with_columns(before=pl.lit(before), after=pl.lit("exported"))
                for before in ("quantized", "teacher")
            ]
        found[name] = pl.concat(parts)
    return found
