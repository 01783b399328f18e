"""Every origin of data, teacher and student, through all stages to the end: tiny local bases, a
small file of URLs.
"""

import gzip
import importlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import load_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from helpers.models import body, classifier, saved
from helpers.stage import COMMANDS, edit, new_project
from minnow.core.files import check_manifest, read_json
from minnow.core.tables import read_logits, read_table
from minnow.data import synthetic
from minnow.evaluation.metrics import margins_of, predicted
from minnow.layout import MODELS, SPLITS, Layout
from minnow.models import building, folders
from minnow.models.batching import encode
from minnow.models.inference import predict_logits
from minnow.stages import prepare

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
}
PARAMS = {
    "data.path": "data/raw/file/urls.csv",
    "data.text_column": "address",
    "data.label_column": "verdict",
    "data.positive_label": "phishing",
    "runtime": {"device": "cpu", "precision": "float32", "threads": 1},
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
BUILD = {
    "architecture": "distilbert",
    "layers": 1,
    "heads": 2,
    "hidden_size": 64,
    "intermediate_size": 64,
    "dropout": 0.1,
}
SCRATCH = {
    "student.init": "scratch",
    "student.layers": None,
    "student.dropout": None,
    "student.build": BUILD,
}


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


@pytest.fixture
def urls() -> pl.DataFrame:
    return some_urls(500, seed=1)


@pytest.fixture
def root(tmp_path: Path, urls: pl.DataFrame) -> Path:
    """A project of preset `file` with a CSV of URLs and no bases yet."""
    new_project(tmp_path, "file")
    edit(tmp_path, PARAMS, "file")
    write(urls, tmp_path / "data" / "raw" / "file" / "urls.csv")
    return tmp_path


@pytest.fixture
def own_tokenizer(urls: pl.DataFrame) -> PreTrainedTokenizerBase:
    """Another tokenizer than that of the other bases."""
    return building.train_tokenizer(urls["address"].to_list(), vocabulary=290, max_length=64)


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
    found = [(name, weight) for name, weight in weights(folder).items() if name.endswith(ends)]
    return [weight for _, weight in sorted(found)]


def nearest_layers(folder: Path, source: Path) -> list[int]:
    """Return for every layer the source's layer that its weights lie nearest to: a short training
    moves them little.
    """
    return [
        int(torch.stack([(layer - other).norm() for other in inner(source)]).argmin().item())
        for layer in inner(folder)
    ]


# --- Teachers and students ------------------------------------------------------------------------


def test_a_body_is_fine_tuned_and_its_layers_copied(
    root: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    base = saved(body(layers=4, **BERT), tokenizer, root / BASE / "body")
    layout = completed(
        root, teacher__base=f"{BASE}body", student__architecture=None, student__layers=2
    )
    before, after = weights(base), weights(layout.model("teacher"))
    assert set(after) == {f"bert.{name}" for name in before} | {
        "classifier.weight",
        "classifier.bias",
    }
    # The keys' biases cancel in the softmax, and segment 1 never occurs: neither needs to move.
    moved = {
        name for name, weight in before.items() if not torch.equal(weight, after[f"bert.{name}"])
    }
    assert {name for name in before if name.endswith("weight")} <= moved
    assert read_json(layout.manifest("teacher"))["base"] == f"{BASE}body"
    assert read_table(layout.split("train")).height > 200
    assert config(layout, "student")["model_type"] == "bert"
    assert nearest_layers(layout.model("student"), layout.model("teacher")) == [0, 3]
    assert (
        len(pl.read_csv(layout.plot("teacher_training")))
        == len(pl.read_csv(layout.plot("student_training")))
        == 1
    )


def test_a_frozen_body_stays_and_the_student_is_a_distilbert(
    root: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    base = saved(classifier(layers=2, **BERT), tokenizer, root / BASE / "classifier")
    layout = completed(
        root,
        teacher__base=f"{BASE}classifier",
        teacher__method="head",
        student__architecture="distilbert",
        student__layers=1,
    )
    before, after = weights(base), weights(layout.model("teacher"))
    assert set(before) == set(after)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {
        f"{part}.{kind}"
        for part in ("bert.pooler.dense", "classifier")
        for kind in ("weight", "bias")
    }
    assert config(layout, "student")["model_type"] == "distilbert"
    assert nearest_layers(layout.model("student"), layout.model("teacher")) == [1]


def test_a_ready_made_classifier_teaches_a_cut_checkpoint(
    root: Path,
    tokenizer: PreTrainedTokenizerBase,
    own_tokenizer: PreTrainedTokenizerBase,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names: dict[str, Any] = {
        "id2label": {0: "phishing", 1: "ok"},
        "label2id": {"phishing": 0, "ok": 1},
    }
    base = saved(classifier(layers=6, **BERT, **names), tokenizer, root / BASE / "ready")
    checkpoint = saved(
        body("distilbert", layers=6, **DISTILBERT), own_tokenizer, root / BASE / "checkpoint"
    )
    layout = completed(
        root,
        teacher__base=f"{BASE}ready",
        teacher__method="none",
        student__init="checkpoint",
        student__base=f"{BASE}checkpoint",
        student__layers=4,
        student__heads=4,
        student__copy_layers=[0, 1, 2, 3],
    )
    test = read_table(layout.split("test"))
    given, taken = folders.load_model(base), folders.load_model(layout.model("teacher"))
    encoded = encode(folders.load_tokenizer(base), test["text"].to_list())
    theirs = predict_logits(given, encoded, device=torch.device("cpu"))
    ours = torch.tensor(read_logits(layout.logits_of("teacher", "test"), test["id"].to_list()))
    torch.testing.assert_close(ours, theirs.flip(1))
    their_names: Any = given.config.id2label
    called = [their_names[label] for label in theirs.argmax(1).tolist()]
    assert set(called) == {"phishing", "ok"}
    wanted = ["phishing" if name == "phishing" else "safe" for name in called]
    our_names: Any = taken.config.id2label
    assert [our_names[label] for label in predicted(margins_of(ours.numpy())).tolist()] == wanted
    assert pl.read_csv(layout.plot("teacher_training")).is_empty()

    warnings = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("minnow: warning: ")
    ]
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "minnow: warning: student.heads is 4 and the copied layers were trained with 2"
    )
    student = config(layout, "student")
    assert (student["model_type"], student["n_layers"], student["n_heads"]) == ("distilbert", 4, 4)
    assert student["id2label"] == {"0": "safe", "1": "phishing"}
    assert nearest_layers(layout.model("student"), checkpoint) == [0, 1, 2, 3]
    vocabulary = folders.load_tokenizer(layout.model("student")).get_vocab()
    assert vocabulary == own_tokenizer.get_vocab() != tokenizer.get_vocab()


def test_a_narrower_student_of_another_architecture_with_its_own_vocabulary(
    root: Path, tokenizer: PreTrainedTokenizerBase, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(
        body(layers=3, hidden_size=128, num_attention_heads=4, **BERT),
        tokenizer,
        root / BASE / "body",
    )
    layout = completed(
        root,
        teacher__base=f"{BASE}body",
        student__architecture="distilbert",
        student__layers=2,
        student__hidden_size=64,
        student__intermediate_size=64,
        student__narrowing="projection",
        student__vocabulary={"method": "trim", "min_count": 1, "size": None},
    )
    student = config(layout, "student")
    assert [student[name] for name in ("dim", "n_heads", "hidden_dim", "n_layers")] == [
        64,
        2,
        64,
        2,
    ]
    assert student["vocab_size"] < config(layout, "teacher")["vocab_size"]
    assert "warning" not in capsys.readouterr().err


def test_a_checkpoint_becomes_narrower(
    root: Path, tokenizer: PreTrainedTokenizerBase, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(body(layers=2, **BERT), tokenizer, root / BASE / "body")
    saved(
        body("distilbert", layers=3, dim=96, n_heads=3, **DISTILBERT),
        tokenizer,
        root / BASE / "checkpoint",
    )
    layout = completed(
        root,
        teacher__base=f"{BASE}body",
        student__init="checkpoint",
        student__base=f"{BASE}checkpoint",
        student__layers=1,
        student__hidden_size=64,
        student__heads=2,
        student__narrowing="importance",
    )
    student = config(layout, "student")
    assert [student[name] for name in ("dim", "n_heads", "hidden_dim", "n_layers")] == [
        64,
        2,
        128,
        1,
    ]
    assert "warning" not in capsys.readouterr().err


def test_a_student_from_scratch(root: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    saved(body("distilbert", layers=2, **DISTILBERT), tokenizer, root / BASE / "body")
    layout = completed(root, teacher__base=f"{BASE}body", **SCRATCH)
    student = config(layout, "student")
    assert (student["model_type"], student["n_layers"], student["hidden_dim"]) == (
        "distilbert",
        1,
        64,
    )
    assert folders.load_tokenizer(layout.model("student")).get_vocab() == tokenizer.get_vocab()
    assert "base" not in read_json(layout.manifest("student"))


# --- Data -----------------------------------------------------------------------------------------


def test_a_published_split_is_kept(
    root: Path, urls: pl.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> None:
    published = [
        "test" if row % 5 == 0 else "Val" if row % 5 == 1 else "train" for row in range(len(urls))
    ]
    write(
        urls.with_columns(pl.Series("part", published)), root / "data" / "raw" / "file" / "urls.csv"
    )
    saved(body(layers=2, **BERT), tokenizer, root / BASE / "body")
    layout = completed(
        root,
        data__split_column="part",
        data__move_scheme=False,
        teacher__base=f"{BASE}body",
        student__layers=1,
    )
    names = {"test": "test", "Val": "validation", "train": "train"}
    places = {text: names[name] for text, name in zip(urls["address"], published, strict=True)}
    report = read_json(layout.metrics("prepare"))
    assert report["carved"] == []
    for split in SPLITS:
        assert {places[text] for text in read_table(layout.split(split))["text"]} == {split}
    kept = sum(sum(counts.values()) for counts in report["kept"].values())
    assert kept + sum(report["dropped"].values()) == report["rows_read"] == len(urls)


def test_a_test_file_is_taken_whole(
    root: Path, urls: pl.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> None:
    shared = urls.head(7)
    tests = pl.concat([shared, some_urls(80, seed=2), shared.head(2)])
    write(tests, root / "data" / "raw" / "file" / "test.csv")
    saved(body(layers=2, **BERT), tokenizer, root / BASE / "body")
    layout = completed(
        root,
        data__test_path="data/raw/file/test.csv",
        data__move_scheme=False,
        teacher__base=f"{BASE}body",
        student__layers=1,
    )
    prepared = {name: read_table(layout.split(name)) for name in SPLITS}
    labels = [int(verdict == "phishing") for verdict in tests["verdict"]]
    expected = sorted(zip(tests["address"], labels, strict=True))
    assert sorted(prepared["test"].select("text", "label").rows()) == expected
    assert prepared["test"]["id"].n_unique() == len(tests)
    for split in ("train", "validation"):
        assert not set(prepared[split]["text"]) & set(tests["address"])
    report = read_json(layout.metrics("prepare"))
    assert report["dropped"]["in_test_file"] == len(shared)
    assert (report["test_file"]["rows_read"], report["test_file"]["duplicates_kept"]) == (
        len(tests),
        2,
    )
    assert report["carved"] == ["validation"]


@pytest.mark.parametrize("name", ["urls.csv.gz", "urls.jsonl", "urls.parquet"])
def test_every_format_gives_the_same_tables(root: Path, urls: pl.DataFrame, name: str) -> None:
    layout = Layout(root)
    prepare.main(root)
    expected = {split: read_table(layout.split(split)) for split in SPLITS}
    report = read_json(layout.metrics("prepare"))
    (root / "data" / "raw" / "file" / "urls.csv").unlink()
    write(urls, root / "data" / "raw" / "file" / name)
    edit(root, {"data.path": f"data/raw/file/{name}"}, "file")
    prepare.main(root)
    for split in SPLITS:
        assert_frame_equal(read_table(layout.split(split)), expected[split])
    assert read_json(layout.metrics("prepare")) == report
