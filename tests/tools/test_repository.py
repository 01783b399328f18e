"""Where DVC cannot work, one line says what to do."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.errors import one_line
from helpers.pipeline import BIN, ENVIRONMENT
from minnow.errors import MinnowError
from minnow.tools import plots_template, repository, same_results


def made(folder: Path) -> Path:
    """Return a folder that is a repository of git and DVC."""
    folder.mkdir()
    commit = ["git", "commit", "-q", "-m", "start"]
    for words in (["git", "init", "-q"], [str(BIN / "dvc"), "init", "-q"], commit):
        subprocess.run(words, cwd=folder, env=ENVIRONMENT, check=True)
    return folder


def test_a_folder_without_git_is_told_how_to_become_a_repository(tmp_path: Path) -> None:
    for refuses in (repository.main, plots_template.main):
        with pytest.raises(MinnowError, match=r"is no git repository, .* `git init && ") as error:
            refuses(tmp_path)
        one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_temporary_experiments_need_a_cache_whose_path_is_ascii(tmp_path: Path) -> None:
    root = made(tmp_path / "Füße")
    repository.main(root)
    with pytest.raises(MinnowError, match=r"no letters beyond ASCII, .*/Füße/.* has") as error:
        repository.main(root, "experiments")
    remedy = one_line(error).split("`")[1].replace("/path/of/plain/letters", str(tmp_path / "c"))
    subprocess.run([str(BIN / "dvc"), *remedy.split()[1:]], cwd=root, env=ENVIRONMENT, check=True)
    repository.main(root, "experiments")


def test_another_use_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    with pytest.raises(MinnowError, match="repository takes one of experiments, given 'x'"):
        repository.main(tmp_path, "x")


def link_to_nothing(git: Path) -> None:
    git.symlink_to("nowhere")


@pytest.mark.parametrize("within", [True, False], ids=["in another repository", "alone"])
@pytest.mark.parametrize(
    "damage",
    [
        Path.mkdir,
        Path.touch,
        link_to_nothing,
        lambda git: git.write_text("gitdir: /nowhere"),
        lambda git: git.write_bytes(b"\xff\xfe"),
    ],
)
def test_a_broken_git_folder_is_no_repository(
    tmp_path: Path, damage: Callable[[Path], object], within: bool
) -> None:
    if within:
        subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    root = tmp_path / "a checkout"
    root.mkdir()
    (root / "file").touch()
    damage(root / ".git")
    with pytest.raises(
        MinnowError, match=r"\.git is damaged.*move it away.*`git init && "
    ) as error:
        repository.main(root)
    (root / ".git").rename(tmp_path / "away")
    typed(one_line(error), root, ENVIRONMENT)
    repository.main(root)


def typed(line: str, root: Path, environment: dict[str, str]) -> None:
    """Run the first command of a message."""
    subprocess.run(["sh", "-c", line.split("`")[1]], cwd=root, env=environment, check=True)


def test_the_first_commit_needs_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where git knows none, the command that is told brings one."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text("[user]\n    useConfigOnly = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "file").touch()
    with pytest.raises(MinnowError) as error:
        repository.main(tmp_path)
    typed(one_line(error), tmp_path, dict(os.environ))
    repository.main(tmp_path)


def test_experiments_need_a_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, env=ENVIRONMENT, check=True)
    repository.main(tmp_path)
    with pytest.raises(MinnowError, match="has no commit yet"):
        repository.main(tmp_path, "experiments")


def test_a_folder_of_somebody_else_is_told_how_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = made(tmp_path / "a checkout")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(MinnowError, match="belongs to another user") as error:
        repository.main(root)
    typed(one_line(error), root, dict(os.environ))
    repository.main(root)


def test_without_git_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for tool in (repository.main, plots_template.main, same_results.main):
        with pytest.raises(MinnowError, match="no program git on PATH") as error:
            tool(tmp_path)
        one_line(error)
