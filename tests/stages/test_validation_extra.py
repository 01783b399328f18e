"""A validation set of other origin, from params.yaml to the files: what `prepare` writes, how it
refuses, and that every training and recovery are chosen with it.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from helpers.stage import TRAINING, edit, new_project, refused
from minnow.core.files import read_json
from minnow.core.tables import read_table
from minnow.data import synthetic
from minnow.layout import SPLITS, Layout
from minnow.stages import (
    distill,
    prepare,
    quantize,
    recover,
    sensitivity,
    teacher,
    teacher_logits,
    teacher_states,
    teacher_unlabelled,
)
from minnow.training import checkpoints

Run = Callable[[Path, str], tuple[int, str]]
RAW = "data/raw/embedded"
KEY = "evaluate.validation_extra"
PARTS = ["validation_score", "validation_extra_score"]
TRAININGS = ("teacher", "student", "recovery")


def project(root: Path) -> Path:
    """Lay out a tiny project of generated URLs with a file of others, of another seed."""
    new_project(root)
    texts, labels = synthetic.generate(120, seed=9, label_noise=0.0)
    write(root, "other", texts, labels)
    edit(root, {"recover.training": TRAINING | {"epochs": 1}})
    return root


def write(root: Path, name: str, texts: Sequence[str], labels: Sequence[int]) -> None:
    pl.DataFrame({"text": texts, "label": labels}).write_csv(root / RAW / f"{name}.csv")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Path]]]:
    """A project in which all that trains has run with the file, and the inputs that name each
    checkpoint.
    """
    root = project(tmp_path_factory.mktemp("asked") / "project")
    edit(root, {KEY: f"{RAW}/other.csv", "teacher_unlabelled.copies": 1})
    named: dict[str, list[Path]] = {}
    original = checkpoints.checkpoint_of

    def noted(layout: Layout, stage: str, params: str, inputs: list[Path], code: object) -> Path:
        named[stage] = inputs
        return original(layout, stage, params, inputs, code)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "checkpoint_of", noted)
        for stage in (prepare, teacher, teacher_logits, teacher_states, teacher_unlabelled):
            stage.main(root)
        for stage in (distill, sensitivity, quantize, recover):
            stage.main(root)
    return root, named


def test_by_default_there_are_no_rows_and_no_word_of_it(tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    prepare.main(root)
    layout = Layout(root)
    assert read_table(layout.validation_extra).is_empty()
    assert "validation_extra" not in read_json(layout.metrics("prepare"))
    teacher.main(root)
    assert pl.read_csv(layout.plot("teacher_training")).columns == [
        "epoch",
        "loss",
        "validation_f1",
    ]


def test_prepare_counts_what_the_table_holds(asked: tuple[Path, object]) -> None:
    layout = Layout(asked[0])
    rows = read_table(layout.validation_extra)
    report = read_json(layout.metrics("prepare"))["validation_extra"]
    assert report["file"] == f"{RAW}/other.csv"
    assert (report["rows_read"], sum(report["kept"].values())) == (120, rows.height)
    assert report["domains"] == rows["domain"].n_unique()
    assert not set(rows["domain"]) & set(read_table(layout.split("test"))["domain"])


def test_all_that_trains_is_chosen_by_both(asked: tuple[Path, dict[str, list[Path]]]) -> None:
    layout = Layout(asked[0])
    for name in TRAININGS:
        curve = pl.read_csv(layout.plot(f"{name}_training"))
        assert curve.columns == ["epoch", "loss", "validation_f1", *PARTS], name
        assert curve["validation_f1"].to_list() == curve["validation_score"].to_list(), name
        assert layout.validation_extra in asked[1][name], name
    facts = read_json(layout.manifest("quantized"))["recovery"]
    before, after = (sum(facts[f"{part}_{when}"] for part in PARTS) for when in ("before", "after"))
    assert facts["kept"] == (after > before)


def test_the_splits_are_those_of_before(asked: tuple[Path, object], tmp_path: Path) -> None:
    root = project(tmp_path / "project")
    prepare.main(root)
    for name in SPLITS:
        ours, theirs = (Layout(each).split(name).read_bytes() for each in (asked[0], root))
        assert ours == theirs


def test_a_further_test_set_keeps_its_rows_and_takes_them_from_what_chooses(
    asked: tuple[Path, object], tmp_path: Path
) -> None:
    layout = Layout(asked[0])
    rows = read_table(layout.validation_extra)
    held = rows.group_by("label").head(3)
    root = shutil.copytree(asked[0], tmp_path / "project")
    write(root, "feed", [f"{domain}/of/test" for domain in held["domain"]], held["label"].to_list())
    edit(root, {"extra": {"feed": f"{RAW}/feed.csv"}})
    prepare.main(root)
    left = read_table(Layout(root).validation_extra)
    assert left.equals(rows.filter(~pl.col("domain").is_in(held["domain"].implode())))
    report = read_json(Layout(root).metrics("prepare"))["validation_extra"]
    assert report["removed"]["extra.feed"] == rows.height - left.height >= 6


@pytest.mark.parametrize(
    ("given", "extra", "words"),
    [
        (f"{RAW}/none.csv", {}, [KEY, "none.csv"]),
        ("data/raw/other.csv", {}, [KEY, f"it must lie in {RAW}/"]),
        (f"{RAW}/bad.csv", {}, [KEY, "has no column 'label'"]),
        (f"{RAW}/labels.csv", {}, [KEY, "labels"]),
        (f"{RAW}/test.csv", {}, [KEY, "one class only", "in test"]),
        (
            f"{RAW}/other.csv",
            {"feed": f"{RAW}/./other.csv"},
            [KEY, "extra.feed name the same file", "what chooses cannot report", "another file"],
        ),
        (
            f"{RAW}/other.csv",
            {"feed": f"{RAW}/copy.csv"},
            [KEY, "one class only: 0 safe and 0 phishing", "in extra.feed", "no test set"],
        ),
        (f"{RAW}/other.csv", {"feed": f"{RAW}/none.csv"}, ["extra.feed", "none.csv"]),
        (3, {}, [f"{KEY} is 3", "string"]),
        ("../other.csv", {}, [KEY, "leads out of the project"]),
    ],
)
def test_refusals(
    asked: tuple[Path, object],
    tmp_path: Path,
    run: Run,
    given: object,
    extra: dict[str, str],
    words: list[str],
) -> None:
    root = shutil.copytree(asked[0], tmp_path / "project")
    test = read_table(Layout(root).split("test"))
    write(root, "test", [f"{domain}/new" for domain in test["domain"]], test["label"].to_list())
    shutil.copyfile(root / RAW / "other.csv", root / RAW / "copy.csv")
    (root / RAW / "bad.csv").write_text("text\na.com\n")
    (root / RAW / "labels.csv").write_text("text,label\na.com,1\nb.com,bad\nc.com,worse\n")
    edit(root, {KEY: given, "extra": extra})
    refused(root, run, "prepare", *words)


@pytest.mark.parametrize("stage", ["teacher", "distill", "recover", "teacher_unlabelled"])
@pytest.mark.parametrize("content", [None, b"junk"])
def test_a_table_that_is_missing_or_junk(
    asked: tuple[Path, object], tmp_path: Path, run: Run, stage: str, content: bytes | None
) -> None:
    root = shutil.copytree(asked[0], tmp_path / "project")
    path = Layout(root).validation_extra
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    refused(root, run, stage, "validation_extra.parquet", "dvc repro`")
