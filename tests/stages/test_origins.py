"""Every origin of data through all stages: splits of its own, a test file, each format."""

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from transformers import PreTrainedTokenizerBase

from helpers.models import body, saved
from helpers.origins import BASE, BERT, completed, file_project, some_urls, write
from helpers.stage import edit
from minnow.core.files import read_json
from minnow.core.tables import read_table
from minnow.layout import SPLITS, Layout
from minnow.stages import prepare


@pytest.fixture
def urls() -> pl.DataFrame:
    return some_urls(500, seed=1)


@pytest.fixture
def root(tmp_path: Path, urls: pl.DataFrame) -> Path:
    return file_project(tmp_path, urls)


def test_a_published_split_is_kept(
    root: Path, urls: pl.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> None:
    published = [
        "test" if row % 5 == 0 else "Val" if row % 5 == 1 else "train" for row in range(len(urls))
    ]
    write(
        urls.with_columns(pl.Series("part", published)), root / "data" / "raw" / "file" / "urls.csv"
    )
    saved(body(layers=2, **BERT), tokenizer, root / BASE / "body")
    layout = completed(
        root,
        data__split_column="part",
        data__move_scheme=False,
        teacher__base=f"{BASE}body",
        student__layers=1,
    )
    names = {"test": "test", "Val": "validation", "train": "train"}
    places = {text: names[name] for text, name in zip(urls["address"], published, strict=True)}
    report = read_json(layout.metrics("prepare"))
    assert report["carved"] == []
    for split in SPLITS:
        assert {places[text] for text in read_table(layout.split(split))["text"]} == {split}
    kept = sum(sum(counts.values()) for counts in report["kept"].values())
    assert kept + sum(report["dropped"].values()) == report["rows_read"] == len(urls)


def test_a_test_file_is_taken_whole(
    root: Path, urls: pl.DataFrame, tokenizer: PreTrainedTokenizerBase
) -> None:
    shared = urls.head(7)
    tests = pl.concat([shared, some_urls(80, seed=2), shared.head(2)])
    write(tests, root / "data" / "raw" / "file" / "test.csv")
    saved(body(layers=2, **BERT), tokenizer, root / BASE / "body")
    layout = completed(
        root,
        data__test_path="data/raw/file/test.csv",
        data__move_scheme=False,
        teacher__base=f"{BASE}body",
        student__layers=1,
    )
    prepared = {name: read_table(layout.split(name)) for name in SPLITS}
    labels = [int(verdict == "phishing") for verdict in tests["verdict"]]
    expected = sorted(zip(tests["address"], labels, strict=True))
    assert sorted(prepared["test"].select("text", "label").rows()) == expected
    assert prepared["test"]["id"].n_unique() == len(tests)
    for split in ("train", "validation"):
        assert not set(prepared[split]["text"]) & set(tests["address"])
    report = read_json(layout.metrics("prepare"))
    assert report["dropped"]["in_test_file"] == len(shared)
    assert (report["test_file"]["rows_read"], report["test_file"]["duplicates_kept"]) == (
        len(tests),
        2,
    )
    assert report["carved"] == ["validation"]


@pytest.mark.parametrize("name", ["urls.csv.gz", "urls.jsonl", "urls.parquet"])
def test_every_format_gives_the_same_tables(root: Path, urls: pl.DataFrame, name: str) -> None:
    layout = Layout(root)
    prepare.main(root)
    expected = {split: read_table(layout.split(split)) for split in SPLITS}
    report = read_json(layout.metrics("prepare"))
    (root / "data" / "raw" / "file" / "urls.csv").unlink()
    write(urls, root / "data" / "raw" / "file" / name)
    edit(root, {"data.path": f"data/raw/file/{name}"}, "file")
    prepare.main(root)
    for split in SPLITS:
        assert_frame_equal(read_table(layout.split(split)), expected[split])
    assert read_json(layout.metrics("prepare")) == {**report, "file": name}
