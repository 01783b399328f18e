"""The stages `baseline` and `predict_extra` on small projects: what they write, and how they
refuse.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from helpers.models import classifier
from helpers.paths import ROOT
from helpers.stage import FILE, edit, new_project, refused, tree
from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table, write_table
from minnow.data import synthetic
from minnow.evaluation import baseline as baseline_model
from minnow.evaluation.baseline import (
    baseline_logits,
    fit_baseline,
    load_baseline,
    parameters,
    save_baseline,
)
from minnow.layout import JUDGED, Layout
from minnow.models import folders
from minnow.stages import baseline, predict_extra, prepare, teacher_unlabelled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Run = Callable[[Path, str], tuple[int, str]]
OTHER = "data/raw/file/other.csv"
NEW = "url,label\nnew-one.org/login,1\nnew-two.org,0\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of preset `file` with prepared splits, a baseline and its logits. Tests copy it."""
    root = new_project(tmp_path_factory.mktemp("prepared") / "project", "file")
    texts, labels = synthetic.generate(600, seed=0, label_noise=0.0)
    pl.DataFrame({"url": texts, "label": labels}).write_csv(root / FILE)
    edit(root, {"runtime.threads": 1, "runtime.precision": "float32"}, "file")
    prepare.main(root)
    teacher_unlabelled.main(root)
    baseline.main(root)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared project."""
    return shutil.copytree(prepared, tmp_path / "project")


def with_sets(root: Path, **sets: str | bytes) -> Path:
    """Lay further sets into the raw folder, and name them in params.yaml."""
    for name, content in sets.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (root / "data" / "raw" / "file" / f"{name}.csv").write_bytes(raw)
    edit(root, {"extra": {name: f"data/raw/file/{name}.csv" for name in sets}})
    return root


def seen_set(root: Path) -> tuple[str, list[int]]:
    """Return a set of 30 rows of train, 20 of validation, 10 of test and two new ones; and the
    labels that stay.
    """
    layout, counts = Layout(root), {"train": 30, "validation": 20, "test": 10}
    tables = {name: read_table(layout.split(name)).head(count) for name, count in counts.items()}
    rows = [row for table in tables.values() for row in table.select("text", "label").rows()]
    lines = "".join(f'"{text}",{label}\n' for text, label in rows)
    return NEW + lines, [1, 0, *tables["test"]["label"].to_list()]


# --- baseline -------------------------------------------------------------------------------------


def test_the_stored_logits_are_those_of_the_stored_baseline(prepared: Path) -> None:
    layout = Layout(prepared)
    loaded = load_baseline(layout.model("baseline"))
    for split in ("validation", "test"):
        table = read_table(layout.split(split))
        expected = baseline_logits(loaded, table["text"].to_list()).astype(np.float32)
        assert np.array_equal(
            read_logits(layout.logits_of("baseline", split), table["id"].to_list()), expected
        )
    assert sorted(file.name for file in layout.logits("baseline").iterdir()) == [
        "test.parquet",
        "validation.parquet",
    ]


def test_the_baseline_is_made_of_train_and_is_the_same_bytes_again(project: Path) -> None:
    before = tree(project)
    baseline.main(project)
    assert tree(project) == before
    train = read_table(Layout(project).split("train"))
    fitted = fit_baseline(train["text"].to_list(), train["label"].to_list())
    save_baseline(fitted, project / "models" / "expected")
    for file in (project / "models" / "expected").iterdir():
        assert (Layout(project).model("baseline") / file.name).read_bytes() == file.read_bytes()


def test_of_many_rows_the_first_are_taken_and_it_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = read_json(Layout(project).manifest("baseline"))["parameters"]
    monkeypatch.setattr(baseline_model, "MAX_ROWS", 40)
    baseline.main(project)
    assert "the baseline is fitted on 40 of " in capsys.readouterr().err
    train = read_table(Layout(project).split("train")).head(40)
    fitted = fit_baseline(train["text"].to_list(), train["label"].to_list())
    assert (
        read_json(Layout(project).manifest("baseline"))["parameters"] == parameters(fitted) < before
    )


def test_a_baseline_without_splits_says_so(project: Path, run: Run) -> None:
    Layout(project).split("test").unlink()
    before = Layout(project).logits_of("baseline", "test").read_bytes()
    code, stderr = run(project, "baseline")
    assert code == 1
    assert "test.parquet is missing; `dvc repro` makes it" in stderr
    assert Layout(project).logits_of("baseline", "test").read_bytes() == before


# --- predict_extra --------------------------------------------------------------------------------


def test_the_baselines_logits_of_two_sets(project: Path) -> None:
    content, labels = seen_set(project)
    with_sets(project, seen=content, tiny=NEW)
    predict_extra.main(project, "baseline")
    layout = Layout(project)
    report = read_json(layout.extra_report("baseline"))
    assert {file.name for file in layout.extra("baseline").iterdir()} == {
        "report.json",
        "seen.parquet",
        "tiny.parquet",
    }
    assert report["tiny"] == {
        "file": "data/raw/file/tiny.csv",
        "rows_read": 2,
        "kept": {"safe": 1, "phishing": 1},
        "removed_seen": 0,
        "dropped": dict.fromkeys(("missing_label", "empty", "both_labels", "duplicate"), 0),
        "leak": 0.0,
    }
    assert (report["seen"]["rows_read"], report["seen"]["removed_seen"]) == (62, 50)
    assert report["seen"]["kept"] == {"safe": labels.count(0), "phishing": labels.count(1)}
    stored = read_table(layout.extra_set("baseline", "seen"))
    assert stored.columns == ["id", "label", "domain", "logit_0", "logit_1"]
    assert stored["logit_0"].dtype == stored["logit_1"].dtype == pl.Float32
    # the rows of test, among them, have the logits that they have there
    test = read_table(layout.split("test")).head(10)
    known = read_logits(
        layout.logits_of("baseline", "test"), read_table(layout.split("test"))["id"]
    )
    both = test.select("id", "label").join(stored, on="id", how="left", maintain_order="left")
    assert both["label"].to_list() == both["label_right"].to_list()
    assert np.array_equal(both.select("logit_0", "logit_1").to_numpy(), known[:10])


def test_what_the_teacher_alone_labelled_is_seen_too(project: Path) -> None:
    layout = Layout(project)
    table = read_table(layout.split("test")).head(3)
    content = NEW + "".join(
        f'"{text}",{label}\n' for text, label in table.select("text", "label").rows()
    )
    write_table(layout.unlabelled_texts, table.select("id", "text").head(2))
    with_sets(project, met=content)
    predict_extra.main(project, "baseline")
    assert read_json(layout.extra_report("baseline"))["met"]["removed_seen"] == 2
    assert not set(table["id"][:2]) & set(read_table(layout.extra_set("baseline", "met"))["id"])


def test_running_it_again_gives_the_same_bytes_and_forgets_a_set_that_is_gone(
    project: Path,
) -> None:
    with_sets(project, one=NEW, two=NEW)
    predict_extra.main(project, "baseline")
    before = tree(Layout(project).extra("baseline"))
    predict_extra.main(project, "baseline")
    assert tree(Layout(project).extra("baseline")) == before
    with_sets(project, two=NEW)
    predict_extra.main(project, "baseline")
    assert set(tree(Layout(project).extra("baseline"))) == {"report.json", "two.parquet"}


@pytest.mark.parametrize("model", ["teacher", "student", "quantized"])
def test_a_transformer_does_the_same(
    project: Path, tokenizer: "PreTrainedTokenizerBase", model: str
) -> None:
    layout = Layout(project)
    folders.save(classifier(), tokenizer, layout.model(model))
    with_sets(project, seen=seen_set(project)[0])
    for name in (model, "baseline"):
        predict_extra.main(project, name)
    assert read_json(layout.extra_report(model)) == read_json(layout.extra_report("baseline"))
    ours, theirs = (read_table(layout.extra_set(name, "seen")) for name in (model, "baseline"))
    assert ours.schema == theirs.schema
    assert ours.select("id", "label").equals(theirs.select("id", "label"))
    assert len(np.unique(ours["logit_1"].to_numpy())) > 1
    assert {file.name for file in layout.extra(model).iterdir()} == {"report.json", "seen.parquet"}


def test_generated_data_has_files_with_text_and_label(tmp_path: Path) -> None:
    root = new_project(tmp_path / "project")
    (root / "data" / "raw" / "embedded" / "real.csv").write_text(NEW.replace("url,", "text,"))
    edit(root, {"extra": {"real": "data/raw/embedded/real.csv"}})
    prepare.main(root)
    teacher_unlabelled.main(root)
    baseline.main(root)
    predict_extra.main(root, "baseline")
    assert read_json(Layout(root).extra_report("baseline"))["real"]["kept"] == {
        "safe": 1,
        "phishing": 1,
    }


def test_a_published_split_of_the_preset_is_no_column_of_the_set(project: Path) -> None:
    edit(project, {"data.split_column": "split"}, "file")
    with_sets(project, other=NEW)
    predict_extra.main(project, "baseline")
    assert read_json(Layout(project).extra_report("baseline"))["other"]["rows_read"] == 2


@pytest.mark.parametrize(
    ("model", "sets"), [*((model, {}) for model in JUDGED), ("baseline", {"other": NEW})]
)
def test_torch_is_not_imported_without_need(
    project: Path, model: str, sets: dict[str, str]
) -> None:
    with_sets(project, **sets)
    code = (
        "import sys; from pathlib import Path; from minnow.stages import predict_extra as stage; "
    )
    code += f"stage.main(Path('.'), {model!r}); sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project,
        env=environment,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert set(read_json(Layout(project).extra_report(model))) == set(sets)
    assert len(list(Layout(project).extra(model).iterdir())) == 1 + len(sets)


BAD: list[tuple[bytes | None, list[str]]] = [
    (None, ["extra.other: ", "other.csv is missing; put the file there"]),
    (b"", ["extra.other: other.csv is empty; fill it"]),
    (b"url,label\n", ["extra.other: other.csv holds no rows"]),
    (
        b"link,label\na.com,1\n",
        ["extra.other: other.csv has no column 'url'; it has: link, label"],
    ),
    (
        b"url,label\na.com,1\nb.com,1\n",
        ["extra.other: one class only", "give rows of both classes"],
    ),
    (
        b"url,label\na.com,1\na.com,0\n",
        ["extra.other: one class only: 0 safe and 0 phishing rows", "2 both_labels"],
    ),
    (
        b"url,label\na.com,1\nb.com,0\nc.com,x\n",
        ["extra.other: column 'label' holds", "set negative_label"],
    ),
    (bytes(range(256)) * 9, ["extra.other: other.csv"]),
]


@pytest.mark.parametrize("model", ["baseline", "student"])
@pytest.mark.parametrize(("content", "words"), BAD)
def test_a_bad_set_is_one_line(
    project: Path, run: Run, model: str, content: bytes | None, words: list[str]
) -> None:
    """Although the set before it is good, and whatever the model, which is not even there."""
    with_sets(project, good=NEW, other=content or b"")
    if content is None:
        (project / OTHER).unlink()
    refused(project, run, f"predict_extra {model}", *words)


def test_a_set_that_was_trained_on_is_one_line(project: Path, run: Run) -> None:
    rows = pl.concat(read_table(Layout(project).split(split)) for split in ("train", "validation"))
    rows.select(url="text", label="label").write_csv(project / OTHER)
    edit(project, {"extra": {"again": OTHER}})
    words = [
        "extra.again: one class only: 0 safe and 0 phishing rows are left",
        f"{rows.height} seen in training or validation",
    ]
    refused(project, run, "predict_extra baseline", *words)


PARAMS: list[tuple[Any, list[str]]] = [
    (
        {"../up": OTHER},
        ["extra: '../up' names a set and a file; use at most 64 letters, digits, - and _"],
    ),
    (
        {"other": "data/raw/other.csv"},
        ["extra.other is 'data/raw/other.csv'; it must lie in data/raw/file/"],
    ),
    ({"other": "../../etc/passwd"}, ["extra.other: ", "leads out of the project"]),
    ({"other": "data/raw/hub/x.csv"}, ["extra.other is ", "it must lie in data/raw/file/"]),
    ({"other": "data/raw/file"}, ["extra.other: ", "is a folder, not a file"]),
    ({"other": 1}, ["extra.other is 1: must be a valid string"]),
    (None, ["extra is null"]),
]


@pytest.mark.parametrize(("extra", "words"), PARAMS)
def test_bad_params(project: Path, run: Run, extra: Any, words: list[str]) -> None:
    edit(project, {"extra": extra})
    refused(project, run, "predict_extra baseline", *words)


@pytest.mark.parametrize(
    ("model", "word"), [("", "given ''"), ("studnet", "did you mean 'student'?")]
)
def test_an_unknown_model(project: Path, run: Run, model: str, word: str) -> None:
    words = ["predict_extra takes one of baseline, teacher, student, quantized", word]
    refused(project, run, f"predict_extra {model}", *words)


@pytest.mark.parametrize("model", ["baseline", "student"])
def test_without_the_model_nothing_is_left(project: Path, run: Run, model: str) -> None:
    shutil.rmtree(Layout(project).model(model), ignore_errors=True)
    Layout(project).extra(model).parent.mkdir()
    with_sets(project, other=NEW)
    refused(
        project,
        run,
        f"predict_extra {model}",
        f"{model}/manifest.json is missing; `dvc repro` makes it",
    )
