"""After `make repro`: a line where results differ and nothing of the user's own explains it."""

import subprocess
from pathlib import Path

import pytest

from helpers.errors import one_line
from minnow.errors import MinnowError
from minnow.tools import same_results

LOCK = """
stages:
  teacher:
    deps: [{path: src/code.py, md5: a1}, {path: data/prepared, md5: b1}]
    params: {params.yaml: {seed: 0}}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("metrics/teacher.json", "src/code.py"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("1\n")
    (tmp_path / "dvc.lock").write_text(LOCK)
    author = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("edited", "lines"),
    [
        ([], 0),
        (["metrics/teacher.json"], 1),
        (["src/code.py"], 0),
        (["metrics/teacher.json", "src/code.py"], 0),
    ],
)
def test_a_line_where_only_results_differ(
    repository: Path, edited: list[str], lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in edited:
        (repository / name).write_text("2\n")
    same_results.main(repository)
    said = capsys.readouterr().err
    assert said.count("\n") == lines
    assert ("1 committed results differ" in said) == bool(lines)
    assert ("docs/reproducibility.md" in said) == bool(lines)


@pytest.mark.parametrize(
    ("then", "now", "lines"), [("b1", "b2", 1), ("a1", "a2", 0), ("seed: 0", "seed: 1", 0)]
)
def test_results_of_code_committed_before_they_were_rebuilt_need_no_other_reason(
    repository: Path, then: str, now: str, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage's data may differ by the CPU; its code, its params and the raw data may not."""
    (repository / "metrics/teacher.json").write_text("2\n")
    (repository / "dvc.lock").write_text(LOCK.replace(then, now))
    same_results.main(repository)
    said = capsys.readouterr().err
    assert said.count("2 committed results differ") == lines == said.count("\n")


@pytest.mark.parametrize("text", ["<<<<<<< HEAD", "stages: 7", "[", "stages: {x: {outs: [{}]}}"])
def test_an_edited_lock_gets_one_line(repository: Path, text: str) -> None:
    (repository / "metrics/teacher.json").write_text("2\n")
    (repository / "dvc.lock").write_text(text)
    with pytest.raises(MinnowError, match=r"dvc.lock is not as DVC writes it") as caught:
        same_results.main(repository)
    one_line(caught)


def test_outside_git_nothing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same_results.main(tmp_path)
    assert capsys.readouterr().err == ""
