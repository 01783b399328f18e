"""DVC's run-cache: what was trained once is not trained again, whatever became of dvc.lock."""

import shutil
from pathlib import Path

import pytest
import yaml

from helpers.pipeline import run, stages_run

pytestmark = pytest.mark.pipeline

TRAINED = ("teacher", "distill")


def trained(output: str) -> set[str]:
    """Return the trainings of which the output shows an epoch."""
    return {name for name in ("teacher", "student") if f"{name} epoch" in output}


def of_another_cpu(clone: Path) -> None:
    """Commit a lock in which whatever is trained, and what is made of it, has other contents."""
    lock = clone / "dvc.lock"
    text = lock.read_text()
    stages = yaml.safe_load(text)["stages"]
    for stage in TRAINED:
        for out in stages[stage]["outs"]:
            other = out["md5"].replace(out["md5"][:8], "0" * 8)
            text = text.replace(out["md5"], other)
    lock.write_text(text)
    run(clone, "git", "commit", "--all", "--quiet", "--message", "results of another CPU")


@pytest.fixture(scope="module")
def once_trained(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose committed lock names what cannot be had, trained here all the same."""
    folder = tmp_path_factory.mktemp("run_cache")
    run(folder, "git", "clone", "--quiet", str(built), "clone")
    of_another_cpu(folder / "clone")
    assert trained(run(folder / "clone", "dvc", "repro", "distill")) == {"teacher", "student"}
    return folder / "clone"


@pytest.fixture
def clone(once_trained: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return shutil.copytree(once_trained, tmp_path / "clone", symlinks=True)


def test_a_lock_of_another_cpu_trains_nothing_twice(clone: Path) -> None:
    """`make repro`, `git checkout -- .`, and an experiment that changes what comes later."""
    run(clone, "git", "checkout", "--quiet", "--", ".")
    changed = ("-S", "quantize.embeddings=int8", "quantize")
    output = run(clone, "dvc", "exp", "run", "--temp", *changed)
    assert trained(output) == set()
    assert "teacher has run with these inputs before" in output, "the rest DVC finds by itself"
    output = run(clone, "dvc", "exp", "run", "--temp", "-S", "distill.temperature=4", "distill")
    assert trained(output) == {"student"}


def test_a_lost_lock_trains_nothing_twice(clone: Path) -> None:
    (clone / "dvc.lock").unlink()
    assert not set(TRAINED) & set(stages_run(run(clone, "dvc", "repro", "distill")))


def test_who_forces_a_stage_gets_it_run(clone: Path) -> None:
    output = run(clone, "dvc", "repro", "--force", "--single-item", "distill")
    assert trained(output) == {"student"}
