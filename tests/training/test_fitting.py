"""Tables to a trained model: what names a checkpoint, what it costs, and rows that stay with their
targets.
"""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from helpers.training import FLOAT32, encoded, tiny_model, training_params
from minnow.core.files import PARTIAL
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models.batching import Encoded
from minnow.stages import distill, recover, teacher
from minnow.training import checkpoints, fitting
from minnow.training.checkpoints import checkpoint_of, discard_checkpoints
from minnow.training.fitting import Tables, bytes_on_disk, fit_tables
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.targets import Targets, hard_loss

TABLE = pl.DataFrame({"text": ["9", "7 7", "8 8 8", "7 9 9 9"] * 3, "label": [0, 1, 0, 1] * 3})


def encode(tokenizer: Any, texts: list[str]) -> Encoded:
    """Read the texts as token ids: stands for a tokenizer."""
    return encoded([[1, *map(int, text.split())] for text in texts])


@pytest.fixture(autouse=True)
def _number_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "encode", encode)


def fit(tmp_path: Path, loss: Any = hard_loss, teacher_logits: Any = None) -> pl.DataFrame:
    return fit_tables(
        tiny_model(),
        SimpleNamespace(),  # type: ignore[arg-type]  # `encode` stands for it
        Tables(TABLE, TABLE, teacher_logits),
        Objective(loss),
        Schedule(training_params(epochs=3, batch_size=4), 0),
        Job("test", FLOAT32, tmp_path / "run.pt"),
    )


def test_the_curve_has_a_row_an_epoch_and_the_columns_of_no_curve(tmp_path: Path) -> None:
    curve = fit(tmp_path)
    assert curve["epoch"].to_list() == [1, 2, 3]
    assert curve.schema == fitting.curve_of([]).schema
    assert fitting.curve_of([]).height == 0
    assert all(value == round(value, 4) for value in curve["loss"])


def test_each_row_meets_its_own_label_and_teacher_logits(tmp_path: Path) -> None:
    teacher = np.stack([np.arange(12.0), TABLE["label"].to_numpy() * 100.0], axis=1).astype(
        np.float32
    )
    seen: dict[float, float] = {}

    def loss(logits: Tensor, targets: Targets) -> Tensor:
        assert targets.teacher_logits is not None
        assert torch.equal(targets.teacher_logits[:, 1], targets.labels * 100.0)
        seen.update(
            zip(targets.teacher_logits[:, 0].tolist(), targets.labels.tolist(), strict=True)
        )
        return hard_loss(logits, targets)

    fit(tmp_path, teacher_logits=teacher, loss=loss)
    assert [seen[row] for row in range(12)] == TABLE["label"].to_list()


def test_too_little_disk_space_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: SimpleNamespace(free=bytes_on_disk(tiny_model()) - 1)
    )
    with pytest.raises(MinnowError, match="MB are needed"):
        fit(tmp_path, loss=None)


def test_bytes_on_disk_by_hand() -> None:
    # Three checkpoints of masters, best and two moments of what is trained; the out and DVC's copy
    # of all; 4 bytes each.
    model = tiny_model()
    parameters = model.num_parameters()
    assert bytes_on_disk(model) == 4 * 14 * parameters
    model.bert.requires_grad_(False)
    assert bytes_on_disk(model) == 4 * (12 * (16 * 2 + 2) + 2 * parameters)


def test_a_checkpoints_name_depends_on_params_and_inputs(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    base = checkpoint_of(layout, "student", "{}", [first, second], [])
    assert base == checkpoint_of(layout, "student", "{}", [first, second], [])
    assert base.parent == layout.checkpoints
    others = {
        checkpoint_of(layout, "teacher", "{}", [first, second], []),
        checkpoint_of(layout, "student", '{"seed": 1}', [first, second], []),
        checkpoint_of(layout, "student", "{}", [first], []),
        checkpoint_of(layout, "student", "{}", [second, first], []),
    }
    second.write_bytes(b"3")
    others.add(checkpoint_of(layout, "student", "{}", [first, second], []))
    assert len(others | {base}) == 6


@pytest.mark.parametrize(
    ("stage", "file", "changes"),
    [
        (teacher, "models/folders.py", True),
        (teacher, "training/loop.py", True),
        (teacher, "stages/teacher.py", True),
        (teacher, "stages/distill.py", False),
        (distill, "distill/losses.py", True),
        (distill, "stages/distill.py", True),
        (distill, "report/svg.py", False),
        (recover, "quantization/recovery.py", True),
        (recover, "student/layers.py", False),
    ],
)
def test_a_checkpoints_name_depends_on_the_stages_code_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: Any, file: str, changes: bool
) -> None:
    code = tmp_path / "minnow"
    shutil.copytree(checkpoints.PACKAGE, code)
    monkeypatch.setattr(checkpoints, "PACKAGE", code)
    before = checkpoint_of(Layout(tmp_path), "name", "{}", [], stage.CODE)
    with (code / file).open("a") as opened:
        opened.write("changed = True\n")
    after = checkpoint_of(Layout(tmp_path), "name", "{}", [], stage.CODE)
    assert (after != before) == changes


def test_code_that_is_not_there_is_an_error_not_an_empty_name() -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint_of(Layout(Path()), "name", "{}", [], ["no_such_folder"])


def test_discard_checkpoints_spares_those_of_other_stages(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.checkpoints.mkdir(parents=True)
    for name in ("student-1.pt", "student-2.pt", "teacher-1.pt"):
        (layout.checkpoints / name).write_text("")
    (layout.checkpoints / f".student-3.pt.abcdefgh{PARTIAL}").mkdir()
    discard_checkpoints(layout, "student")
    assert [file.name for file in layout.checkpoints.iterdir()] == ["teacher-1.pt"]
