"""From a saved model to stored logits, and from those to its metrics without the model."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.models import classifier
from helpers.training import BFLOAT16, CPU, FLOAT32
from minnow.core.files import MANIFEST
from minnow.core.tables import read_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation import inputs, metrics
from minnow.layout import Layout
from minnow.models import folders, heads, inference
from minnow.models.batching import encode
from minnow.models.inference import predict_logits

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
        found = read_logits(layout.logits_of("student", split), TABLE["id"].to_list())
        np.testing.assert_allclose(found, expected, atol=1e-6)
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
    result = inputs.headline_of(layout, "student", None)
    guesses = metrics.predicted(metrics.margins_of(inputs.logits(layout, "student", "test")))
    assert result.accuracy == (guesses == TABLE["label"].to_numpy()).mean()
    assert result.validation_f1 == result.f1, "the same rows in another order"
    assert result.compression_x == 1.0
    assert result.parameters == classifier().num_parameters()


def test_sizes_by_part_add_up_to_what_lies_on_disk(layout: Layout) -> None:
    sizes = inputs.bytes_by_part(layout, "student")
    total = sizes.pop("total")
    files = [file for file in layout.model("student").iterdir() if file.name != MANIFEST]
    assert total == sum(sizes.values()) == sum(file.stat().st_size for file in files)
    assert set(sizes) == {"embeddings", "body", "head", "vocabulary", "other"}
    assert sizes["vocabulary"] == sum(
        file.stat().st_size for file in files if file.name.startswith("tokenizer")
    )
