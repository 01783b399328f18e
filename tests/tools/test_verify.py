"""`make verify`: what counts as the same result on another machine."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from minnow.core.files import write_json
from minnow.errors import MinnowError
from minnow.layout import JUDGED, Layout
from minnow.tools import verify

METRICS: dict[str, float | None] = {
    "accuracy": 0.9,
    "f1": 0.9,
    "roc_auc": 0.95,
    "tpr_at_fpr_1pct": None,
    "size_mb": 2.5,
    "parameters": 1000,
}


def metrics(**changes: float) -> dict[str, dict[str, float | None]]:
    return {model: {**METRICS, **changes} for model in JUDGED}


def failed(**changes: float) -> set[str]:
    return {each.metric for each in verify.judge(metrics(), metrics(**changes)) if not each.passed}


def test_equal_metrics_pass() -> None:
    judgements = list(verify.judge(metrics(), metrics()))
    assert len(judgements) == len(JUDGED) * len(METRICS)
    assert all(each.passed for each in judgements)


def test_each_metric_has_its_tolerance() -> None:
    assert failed(accuracy=0.8901, f1=0.9099, roc_auc=0.9451) == set()
    assert failed(accuracy=0.8899) == {"accuracy"}
    assert failed(f1=0.9101) == {"f1"}
    assert failed(roc_auc=0.9449, size_mb=2.52) == {"roc_auc", "size_mb"}


def test_parameters_must_be_equal() -> None:
    assert failed(parameters=1001) == {"parameters"}


def test_what_could_not_be_said_must_stay_unsaid() -> None:
    assert failed(tpr_at_fpr_1pct=0.5) == {"tpr_at_fpr_1pct"}


def test_other_keys_are_refused() -> None:
    rebuilt = metrics()
    del rebuilt["student"]["f1"]
    with pytest.raises(MinnowError, match="student has other metrics"):
        list(verify.judge(metrics(), rebuilt))


def repository(root: Path) -> Path:
    """Return a git repository with committed metrics, whose `dvc repro` the tests replace."""
    root.mkdir()
    for model in JUDGED:
        write_json(Layout(root).metrics(model), METRICS)
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def rebuild_with(changes: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    real = verify.run

    def run(command: list[str], folder: Path) -> None:
        if command[0] == "git":
            real(command, folder)
            return
        if command[-1] == "repro":
            for model in JUDGED:
                write_json(Layout(folder).metrics(model), {**METRICS, **changes})

    monkeypatch.setattr(verify, "run", run)


def test_verify_rebuilds_head_and_says_what_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(tmp_path / "r")
    rebuild_with({"f1": 0.905}, monkeypatch)
    verify.main(root)
    printed = capsys.readouterr().out
    assert "student f1: 0.9 committed, 0.905 rebuilt, within tolerance" in printed
    assert f"verified: {len(JUDGED) * len(METRICS)} metrics rebuilt, 20 identical" in printed
    assert subprocess.check_output(["git", "status", "--porcelain"], cwd=root) == b""


def test_verify_fails_outside_the_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "r")
    rebuild_with({"f1": 0.5}, monkeypatch)
    with pytest.raises(MinnowError, match="4 of 24 metrics lie outside"):
        verify.main(root)


def test_a_failed_rebuild_is_one_line(tmp_path: Path) -> None:
    arguments: Any = (["false"], tmp_path)
    with pytest.raises(MinnowError, match="`false` failed"):
        verify.run(*arguments)
