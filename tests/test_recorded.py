"""A stage refuses what is not what dvc.lock says of it, whatever DVC believes."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.errors import one_line
from helpers.rot import rot
from minnow.errors import MinnowError
from minnow.recorded import md5_of, overlap, require_recorded

PIPELINE = """
stages:
  make:
    cmd: cp -r made/. .
    outs: [models/one, data/c, data/d, made.json: {cache: false}]
  read: {cmd: ls, deps: ["data/raw/${preset}", data, made.json]}
  each: {matrix: {model: [one, two]}, cmd: ls, deps: ["models/${item.model}/b"]}
  both: {foreach: [one], do: {cmd: ls, deps: ["models/${item}"]}}
"""
MADE = ("models/one/deep/é", "models/one/b", "data/c", "data/d", "made.json")
READERS = {
    "models/one/b": {"each@one", "both@one"},
    "models/one/deep/é": {"each@one", "both@one"},  # of a folder as a whole
    "data/c": {"read"},
    "data/d": {"read"},
    "made.json": {"read"},
}
STAGES = ("make", "read", "each@one", "each@two", "both@one", "both@two")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose first stage has been run by DVC itself."""
    folder = tmp_path_factory.mktemp("recorded")
    for name in MADE:
        (folder / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "made" / name).write_text(name)
    (folder / "dvc.yaml").write_text(PIPELINE.replace("${preset}", "x"))
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)}
    command = "git init -q && dvc init -q && dvc repro -q make"
    subprocess.run(command, shell=True, cwd=folder, env=environment, check=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    return folder


def refusals(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return what each stage that refuses to run says."""
    said = {}
    for stage in STAGES:
        monkeypatch.setenv("DVC_STAGE", stage)
        try:
            require_recorded(root)
        except MinnowError as error:
            said[stage] = str(error)
    return said


@pytest.mark.parametrize("name", READERS)
def test_who_reads_what_has_rotted_refuses_to_run(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert refusals(root, monkeypatch) == {}
    rot(root / name)
    said = refusals(root, monkeypatch)
    rot(root / name)
    out = "models/one" if name.startswith("models") else name
    assert set(said) == READERS[name]
    for line in said.values():
        assert f"{out} is not what dvc.lock says of it" in line
        assert f"`rm -rf {out} && " in line


def test_what_is_missing_is_left_to_who_reads_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "made.json").rename(root / "away")
    assert refusals(root, monkeypatch) == {}
    (root / "away").rename(root / "made.json")


def test_by_hand_and_without_a_lock_nothing_is_compared(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rot(root / "data" / "c")
    monkeypatch.delenv("DVC_STAGE", raising=False)
    require_recorded(root)
    monkeypatch.setenv("DVC_STAGE", "read")
    require_recorded(tmp_path)
    with pytest.raises(MinnowError) as error:
        require_recorded(root)
    one_line(error)
    rot(root / "data" / "c")


def test_a_files_md5_by_hand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a")
    assert md5_of(tmp_path / "file") == hashlib.md5(b"a").hexdigest()
    listing = f'[{{"md5": "{hashlib.md5(b"a").hexdigest()}", "relpath": "file"}}]'
    assert md5_of(tmp_path) == hashlib.md5(listing.encode()).hexdigest() + ".dir"


def test_overlap() -> None:
    assert all(overlap(*pair) for pair in [("a", "a"), ("a", "a/b"), ("a/b", "a")])
    assert not any(overlap(*pair) for pair in [("a", "ab"), ("ab", "a"), ("a/b", "a/c")])
