"""The n-gram baseline: what it reaches, that it is the same every time, and that what is saved is
what is measured.
"""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from helpers.data import run
from helpers.paths import SRC
from minnow.core.files import read_json
from minnow.core.tables import read_logits
from minnow.data.sources import load_synthetic
from minnow.errors import MinnowError
from minnow.evaluation import baseline

ODD = [
    "a\u2028b",
    "a\u2028b",
    'q"\\é',
    'q"\\é',
    "x\ny\x85z",
    "x\ny\x85z",
    "\ufdfa\U00020000",
    "\ufdfa\U00020000",
]


@cache
def splits() -> dict[str, pl.DataFrame]:
    source = load_synthetic(4_000, seed=0, label_noise=0.02)
    return run(source, validation=0.1, test=0.3).splits


def fitted() -> Pipeline:
    train = splits()["train"]
    return baseline.fit_baseline(train["text"].to_list(), train["label"].to_list())


@cache
def fitted_once() -> Pipeline:
    return fitted()


def margins(pipeline: Pipeline, texts: list[str]) -> np.ndarray:
    logits = baseline.baseline_logits(pipeline, texts)
    return np.asarray(logits[:, 1] - logits[:, 0])


def test_reaches_what_ngrams_should_on_unseen_domains() -> None:
    test = splits()["test"]
    found = margins(fitted_once(), test["text"].to_list())
    assert 0.82 < accuracy_score(test["label"], found > 0) < 0.97
    assert roc_auc_score(test["label"], found) > 0.88


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fit_is_the_same_again_whatever_the_number_of_threads(threads: int) -> None:
    with threadpool_limits(threads):
        again = fitted()
    assert np.array_equal(again[-1].coef_, fitted_once()[-1].coef_)
    assert np.array_equal(again[0].idf_, fitted_once()[0].idf_)


def test_logits_are_the_regressions_own_probabilities_and_predictions() -> None:
    pipeline, texts = fitted_once(), splits()["validation"]["text"].to_list()
    logits = baseline.baseline_logits(pipeline, texts)
    assert logits.shape == (len(texts), 2)
    assert np.allclose(
        1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), pipeline.predict_proba(texts)[:, 1]
    )
    assert np.array_equal(logits.argmax(axis=1), pipeline.predict(texts))


@pytest.mark.parametrize("chunk", [1, 7, 399])
def test_logits_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    texts = splits()["validation"]["text"].to_list()[:50]
    whole = baseline.baseline_logits(fitted_once(), texts)
    monkeypatch.setattr(baseline, "CHUNK", chunk)
    assert np.array_equal(baseline.baseline_logits(fitted_once(), texts), whole)
    assert baseline.baseline_logits(fitted_once(), []).shape == (0, 2)


def test_parameters_count_ngrams_and_numbers() -> None:
    # Of "ab" twice and "ba" twice, a, b, ab and ba stand in two texts each: 4 idf, 4 coefficients,
    # 1 intercept.
    pipeline = baseline.fit_baseline(["ab", "ab", "ba", "ba"], [0, 0, 1, 1])
    assert sorted(pipeline[0].vocabulary_) == ["a", "ab", "b", "ba"]
    assert baseline.parameters(pipeline) == 9


def test_rows_without_a_common_ngram_are_one_clear_error() -> None:
    with pytest.raises(MinnowError, match="no character n-gram stands in two of the 2 train rows"):
        baseline.fit_baseline(["a", "b"], [0, 1])


# --- Saved and loaded -----------------------------------------------------------------------------


def test_what_is_saved_gives_the_same_logits_within_float32(tmp_path: Path) -> None:
    baseline.save_baseline(fitted_once(), tmp_path / "baseline")
    loaded = baseline.load_baseline(tmp_path / "baseline")
    texts = [*splits()["test"]["text"].to_list(), "", "ÿ", "\u2028"]
    expected = baseline.baseline_logits(fitted_once(), texts)
    found = baseline.baseline_logits(loaded, texts)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(found, expected), "float32 has lost digits"
    assert baseline.parameters(loaded) == baseline.parameters(fitted_once())


