"""Small rivals end to end, on generated URLs: what is chosen, what fits, and that twice is the
same.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import hashed_fits as hf
import hashed_models as hm
import small_rivals as sr
from minnow.core.tables import write_table
from minnow.data.synthetic import generate
from minnow.layout import SPLITS, Layout

SETTINGS: dict[str, Any] = {
    "BUDGETS": (20_000, 5_000),
    "RANGES": ((1, 2), (1, 3)),
    "BITS": (10, 13),
    "STRENGTHS": (1.0, 10.0),
    "SHAPES": ((4, False), (4, True)),
    "RATES": (0.1,),
}


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with splits of generated URLs; few settings, one thread."""
    for name, value in SETTINGS.items():
        monkeypatch.setattr(sr, name, value)
    monkeypatch.setattr(hf, "EPOCHS", 2)
    texts, labels = generate(900, seed=0, label_noise=0.0)
    table = pl.DataFrame({"text": texts, "label": labels}).with_columns(
        domain=pl.col("text").str.extract(r"^(?:\w+://)?([^/?]+)")
    )
    for number, name in enumerate(SPLITS):
        write_table(Layout(tmp_path).split(name), table[300 * number : 300 * (number + 1)])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tmp_path
    torch.set_num_threads(threads)


def test_what_fits_is_chosen_on_validation_and_twice_the_same(prepared: Path) -> None:
    found = sr.measure(sr.load(prepared))
    assert found == sr.measure(sr.load(Layout(prepared).prepared))
    baseline, *rivals = found["models"]
    assert baseline["against_baseline"]["f1"] == {"value": 0, "low": 0, "high": 0}
    assert [(each["name"], each["budget"]) for each in rivals] == [
        (name, budget)
        for name in ("n-grams, hashed", "fastText-style")
        for budget in SETTINGS["BUDGETS"]
    ]
    for rival in rivals:
        tried = [
            each["validation_f1"]
            for each in found["candidates"]
            if (each["name"], each["budget"]) == (rival["name"], rival["budget"])
        ]
        assert rival["bytes"] <= rival["budget"]
        assert rival["validation_f1"] == max(tried) > 0.6
        change = rival["estimates"]["f1"]["value"] - baseline["estimates"]["f1"]["value"]
        assert rival["against_baseline"]["f1"]["value"] == pytest.approx(change, abs=1.1e-4)
    assert found["rows"]["test"]["rows"] == 300


def test_a_bucket_of_one_text_weighs_nothing() -> None:
    """As in the baseline, where an n-gram must stand in two texts."""
    texts = ["ab", "ab", "cd", "cdz"]
    rows = hm.sublinear(hm.folded(hm.character_counts(texts, (1, 1)), 2**16))
    model = hf.fit_regression(rows, np.array([1, 1, 0, 0]), 10.0)
    weights = {
        letter: model.weights[hm.folded(hm.character_counts([letter], (1, 1)), 2**16).indices[0]]
        for letter in "abcdz"
    }
    assert weights["z"] == 0
    assert weights["a"] == pytest.approx(weights["b"]) == pytest.approx(-weights["c"], rel=0.5)
    assert weights["a"] > 0
    assert (model.margins(rows) > 0).tolist() == [True, True, False, False]


def test_a_linear_head_multiplied_in_gives_the_same_margins() -> None:
    draw = np.random.default_rng(0)
    model = hm.Linear(draw.normal(size=(64, 8)), draw.normal(size=8), np.array([0.5]))
    rows = hm.averaging(hm.folded(hm.character_counts(["example.org/a"], (3, 6)), 64))
    one = hf.multiplied(model)
    assert one.table.shape == (64, 1)
    assert one.margins(rows) == pytest.approx(model.margins(rows))


def test_embeddings_learn_and_leave_what_no_text_has_at_nothing() -> None:
    texts, labels = generate(400, seed=0, label_noise=0.0)
    rows = hm.averaging(hm.folded(hm.character_counts(texts, (3, 6)), 2**16))
    labelled = rows, np.array(labels)
    model, epoch = hf.train_embeddings(labelled, labelled, 4, rate=0.3)
    again, _ = hf.train_embeddings(labelled, labelled, 4, rate=0.3)
    assert np.array_equal(model.table, again.table)
    assert ((model.table == 0).all(axis=1) == hf.unseen(rows)).all()
    assert hf.f1_on(model, labelled) > 0.9
    assert 1 <= epoch <= hf.EPOCHS


def test_a_missing_folder_ends_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"train\.parquet is missing"):
        sr.main([f"mine={tmp_path}"])
