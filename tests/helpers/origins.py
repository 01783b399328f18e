"""A project with a file of URLs and tiny bases, run through all stages, and what must then hold."""

import gzip
import importlib
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import load_file
from torch import Tensor

from helpers.stage import COMMANDS, edit, new_project
from minnow.core.files import check_manifest, read_json
from minnow.core.tables import read_table
from minnow.data import synthetic
from minnow.layout import MODELS, SPLITS, Layout

HEADLINE = {
    "accuracy",
    "precision",
    "recall",
    "f1",
    "roc_auc",
    "validation_f1",
    "parameters",
    "size_mb",
}
HEADLINE |= {"compression_x", "tpr_at_fpr_1pct", "ece"}
TRAINING = {
    "epochs": 1,
    "batch_size": 32,
    "learning_rate": 1.0e-3,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "class_weight": None,
    "label_smoothing": 0.0,
    "accumulate": 1,
    "patience": None,
}
PARAMS = {
    "data.path": "data/raw/file/urls.csv",
    "data.text_column": "address",
    "data.label_column": "verdict",
    "data.positive_label": "phishing",
    "runtime": {"device": "cpu", "precision": "float32", "threads": 1, "kernels": "native"},
    "teacher.revision": None,
    "teacher.max_length": 32,
    "teacher.training": TRAINING,
    "student.max_length": 32,
    "student.training": TRAINING,
}
BASE = "data/base/file/"
# Inner widths that 4 bits take: multiples of 64.
BERT: dict[str, Any] = {"intermediate_size": 128}
DISTILBERT: dict[str, Any] = {"hidden_dim": 128}


def file_project(root: Path, urls: pl.DataFrame) -> Path:
    """Lay out a project of preset `file` with a CSV of URLs and no bases yet."""
    new_project(root, "file")
    edit(root, PARAMS, "file")
    write(urls, root / "data" / "raw" / "file" / "urls.csv")
    return root


def some_urls(rows: int, seed: int) -> pl.DataFrame:
    """Return distinct URLs with a column that nobody asks for."""
    texts, labels = synthetic.generate(rows, seed=seed)
    verdicts = [("ok", "phishing")[label] for label in labels]
    table = pl.DataFrame({"address": texts, "verdict": verdicts}).unique(
        "address", maintain_order=True
    )
    return table.with_row_index("number")


def write(table: pl.DataFrame, path: Path) -> None:
    """Write a table in the format that the name says."""
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".jsonl":
        table.write_ndjson(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(table.write_csv().encode()))
    else:
        table.write_csv(path)


def completed(root: Path, **changes: Any) -> Layout:
    """Run all stages in the order of the pipeline, `__` for the dots of params, and check what
    holds in every case.
    """
    edit(root, {name.replace("__", "."): value for name, value in changes.items()}, "file")
    for command in COMMANDS:
        name, *arguments = command.split()
        importlib.import_module(f"minnow.stages.{name}").main(root, *arguments)
    layout = Layout(root)
    metrics = {model: read_json(layout.metrics(model)) for model in MODELS}
    assert [set(values) for values in metrics.values()] == [HEADLINE] * 3
    assert read_json(layout.metrics("candidate")) == metrics["student"]
    student, quantized = (config(layout, name) for name in ("student", "quantized"))
    positions = student["max_position_embeddings"] - quantized["max_position_embeddings"]
    assert quantized["max_position_embeddings"] <= tokenizer_limit(layout), (
        "those that no text reaches are cut"
    )
    cut = positions * student.get("hidden_size", student.get("dim"))
    counted = [metrics[name]["parameters"] for name in ("quantized", "student", "teacher")]
    assert counted[0] + cut == counted[1] < counted[2]
    assert (
        metrics["quantized"]["size_mb"]
        < metrics["student"]["size_mb"]
        < metrics["teacher"]["size_mb"]
    )
    assert 1 == metrics["teacher"]["compression_x"] < metrics["student"]["compression_x"]
    for model in MODELS:
        check_manifest(layout.model(model))
        for split in SPLITS if model == "teacher" else SPLITS[1:]:
            stored, table = (
                read_table(layout.logits_of(model, split)),
                read_table(layout.split(split)),
            )
            assert stored["id"].to_list() == table["id"].to_list()
    assert config(layout, "quantized")["quantization_config"]["load_in_4bit"] is True
    packed = {
        name
        for name, weight in weights(layout.model("quantized")).items()
        if weight.dtype == torch.uint8
    }
    assert any(
        name.endswith("ffn.lin1.weight") or name.endswith("intermediate.dense.weight")
        for name in packed
    )
    assert not list(layout.checkpoints.glob("*"))
    return layout


def tokenizer_limit(layout: Layout) -> int:
    """Return the tokens that the student's tokenizer cuts a text at."""
    return int(read_json(layout.model("student") / "tokenizer_config.json")["model_max_length"])


def config(layout: Layout, model: str) -> dict[str, Any]:
    """Return a model's config as it was saved."""
    content: dict[str, Any] = read_json(layout.model(model) / "config.json")
    return content


def weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a model's folder."""
    return load_file(folder / "model.safetensors")


def inner(folder: Path) -> list[Tensor]:
    """Return the first feed-forward matrix of every layer."""
    ends = ("intermediate.dense.weight", "ffn.lin1.weight")
    named = [(name, weight) for name, weight in weights(folder).items() if name.endswith(ends)]
    return [weight for _, weight in sorted(named)]


def nearest_layers(folder: Path, source: Path) -> list[int]:
    """Return for every layer the source's layer that its weights lie nearest to: a short training
    moves them little.
    """
    return [
        int(torch.stack([(layer - other).norm() for other in inner(source)]).argmin().item())
        for layer in inner(folder)
    ]
