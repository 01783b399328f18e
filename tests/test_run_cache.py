"""Looking into DVC's run-cache: only for DVC, and a cache that cannot be read stops nobody."""

from pathlib import Path

import pytest
from dvc.exceptions import DvcException

from minnow import run_cache


def test_outside_dvc_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DVC_STAGE", raising=False)
    assert not run_cache.restored(tmp_path)


def test_a_cache_that_cannot_be_read_is_told_and_the_stage_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DVC_STAGE", "teacher")
    assert not run_cache.restored(tmp_path), "no repository"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "run-cache cannot be read" in said
    assert "teacher runs anew" in said
    with pytest.raises(DvcException):
        run_cache._checked_out(tmp_path, "teacher")
