"""Validation with an extra part: the epoch that is kept, patience, and the curve."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from helpers.training import FLOAT32, KilledError, digest, encoded, tiny_model, training_params
from minnow.core.selection import Selection
from minnow.models.batching import Encoded
from minnow.training import fitting, loop
from minnow.training.curves import COLUMNS, curve_of
from minnow.training.fitting import Tables, fit_tables
from minnow.training.history import PARTS, Progress, is_progress
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.targets import Targets, hard_loss

TABLE = pl.DataFrame({"text": ["9", "7 7", "8 8 8", "7 9 9 9"] * 3, "label": [0, 1, 0, 1] * 3})
PAIR = TABLE.head(2)
NONE = TABLE.clear()
# Margins that call a pair's second row phishing, its first, both.
RIGHT, WRONG, BOTH = [-1.0, 1.0], [1.0, -1.0], [1.0, 2.0]


def encode(tokenizer: Any, texts: list[str]) -> Encoded:
    """Read the texts as token ids: stands for a tokenizer."""
    return encoded([[1, *map(int, text.split())] for text in texts])


@pytest.fixture(autouse=True)
def _number_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "encode", encode)


def fit(
    validation: pl.DataFrame,
    extra: pl.DataFrame | None,
    *,
    epochs: int = 4,
    patience: int | None = None,
    loss: Any = hard_loss,
    checkpoint: Path | None = None,
    by: Any = "f1",
) -> tuple[str, pl.DataFrame]:
    """Return the digest of the weights that are kept, and the curve."""
    torch.manual_seed(0)
    model = tiny_model(dropout=0.1)
    curve = fit_tables(
        model,
        SimpleNamespace(),  # type: ignore[arg-type]  # `encode` stands for it
        Tables(TABLE, validation, validation_extra=extra),
        Objective(loss),
        Schedule(training_params(epochs=epochs, batch_size=4, patience=patience), 0, Selection(by)),
        Job("test", FLOAT32, checkpoint),
    )
    return digest(model), curve


def script(monkeypatch: pytest.MonkeyPatch, *epochs: list[float]) -> None:
    """Let the model say these margins of the rows that choose, epoch by epoch."""
    left: Iterator[list[float]] = iter(epochs)

    def said(model: Any, rows: Encoded, **_: Any) -> Tensor:
        margins = torch.tensor(next(left))
        assert len(margins) == len(rows)
        return torch.stack([torch.zeros_like(margins), margins], dim=1)

    monkeypatch.setattr(loop, "predict_logits", said)


@pytest.mark.parametrize("by", ["f1", "log_loss"])
def test_with_a_copy_of_validation_the_choice_is_todays(by: Any) -> None:
    alone, curve = fit(TABLE, None, by=by)
    beside, more = fit(TABLE, TABLE, by=by)
    assert beside == alone
    assert more.select(*COLUMNS).equals(curve)
    assert more[PARTS[0]].to_list() == pytest.approx(more[PARTS[1]].to_list(), abs=2e-4)


def test_no_rows_are_no_extra_part(tmp_path: Path) -> None:
    (alone, curve), (beside, more) = fit(TABLE, None), fit(TABLE, NONE)
    assert (beside, more.write_csv()) == (alone, curve.write_csv())
    assert more.columns == list(COLUMNS)


def test_the_extra_part_changes_the_epoch_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """F1 of RIGHT is 1, of WRONG 0, of BOTH 2/3: validation alone keeps epoch 1, the mean epoch 2,
    whose 5/6 the third does not beat.
    """
    script(monkeypatch, RIGHT, BOTH, RIGHT)
    first, alone = fit(PAIR, None, epochs=3)
    script(monkeypatch, BOTH, RIGHT, BOTH)
    second, _ = fit(PAIR, None, epochs=3)
    script(monkeypatch, RIGHT + WRONG, BOTH + RIGHT, RIGHT + BOTH)
    kept, curve = fit(PAIR, PAIR, epochs=3)
    assert kept == second != first
    assert curve["validation_f1"].to_list() == alone["validation_f1"].to_list() == [1, 0.6667, 1]
    assert curve["validation_score"].to_list() == [1, 0.6667, 1]
    assert curve["validation_extra_score"].to_list() == [0, 1, 0.6667]


def test_patience_waits_for_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, RIGHT, BOTH)
    assert fit(PAIR, None, patience=1)[1].height == 2
    script(monkeypatch, RIGHT + WRONG, BOTH + RIGHT, RIGHT + BOTH)
    assert fit(PAIR, PAIR, patience=1)[1].height == 3


def test_a_contradictory_part_leaves_nothing_to_choose_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the same rows with the other labels, accuracy is 1/2 on average, always, and average
    precision 3/4: the first of equals is kept.
    """
    other = PAIR.with_columns(label=1 - pl.col("label"))
    script(monkeypatch, WRONG * 2, BOTH * 2, RIGHT * 2)
    kept, curve = fit(PAIR, other, epochs=3, by="accuracy")
    assert curve[PARTS[0]].to_list() == [0, 0.5, 1]
    assert curve[PARTS[1]].to_list() == [1, 0.5, 0]
    script(monkeypatch, BOTH, WRONG, WRONG)
    assert fit(PAIR, None, epochs=3, by="accuracy")[0] == kept


def test_a_killed_training_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    steps = iter(range(100))

    def killed(logits: Tensor, targets: Targets) -> Tensor:
        if next(steps) == 7:
            raise KilledError
        return hard_loss(logits, targets)

    checkpoint = tmp_path / "run.pt"
    with pytest.raises(KilledError):
        fit(TABLE, PAIR, loss=killed, checkpoint=checkpoint)
    resumed, curve = fit(TABLE, PAIR, checkpoint=checkpoint)
    whole, expected = fit(TABLE, PAIR)
    assert "resuming a killed training at epoch 3" in capsys.readouterr().err
    assert (resumed, curve.write_csv()) == (whole, expected.write_csv())


def test_a_checkpoint_without_the_parts_is_of_another_training() -> None:
    record = {"epoch": 1, "loss": 0.5, "validation_f1": 0.5, "score": 0.5}
    with_parts = record | dict.fromkeys(PARTS, 0.5)
    for history, extra, fits in (
        ([record], False, True),
        ([with_parts], True, True),
        ([record], True, False),
        ([with_parts], False, False),
    ):
        progress = vars(Progress(epoch=1, best_epoch=1, history=history))  # type: ignore[arg-type]
        assert is_progress(progress, epochs=2, batches=3, extra=extra) == fits


def test_the_curve_of_nothing_has_no_parts() -> None:
    assert curve_of([]).columns == list(COLUMNS)
