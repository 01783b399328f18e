"""What distill and quantize will refuse is refused before the teacher trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.errors import one_line
from helpers.models import body, saved
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
