"""Results in the shapes of metrics/*.json, and a project whose release can be packaged without
training anything.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_type_hints

import torch
from transformers import PreTrainedTokenizerBase

from helpers.stage import new_project
from minnow.core.files import write_json, write_manifest
from minnow.core.made import Made
from minnow.evaluation.comparison import mcnemar
from minnow.evaluation.records import Headline
from minnow.evaluation.results import DataReport, Evidence, from_json, write_evidence
from minnow.layout import JUDGED, Layout
from minnow.models import building, embeddings, folders, heads, schemes
from minnow.models.batching import encode
from minnow.models.params import BuildParams
from minnow.quantization.quantize import Recipe, quantize
from minnow.release.card import Results
from minnow.release.provenance import Base, Origin
from minnow.serve.settings import Settings

TEXTS = [
    "paypa1.com/login?user=1",
    "example.org",
    "a.b.c.example.net/path/to/page.html",
    "10.0.0.1/verify/account",
]
SETTINGS = Settings(("safe", "phishing"), 32, True, 1.25, 0.5, False)
QUANTIZATION = {"load_in_8bit": False, "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MADE = Made("forward_kl", 2.0, 0.5, "teacher", "keep", None, False)
BUILT = Origin(None, None, MADE, QUANTIZATION)
BERT_BASE = Base("google-bert/bert-base-uncased", COMMIT)
PRETRAINED = Origin(BERT_BASE, None, MADE, QUANTIZATION)


def estimated(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": round(value - half, 4), "high": round(value + half, 4)}


def model_estimates(f1: float) -> dict[str, Any]:
    names = ("accuracy", "f1", "roc_auc", "average_precision", "brier", "tpr", "fpr")
    found: dict[str, Any] = {name: estimated(f1) for name in names} | {"roc_auc": estimated(0.9432)}
    found["ece"] = estimated(0.0271) | {"measured": 0.0311, "null": 0.0102}
    found["effective_rows"] = 2148
    found["at_prevalence"] = [
        {
            "prevalence": share,
            "precision": estimated(share * 10, 0.0051),
            "f1": estimated(share * 12, 0.0051),
            "alarms_per_million": {"value": 78400.0, "low": 70000.0, "high": 90000.0},
        }
        for share in (0.02, 0.001)
    ]
    found["tpr_at_fpr_1pct"] = {
        "value": None,
        "reason": "validation has 45 safe rows; 1 % needs 100",
    }
    found["tpr_at_fpr_0_1pct"] = {"value": None, "reason": "never shown"}
    return found


def hop(before: str, after: str, **changes: Any) -> dict[str, Any]:
    found = {
        "before": before,
        "after": after,
        "f1": {"difference": 0.002, "low": -0.0041, "high": 0.0083},
        "roc_auc": {"difference": 0.001, "low": -0.002, "high": 0.004},
        "tpr_at_fpr_1pct": None,
        "agreement": 0.9798,
        "worse": 41,
        "better": 1050,
        "changed": 1091,
        "mcnemar_p": 0.402,
        "clustered_p": 0.503,
        "mean_abs_dp": 0.0123,
        "verdict": "non_inferior",
        "uncorrected": "non_inferior",
        "p": 0.001,
        "adjusted_p": 0.005,
        "rows_needed": None,
        "more_rows_show": None,
        "domains": [],
        "decisive": None,
    }
    return found | changes


def slice_(
    name: str, value: str, scores: Mapping[str, float], *, rows: int = 300, small: bool = False
) -> dict[str, Any]:
    change = round(scores["quantized"] - scores["teacher"], 4)
    p = round(mcnemar(12, 3), 4)
    pair = {"before": "teacher", "after": "quantized", "change": change, "worse": 12, "better": 3}
    pair |= {"mcnemar_p": p, "clustered_p": p, "adjusted_p": None if small else p}
    counts = {
        "rows": rows,
        "effective_rows": rows,
        "domains": None,
        "safe": rows // 2,
        "phishing": rows - rows // 2,
        "small": small,
        "measure": "f1",
    }
    return {
        "slice": name,
        "value": value,
        **counts,
        "models": dict(scores),
        "hops": [pair],
        "hurt": not small and change < 0 and p < 0.05,
    }


METRICS: dict[str, Any] = {
    "prepare": {
        "source": "synthetic",
        "split": "domain",
        "seed": 0,
        "rows_read": 30000,
        "dropped": {"empty": 0, "duplicate": 21, "both_labels": 4},
        "kept": {
            "train": {"safe": 10494, "phishing": 10490},
            "validation": {"safe": 750, "phishing": 250},
            "test": {"safe": 2182, "phishing": 2326},
        },
        "domains": {"train": 3, "validation": 2, "test": 1},
        "leak": 0.0123,
        "carved": ["test", "validation"],
        "test_file": None,
    },
    "intervals": {
        "confidence": 0.95,
        "resamples": 1000,
        "seed": 0,
        "rows": {
            "safe": 2182,
            "phishing": 2326,
            "no_interval": None,
            "domains": {"count": 2695, "largest": "a.example.org", "largest_share": 0.006}
            | {"equal": 1246.0},
        },
        "ece_bins": 15,
        "models": {name: model_estimates(0.9 + 0.01 * place) for place, name in enumerate(JUDGED)},
    },
    "hops": {
        "confidence": 0.95,
        "margin": 0.005,
        "rows": 4508,
        "hops": [
            hop("teacher", "student"),
            hop("student", "quantized"),
            hop("teacher", "quantized"),
            hop("baseline", "teacher"),
            hop(
                "baseline",
                "quantized",
                f1={"difference": 0.03, "low": 0.02, "high": 0.04},
                verdict="better",
                uncorrected="better",
            ),
        ],
    },
    "calibration": {
        "ece_bins": 15,
        "wanted_fpr": None,
        "models": {
            name: {
                "temperature": 1.25,
                **{
                    split: {
                        "before": {"ece": 0.0312, "ece_null": 0.0102, "brier": 0.07, "nll": 0.2},
                        "after": {"ece": 0.0127, "ece_null": 0.0098, "brier": 0.07, "nll": 0.2},
                    }
                    for split in ("validation", "test")
                },
                "decision": {
                    "threshold": 0.0,
                    "probability_before_temperature": 0.5,
                    "validation_fpr": 0.09,
                    "test_fpr": 0.0871,
                    "test_tpr": 0.9123,
                },
            }
            for name in JUDGED
        },
    },
    "slices": {
        "small_below": 100,
        "slices": [
            slice_("path", "with path", {"teacher": 0.95, "quantized": 0.94}),
            slice_("host", "IP address", {"teacher": 0.9, "quantized": 0.8}, rows=120),
            slice_("suffix", "co|m <b>`x`", {"teacher": 0.97, "quantized": 0.98}),
            slice_("punycode", "punycode", {"teacher": 0.9, "quantized": 0.1}, rows=9, small=True),
        ],
    },
    "extra": {},
    "teacher": {
        "f1": 0.91,
        "accuracy": 0.9099,
        "roc_auc": 0.9434,
        "size_mb": 4.4682,
        "parameters": 1084802,
    },
    "student": {
        "f1": 0.92,
        "accuracy": 0.9119,
        "roc_auc": 0.9452,
        "size_mb": 2.8774,
        "parameters": 688002,
    },
    "quantized": {
        "f1": 0.93,
        "accuracy": 0.9118,
        "roc_auc": 0.9451,
        "size_mb": 0.9412,
        "parameters": 688002,
    },
    "baseline": {"f1": 0.9, "accuracy": 0.9, "roc_auc": 0.94, "size_mb": 1.8, "parameters": 289117},
}
for _name in JUDGED:
    METRICS[_name] |= {"precision": 0.9, "recall": 0.9, "ece": 0.03, "validation_f1": 0.9}
    METRICS[_name]["tpr_at_fpr_1pct"] = None
    METRICS[_name]["compression_x"] = round(4.4682 / METRICS[_name]["size_mb"], 4)


def metrics(**changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of METRICS, its files updated by `changes`."""
    found = deepcopy(METRICS)
    for name, change in changes.items():
        found[name].update(change)
    return found