def test_saving_again_what_was_loaded_changes_no_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        baseline.save_baseline(fitted_once(), tmp_path / name)
    baseline.save_baseline(baseline.load_baseline(tmp_path / "one"), tmp_path / "three")
    for file in (tmp_path / "one").iterdir():
        assert (tmp_path / "two" / file.name).read_bytes() == file.read_bytes(), file
        assert (tmp_path / "three" / file.name).read_bytes() == file.read_bytes(), file


def test_ngrams_may_hold_any_character(tmp_path: Path) -> None:
    pipeline = baseline.fit_baseline(ODD, [0, 0, 1, 1] * 2)
    baseline.save_baseline(pipeline, tmp_path)
    loaded = baseline.load_baseline(tmp_path)
    assert loaded[0].vocabulary_ == {
        ngram: int(column) for ngram, column in pipeline[0].vocabulary_.items()
    }
    assert any("\u2028" in ngram for ngram in loaded[0].vocabulary_)
    assert any("\n" in ngram for ngram in loaded[0].vocabulary_)
    np.testing.assert_allclose(margins(loaded, ODD), margins(pipeline, ODD), rtol=1e-5, atol=1e-5)


def test_the_folder_by_hand(tmp_path: Path) -> None:
    baseline.save_baseline(baseline.fit_baseline(["ab", "ab", "ba", "ba"], [0, 0, 1, 1]), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "ngrams.jsonl",
        "model.safetensors",
        "config.json",
        "manifest.json",
    }
    assert (tmp_path / "ngrams.jsonl").read_text() == '"a"\n"ab"\n"b"\n"ba"\n'
    manifest = read_json(tmp_path / "manifest.json")
    sizes = {
        file.name: file.stat().st_size
        for file in tmp_path.iterdir()
        if file.name != "manifest.json"
    }
    assert {name: fact["bytes"] for name, fact in manifest["files"].items()} == sizes
    assert manifest["parameters"] == 9
    assert manifest["bytes_by_part"] == {
        "vocabulary": 4 + 5 + 4 + 5,
        "weights": 9 * 4,
        "other": sum(sizes.values()) - 18 - 36,
    }
    config = json.loads((tmp_path / "config.json").read_text())
    assert config == {
        "analyzer": "char",
        "lowercase": True,
        "ngram_range": [1, 4],
        "sublinear_tf": True,
    }


def test_the_files_can_be_read_like_others(tmp_path: Path) -> None:
    """safetensors' own writer keeps its files from everybody but their owner."""
    baseline.save_baseline(fitted_once(), tmp_path)
    assert len({file.stat().st_mode for file in tmp_path.iterdir()}) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ngrams.jsonl", "differs from its manifest"),
        ("manifest.json", "is not valid JSON"),
        (None, "is missing"),
    ],
)
def test_a_damaged_folder_is_not_run(tmp_path: Path, name: str | None, message: str) -> None:
    folder, out = tmp_path / "baseline", tmp_path / "out"
    if name is not None:
        baseline.save_baseline(fitted_once(), folder)
        with (folder / name).open("ab") as file:
            file.write(b"!")
    with pytest.raises(MinnowError, match=message):
        baseline.store_baseline_logits(folder, out, {"test": splits()["test"]})
    assert not out.exists()


def test_stored_logits_carry_ids_and_are_those_of_the_folder(tmp_path: Path) -> None:
    folder, out = tmp_path / "baseline", tmp_path / "logits"
    baseline.save_baseline(fitted_once(), folder)
    tables = {name: splits()[name].reverse() for name in ("validation", "test")}
    baseline.store_baseline_logits(folder, out, tables)
    assert {file.name for file in out.iterdir()} == {"validation.parquet", "test.parquet"}
    for name, table in splits().items():
        if name != "train":
            expected = baseline.baseline_logits(
                baseline.load_baseline(folder), table["text"].to_list()
            ).astype(np.float32)
            found = read_logits(out / f"{name}.parquet", table["id"].to_list())
            assert found.dtype == np.float32
            assert np.array_equal(found, expected)


def test_it_does_without_torch() -> None:
    code = "import sys; import minnow.evaluation.baseline; sys.exit('torch' in sys.modules)"
    source = SRC
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, timeout=60
        ).returncode
        == 0
    )
