"""One pass of a model: the rows' order, the numbers, and a model left as it was; progress bars."""

import sys

import pytest
import torch
from torch import nn

from helpers.training import CPU, encoded, task, tiny_model
from minnow import progress
from minnow.models import inference
from minnow.models.inference import predict_logits

ROWS, _ = task(50)


def test_equals_the_model_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(inference.BATCH_TOKENS, "cpu", 40)
    model = tiny_model()
    logits = predict_logits(model, ROWS, device=CPU)
    with torch.no_grad():
        single = torch.cat(
            [model(ids[None]).logits for ids in ROWS.ids.split(ROWS.lengths.tolist())]
        )
    assert logits.dtype == torch.float32
    assert single.std() > 0.001, "the rows differ, so that their order shows"
    torch.testing.assert_close(logits, single, atol=1e-6, rtol=1e-5)


def test_the_batch_size_does_not_decide_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    large = predict_logits(model, ROWS, device=CPU)
    monkeypatch.setitem(inference.BATCH_TOKENS, "cpu", 1)
    torch.testing.assert_close(predict_logits(model, ROWS, device=CPU), large, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_runs_in_eval_mode_and_puts_the_mode_back(training: bool) -> None:
    model = tiny_model(dropout=0.5)
    model.train(training)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first, second = (predict_logits(model, ROWS, device=CPU) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state), "no random number is drawn"
    assert all(module.training == training for module in model.modules())


def test_the_mode_comes_back_after_an_error() -> None:
    model = tiny_model()
    model.train()
    with pytest.raises(IndexError):
        predict_logits(model, encoded([[1, 2], [1, 999]]), device=CPU)
    assert model.training


def test_results_can_be_trained_on() -> None:
    logits = predict_logits(tiny_model(), ROWS, device=CPU)
    assert not logits.requires_grad
    assert not logits.is_inference()
    head = nn.Linear(2, 2)
    head(logits).sum().backward()
    assert head.weight.grad is not None


def test_bfloat16_models_give_float32_logits() -> None:
    model = tiny_model()
    exact = predict_logits(model, ROWS, device=CPU)
    narrow = predict_logits(model.bfloat16(), ROWS, device=CPU)
    assert narrow.dtype == torch.float32
    assert not torch.equal(narrow, exact)
    torch.testing.assert_close(narrow, exact, atol=0.02, rtol=0.02)


@pytest.mark.parametrize(
    ("terminal", "seconds"), [(True, progress.TERMINAL_SECONDS), (False, progress.LOG_SECONDS)]
)
def test_bars_are_lively_only_on_a_terminal(
    terminal: bool, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with progress.row_bar(10, "rows", initial=4) as bar:
        assert (bar.n, bar.total, bar.mininterval) == (4, 10, seconds)


def test_a_log_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.row_bar(1_000, "rows") as bar:
        for _ in range(1_000):
            bar.update()
    assert 1 <= capsys.readouterr().err.count("rows:") <= 2
    predict_logits(tiny_model(), ROWS, device=CPU)
    assert capsys.readouterr().err == "", "no name, no bar"
