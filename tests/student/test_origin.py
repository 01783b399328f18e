"""What a student begins as: narrower layers, a checkpoint, or nothing; through all stages."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from helpers.models import body, saved
from helpers.origins import BASE, BERT, DISTILBERT, completed, config, file_project, some_urls
from helpers.stage import warned
from minnow.core.files import read_json
from minnow.models import folders

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


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return file_project(tmp_path, some_urls(500, seed=1))


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
    assert warned(capsys.readouterr().err) == []


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
    assert warned(capsys.readouterr().err) == []


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
