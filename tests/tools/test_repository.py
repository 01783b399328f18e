"""Where DVC cannot work, one line says what to do."""

import subprocess
from pathlib import Path

import pytest

from helpers.errors import one_line
from helpers.pipeline import BIN, ENVIRONMENT
from minnow.errors import MinnowError
from minnow.tools import plots_template, repository


def made(folder: Path) -> Path:
    """Return a folder that is a repository of git and DVC."""
    folder.mkdir()
    for words in (["git", "init", "-q"], [str(BIN / "dvc"), "init", "-q"]):
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
    (tmp_path / ".git").mkdir()
    with pytest.raises(MinnowError, match="repository takes one of experiments, given 'x'"):
        repository.main(tmp_path, "x")
