"""What distill and quantize will refuse is refused before the teacher trains."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.errors import one_line
from helpers.models import body, classifier, saved
from helpers.origins import BASE, BERT, file_project, some_urls
from helpers.stage import edit, refused
from minnow.errors import MinnowError
from minnow.tools import shape_check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return file_project(tmp_path, some_urls(20, seed=1))


@pytest.mark.parametrize(
    ("kind", "shape", "student", "said"),
    [
        ("bert", BERT, {}, None),
        ("bert", BERT, {"architecture": "distilbert"}, None),
        ("llama", BERT, {}, None),
        ("bert", {}, {}, "96 inputs and 64 outputs, and 4 bits need multiples"),
        ("gpt2", {}, {}, "has no linear layers that could be quantized"),
        ("albert", {"embedding_size": 32}, {}, "share their weights or stand in groups"),
        ("bert", BERT, {"layers": 3}, "student.layers is 3, but its source has only 2"),
        ("roberta", BERT, {"architecture": "distilbert"}, "takes a BERT, not a 'roberta'"),
    ],
)
def test_a_student_is_asked_before_its_teacher_trains(
    root: Path,
    tokenizer: PreTrainedTokenizerBase,
    kind: str,
    shape: dict[str, Any],
    student: dict[str, Any],
    said: str | None,
) -> None:
    saved(body(kind, **shape), tokenizer, root / BASE / "base")
    wanted = {"layers": 1, "architecture": None, **student}
    edit(root, {f"student.{name}": value for name, value in wanted.items()}, "file")
    edit(root, {"teacher.base": f"{BASE}base"}, "file")
    before = torch.get_rng_state()
    if said is None:
        shape_check.main(root)
    else:
        with pytest.raises(MinnowError, match=said) as caught:
            shape_check.main(root)
        one_line(caught)
    assert torch.equal(torch.get_rng_state(), before), "the stage draws the same weights after it"


def test_the_stage_teacher_asks(
    root: Path,
    tokenizer: PreTrainedTokenizerBase,
    run: Callable[[Path, str], tuple[int, str]],
) -> None:
    saved(body("gpt2"), tokenizer, root / BASE / "base")
    edit(root, {"teacher.base": f"{BASE}base", "student.layers": 1}, "file")
    edit(root, {"student.architecture": None}, "file")
    refused(root, run, "teacher", "has no linear layers that could be quantized")


def test_what_cannot_be_read_is_left_to_the_stage(root: Path) -> None:
    edit(root, {"teacher.base": f"{BASE}nothing"}, "file")
    shape_check.main(root)


def laid_out(root: Path, tokenizer: PreTrainedTokenizerBase, kind: str = "bert") -> None:
    """Let teacher and student begin with a base of two layers and 66 positions."""
    saved(body(kind, **BERT), tokenizer, root / BASE / "base")
    edit(root, {"teacher.base": f"{BASE}base"}, "file")
    edit(root, {"student.layers": 1, "student.architecture": None}, "file")


def of_its_own(root: Path, name: str) -> None:
    """Give the student a base of its own."""
    edit(root, {"student.init": "checkpoint", "student.base": f"{BASE}{name}"}, "file")


WHITE_BOX = {"distill.hidden_weight": 1.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantize.budget_mb": 0.02}, "quantize.budget_mb is 0.02, and the smallest that this"),
        ({**WHITE_BOX, "distill.layer_map": [3]}, r"distill.layer_map is \[3\]: it names one of"),
        ({**WHITE_BOX, "distill.layer_map": [1, 2]}, r"distill.layer_map is \[1, 2\]: it names"),
        ({"teacher_states.layers": [7]}, "teacher_states.layers names layer 7; the teacher has"),
        (
            {**WHITE_BOX, "distill.layer_map": [2], "teacher_states.layers": [1]},
            "and 2 are not stored: set teacher_states.layers to",
        ),
        ({"distill.relation_weight": 1.0, "distill.relation_heads": 7}, "relation_heads is 7"),
        ({"student.max_length": 67}, "student.max_length is 67, but the model that it starts from"),
        ({"quantize.budget_mb": 1.0, "student.max_length": 66}, None),
        ({**WHITE_BOX, "distill.layer_map": [2], "teacher_states.layers": [2]}, None),
    ],
)
def test_what_later_stages_refuse_is_refused_now(
    root: Path, tokenizer: PreTrainedTokenizerBase, changes: dict[str, Any], said: str | None
) -> None:
    laid_out(root, tokenizer)
    for name, value in changes.items():
        edit(root, {name: value}, "file" if name.startswith("student") else "")
    if said is None:
        shape_check.main(root)
        return
    with pytest.raises(MinnowError, match=said) as caught:
        shape_check.main(root)
    one_line(caught)


def test_a_built_teacher_has_as_many_positions_as_its_texts(root: Path) -> None:
    shape = {"architecture": "bert", "layers": 2, "heads": 2, "hidden_size": 64}
    shape |= {"intermediate_size": 128, "dropout": 0.0}
    edit(root, {"teacher.base": None, "teacher.build": shape, "teacher.vocabulary": 300}, "file")
    edit(root, {"student.layers": 1, "student.max_length": 33}, "file")
    with pytest.raises(MinnowError, match=r"student.max_length is 33, but .* has 32 positions"):
        shape_check.main(root)


@pytest.mark.parametrize("method", ["trim", "train"])
def test_a_unigram_tokenizer_is_asked_for_its_vocabulary(root: Path, method: str) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("<unk>", -1.0), ("a", -2.0), ("b", -3.0)]
    inner = Tokenizer(models.Unigram(pieces, unk_id=1))
    names = {"pad_token": "<pad>", "unk_token": "<unk>"}
    laid_out(root, PreTrainedTokenizerFast(tokenizer_object=inner, **names))
    given = {"min_count": 1, "size": None} if method == "trim" else {"min_count": None, "size": 300}
    edit(root, {"student.vocabulary": {"method": method, **given}}, "file")
    with pytest.raises(MinnowError, match="the student's tokenizer is a Unigram") as caught:
        shape_check.main(root)
    one_line(caught)


@pytest.mark.parametrize("method", ["trim", "train"])
def test_another_vocabulary_is_possible(
    root: Path, tokenizer: PreTrainedTokenizerBase, method: str
) -> None:
    laid_out(root, tokenizer)
    given = {"min_count": 1, "size": None} if method == "trim" else {"min_count": None, "size": 300}
    edit(root, {"student.vocabulary": {"method": method, **given}}, "file")
    shape_check.main(root)


def test_a_base_of_the_students_own_is_loaded_before_the_teacher_trains(
    root: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    laid_out(root, tokenizer)
    folder = saved(body(**BERT, layers=2), tokenizer, root / BASE / "own")
    of_its_own(root, "own")
    before = torch.get_rng_state()
    shape_check.main(root)
    assert torch.equal(torch.get_rng_state(), before)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(MinnowError, match="base model 'data/base/file/own' cannot be loaded"):
        shape_check.main(root)
    of_its_own(root, "nothing")
    with pytest.raises(MinnowError, match="there is no such folder"):
        shape_check.main(root)


def test_no_more_bytes_are_demanded_than_a_student_takes(
    root: Path, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    from minnow.models import embeddings, folders, schemes
    from minnow.quantization import budget
    from minnow.quantization.quantize import Recipe, write_quantized

    folders.save(classifier(**BERT), tokenizer, tmp_path / "student")
    recipe = Recipe(
        schemes.scheme("nf4", double_quantization=True), ["classifier"], embeddings.SCHEMES["nf4"]
    )
    write_quantized(tmp_path / "student", tmp_path / "out", recipe, device=torch.device("cpu"))
    model = folders.load_model(tmp_path / "student")
    least = budget.least_bytes(model, recipe, pieces=model.config.vocab_size, longest=32)
    weights = sum(file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors"))
    assert 0.5 * weights < least < weights


def test_a_download_is_seen_and_a_warning_is_not(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from minnow.core import hub
    from minnow.errors import tell, warn

    def snapshot(*_: object) -> Path:
        warn("it has no revision")
        print("model.safetensors:  40%", file=sys.stderr)
        tell("trying again")
        raise MinnowError("no Hub")

    monkeypatch.setattr(hub, "snapshot", snapshot)
    edit(root, {"teacher.base": "me/model"}, "file")
    shape_check.main(root)
    assert capsys.readouterr().err == "model.safetensors:  40%\nminnow: trying again\n"
