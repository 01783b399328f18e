"""What a teacher is made of: a body, a body that stays as it is, a ready-made classifier; through
all stages.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.models import body, classifier, saved
from helpers.origins import (
    BASE,
    BERT,
    DISTILBERT,
    completed,
    config,
    file_project,
    nearest_layers,
    some_urls,
    weights,
)
from helpers.stage import warned
from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table
from minnow.evaluation.metrics import margins_of, predicted
from minnow.models import building, folders
from minnow.models.batching import encode
from minnow.models.heads import head_modules
from minnow.models.inference import predict_logits
from minnow.teacher import origin


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return file_project(tmp_path, some_urls(500, seed=1))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_a_frozen_body_leaves_pooler_and_head(kind: str) -> None:
    model = classifier(kind)
    origin.freeze_body(model)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    heads = {f"{name}.{part}" for name in head_modules(model) for part in ("weight", "bias")}
    pooler = {name for name, _ in model.named_parameters() if ".pooler." in name}
    assert trained == heads | pooler
    assert bool(pooler) == (kind == "bert")


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
    capsys: pytest.CaptureFixture[str],
) -> None:
    own_tokenizer = building.train_tokenizer(
        some_urls(500, seed=1)["address"].to_list(), vocabulary=290, max_length=64
    )
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
    base_model, taken = folders.load_model(base), folders.load_model(layout.model("teacher"))
    encoded = encode(folders.load_tokenizer(base), test["text"].to_list())
    theirs = predict_logits(base_model, encoded, device=torch.device("cpu"))
    ours = torch.tensor(read_logits(layout.logits_of("teacher", "test"), test["id"].to_list()))
    torch.testing.assert_close(ours, theirs.flip(1))
    their_names: Any = base_model.config.id2label
    called = [their_names[label] for label in theirs.argmax(1).tolist()]
    assert set(called) == {"phishing", "ok"}
    expected = ["phishing" if name == "phishing" else "safe" for name in called]
    our_names: Any = taken.config.id2label
    assert [our_names[label] for label in predicted(margins_of(ours.numpy())).tolist()] == expected
    assert pl.read_csv(layout.plot("teacher_training")).is_empty()

    warnings = warned(capsys.readouterr().err)
    assert len(warnings) == 1
    assert warnings[0].startswith(
        "minnow: warning: student.heads is 4 at width 64, and the source's heads have dimension"
        " 32, not 16"
    )
    student = config(layout, "student")
    assert (student["model_type"], student["n_layers"], student["n_heads"]) == ("distilbert", 4, 4)
    assert student["id2label"] == {"0": "safe", "1": "phishing"}
    assert nearest_layers(layout.model("student"), checkpoint) == [0, 1, 2, 3]
    vocabulary = folders.load_tokenizer(layout.model("student")).get_vocab()
    assert vocabulary == own_tokenizer.get_vocab() != tokenizer.get_vocab()
