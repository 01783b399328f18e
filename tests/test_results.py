"""Tables between markers: what is rendered, that a second time changes nothing, and what is refused."""

import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from minnow import store
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.tools import results

METRICS = {
    "accuracy": 0.9,
    "precision": 0.91,
    "recall": 0.89,
    "f1": 0.9,
    "roc_auc": 0.95,
    "validation_f1": 0.9012,
    "size_mb": 91.333,
    "parameters": 22713986,
    "compression_x": 1.0,
}
MARKED = "# Results\n\n<!-- results:{name} -->\nold\n<!-- /results -->\n\nThe end.\n"


def project(root: Path, name: str, **parts: Any) -> Path:
    """Write docs/results.md with one marker, and docs/results/mine.json."""
    (root / "docs").mkdir()
    (root / "docs" / "results.md").write_text(MARKED.format(name=name))
    store.write_json(root / "docs" / "results" / "mine.json", parts)
    return root / "docs" / "results.md"


def test_models_stand_in_the_order_of_the_pipeline(tmp_path: Path) -> None:
    document = project(tmp_path, "mine", models=dict.fromkeys(["student", "quantized", "ngrams", "teacher"], METRICS))
    results.main(tmp_path)
    lines = document.read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == [
        "| model",
        "| ---",
        "| character n-grams",
        "| teacher",
        "| student",
        "| quantized",
    ]
    assert "| teacher | 0.9000 | 0.9100 | 0.8900 | 0.9000 | 0.9500 | 0.9012 | 91.3 | 22,713,986 | 1.0 |" in lines
    assert lines[0] == "# Results"
    assert lines[-1] == "The end."


def test_rendering_twice_changes_nothing_and_check_agrees(tmp_path: Path) -> None:
    document = project(tmp_path, "mine.models", models={"teacher": METRICS})
    with pytest.raises(MinnowError, match="make results"):
        results.main(tmp_path, "check")
    assert "old" in document.read_text()
    results.main(tmp_path)
    once = document.read_text()
    results.main(tmp_path)
    results.main(tmp_path, "check")
    assert document.read_text() == once


def test_readme_shows_the_embedded_presets_metrics(tmp_path: Path) -> None:
    for model in ("teacher", "student", "quantized"):
        store.write_json(tmp_path / "metrics" / f"{model}.json", METRICS)
    store.write_json(Layout(tmp_path).metrics("prepare"), {"source": "synthetic"})
    (tmp_path / "README.md").write_text(MARKED.format(name="embedded"))
    results.main(tmp_path)
    assert "| quantized | 0.9000 |" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mime", "did you mean 'mine'"),
        ("mine.model", "did you mean 'models'"),
        ("mine.curves", "has no part 'curves'"),
        ("embedded", "dvc repro"),
    ],
)
def test_a_marker_that_names_nothing_is_refused(tmp_path: Path, name: str, message: str) -> None:
    document = project(tmp_path, name, models={"teacher": METRICS})
    with pytest.raises(MinnowError, match=message):
        results.main(tmp_path)
    assert "old" in document.read_text()


@pytest.mark.parametrize("text", ["<!-- results:mine -->\nno end\n", "<!-- results:mine --> a <!-- /results -->\n"])
def test_a_marker_that_is_not_closed_is_refused(tmp_path: Path, text: str) -> None:
    project(tmp_path, "mine", models={"teacher": METRICS}).write_text(text)
    with pytest.raises(MinnowError, match="line of its own"):
        results.main(tmp_path)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match="allowed: check"):
        results.main(tmp_path, "chek")


def test_sign_test_by_hand() -> None:
    assert results.sign_test(0, 0) == 1.0
    assert results.sign_test(5, 5) == 1.0
    assert results.sign_test(0, 5) == pytest.approx(2 / 32)
    assert results.sign_test(3, 1) == results.sign_test(1, 3) == pytest.approx(2 * (1 + 4) / 16)


def test_pairs_name_who_alone_is_right(tmp_path: Path) -> None:
    pairs = [{"from": one, "to": other, "mended": 9, "broken": 1} for one, other in results.SHOWN_PAIRS]
    document = project(tmp_path, "mine.pairs", pairs=pairs)
    results.main(tmp_path)
    assert "| student without teacher | student | 1 | 9 | 0.021 |" in document.read_text()


def test_runs_take_each_runs_best_epoch_and_average_over_seeds(tmp_path: Path) -> None:
    runs = [
        {"batch_size": 64, "dropout": dropout, "seed": seed, "validation_f1": [0.5, 0.9 + seed / 100, 0.8]}
        for seed in (0, 1)
        for dropout in (None, 0)
    ]
    document = project(tmp_path, "mine.runs", runs=runs)
    results.main(tmp_path)
    assert "| 64 | 0 | 0.9000 | 0.9100 | 0.9050 |" in document.read_text()


def test_results_of_other_data_never_stand_in_for_the_embedded_ones(tmp_path: Path) -> None:
    store.write_json(Layout(tmp_path).metrics("prepare"), {"source": "file"})
    (tmp_path / "README.md").write_text(MARKED.format(name="embedded"))
    with pytest.raises(MinnowError, match="metrics/ holds results of 'file' data"):
        results.main(tmp_path)


def test_the_projects_own_documents_match_their_results_as_committed(tmp_path: Path) -> None:
    """At HEAD, not in the workspace: its metrics may come from another CPU or another preset."""
    root = Path(__file__).resolve().parents[1]
    archive = subprocess.run(["git", "archive", "HEAD", "README.md", "docs", "metrics"], cwd=root, capture_output=True)
    if archive.returncode:
        pytest.skip("no git history with results here")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path, filter="data")
    results.main(tmp_path, "check")