def whole_extra_set(short: Mapping[str, Any]) -> dict[str, Any]:
    """Return a further test set of which models' f1 and rows are given, with all that it needs."""
    kept, models = {"safe": 1, "phishing": 1}, short["models"].items()
    facts: dict[str, Any] = {
        "file": "data/raw/x.csv",
        "rows_read": 2,
        "kept": kept,
        "removed_seen": 0,
        "leak": 0.0,
    }
    names = ("accuracy", "roc_auc", "tpr", "fpr")
    scores = {
        model: {**dict.fromkeys(names, f1["f1"]), "effective_rows": 2, **f1} for model, f1 in models
    }
    facts["sample"] = {**kept, "domains": None, "no_interval": None}
    facts |= {"dropped": {}, "hops": [], "margin": 0.02, "thresholds": {}}
    return {**facts, **short, "models": scores}


def results(**changes: Mapping[str, Any]) -> Results:
    """Return METRICS with changes as the card takes them."""
    found = metrics(**changes)
    headline = {name: from_json(Headline, found.pop(name), name) for name in JUDGED}
    data = from_json(DataReport, found.pop("prepare"), "prepare")
    kinds = get_type_hints(Evidence)
    extra = {name: whole_extra_set(each) for name, each in found["extra"].items()}
    found |= {"sizes": {}, "controls": {}, "extra": extra}
    evidence = Evidence(**{name: from_json(kinds[name], found[name], name) for name in kinds})
    return Results(data, headline, evidence)


def with_hop(before: str, after: str, **changes: Any) -> dict[str, Any]:
    """Return `hops.json` with one hop changed."""
    hops = [
        hop(before, after, **changes)
        if (each["before"], each["after"]) == (before, after)
        else each
        for each in METRICS["hops"]["hops"]
    ]
    return {"hops": hops}


def packable(
    root: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams, *, packed: str | None = None
) -> Path:
    """Lay out a project with all that the stage `package` reads: tiny models that nobody trained,
    and METRICS.
    """
    layout = Layout(new_project(root))
    model = building.build(
        shape.model_copy(update={"architecture": "distilbert", "hidden_size": 128}), tokenizer
    )
    with torch.no_grad():
        heads.classification_layer(model).weight.normal_()
    for name in ("teacher", "student"):
        folders.save(model, tokenizer, layout.model(name), facts={"made": asdict(MADE)})
    scheme = schemes.FourBit("nf4", double_quantization=True)
    tables = None if packed is None else embeddings.SCHEMES[packed]
    quantize(
        layout.model("student"),
        layout.model("quantized"),
        Recipe(scheme, ["classifier", "pre_classifier"], tables),
        probe=encode(tokenizer, TEXTS),
        device=torch.device("cpu"),
    )
    write_evidence(layout, results().evidence)
    for name in ("prepare", *JUDGED):
        write_json(layout.metrics(name), METRICS[name])
    write_json(layout.unlabelled_report, {"rows": 0})
    layout.model("exported").mkdir()
    write_manifest(layout.model("exported"), {"mode": "none"})
    return root
