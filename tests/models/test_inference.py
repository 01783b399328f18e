"""One pass of a model: the rows' order, the numbers, a model left as it was, progress bars; and
stored logits, from which metrics come without the model.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from helpers.models import classifier
from helpers.training import BFLOAT16, CPU, FLOAT32, encoded, task, tiny_model
from minnow import progress
from minnow.core.files import MANIFEST
from minnow.core.selection import Selection
from minnow.core.tables import read_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation import inputs, metrics
from minnow.layout import Layout
from minnow.models import folders, heads, inference
from minnow.models.batching import encode
from minnow.models.inference import predict_logits

ROWS, _ = task(50)
TABLE = pl.DataFrame(
    {
        "id": ["c", "a", "d", "b"],
        "text": [
            "paypa1.com/login?user=1",
            "example.org",
            "10.0.0.1/verify/account",
            "a.b.example.net/page.html",
        ],
        "label": [1, 0, 1, 0],
    }
)


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


# --- Stored logits --------------------------------------------------------------------------------


@pytest.fixture
def layout(tmp_path: Path, tokenizer: PreTrainedTokenizerBase) -> Layout:
    """Return a project with two splits, and a student that is also its own teacher but for the
    manifest.
    """
    layout = Layout(tmp_path)
    for split in ("validation", "test"):
        write_table(layout.split(split), TABLE if split == "test" else TABLE.reverse())
    for name in ("teacher", "student"):
        torch.manual_seed(0)
        folders.save(classifier(), tokenizer, layout.model(name))
    return layout


def test_the_logits_of_a_row_carry_its_id(
    layout: Layout, tokenizer: PreTrainedTokenizerBase
) -> None:
    inference.store_logits(
        layout.model("student"),
        layout.logits("student"),
        {"test": TABLE, "validation": TABLE.reverse()},
        FLOAT32,
    )
    model = folders.load_model(layout.model("student"))
    expected = predict_logits(model, encode(tokenizer, TABLE["text"].to_list()), device=CPU).numpy()
    assert len(np.unique(expected.round(4), axis=0)) == len(TABLE)
    for split in ("test", "validation"):
        stored = read_logits(layout.logits_of("student", split), TABLE["id"].to_list())
        np.testing.assert_allclose(stored, expected, atol=1e-6)
    assert sorted(file.name for file in layout.logits("student").iterdir()) == [
        "test.parquet",
        "validation.parquet",
    ]


def test_the_runs_dtype_is_used(layout: Layout) -> None:
    stored = {}
    for run in (FLOAT32, BFLOAT16):
        inference.store_logits(
            layout.model("student"), layout.logits("student"), {"test": TABLE}, run
        )
        stored[run] = read_logits(layout.logits_of("student", "test"), TABLE["id"].to_list())
    assert not np.array_equal(stored[FLOAT32], stored[BFLOAT16])
    np.testing.assert_allclose(stored[FLOAT32], stored[BFLOAT16], atol=0.2)


def test_a_damaged_model_is_not_run(layout: Layout) -> None:
    with (layout.model("student") / "model.safetensors").open("ab") as file:
        file.write(b"!")
    with pytest.raises(MinnowError, match="differs from its manifest"):
        inference.store_logits(
            layout.model("student"), layout.logits("student"), {"test": TABLE}, FLOAT32
        )
    assert not layout.logits("student").exists()


def test_logits_that_are_not_finite_are_one_clear_error(
    layout: Layout, tokenizer: PreTrainedTokenizerBase
) -> None:
    inference.store_logits(
        layout.model("student"), layout.logits("student"), {"test": TABLE}, FLOAT32
    )
    before = layout.logits_of("student", "test").read_bytes()
    model = classifier()
    with torch.no_grad():
        heads.classification_layer(model).bias.fill_(torch.nan)
    folders.save(model, tokenizer, layout.model("student"))
    with pytest.raises(
        MinnowError, match="student gives infinite or undefined logits for 4 of 4 rows of test"
    ):
        inference.store_logits(
            layout.model("student"), layout.logits("student"), {"test": TABLE}, FLOAT32
        )
    assert layout.logits_of("student", "test").read_bytes() == before


def test_metrics_come_from_stored_logits_alone(
    layout: Layout, tokenizer: PreTrainedTokenizerBase
) -> None:
    inference.store_logits(
        layout.model("student"),
        layout.logits("student"),
        {"test": TABLE, "validation": TABLE.reverse()},
        FLOAT32,
    )
    for file in layout.model("student").glob("*.safetensors"):
        file.unlink()
    result = inputs.headline_of(layout, "student", Selection())
    guesses = metrics.predicted(metrics.margins_of(inputs.logits(layout, "student", "test")))
    assert result.accuracy == (guesses == TABLE["label"].to_numpy()).mean()
    assert result.validation_f1 == result.f1, "the same rows in another order"
    assert result.compression_x == 1.0
    assert result.parameters == classifier().num_parameters()


def test_sizes_by_part_add_up_to_what_lies_on_disk(layout: Layout) -> None:
    sizes = inputs.needed_bytes_by_part(layout, "student")
    total = sizes.pop("total")
    files = [file for file in layout.model("student").iterdir() if file.name != MANIFEST]
    assert total == sum(sizes.values()) == sum(file.stat().st_size for file in files)
    assert set(sizes) == {"embeddings", "body", "head", "vocabulary", "other"}
    assert sizes["vocabulary"] == sum(
        file.stat().st_size for file in files if file.name.startswith("tokenizer")
    )
