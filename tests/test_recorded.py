"""A stage refuses what is not what dvc.lock says of it, whatever DVC believes."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.errors import one_line
from helpers.rot import rot
from minnow.errors import MinnowError
from minnow.recorded import locked, md5_of, overlap, require_recorded

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


def environment(folder: Path) -> dict[str, str]:
    return {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository whose first stage has been run by DVC itself."""
    folder = tmp_path_factory.mktemp("recorded")
    for name in MADE:
        (folder / "made" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "made" / name).write_text(name)
    (folder / "dvc.yaml").write_text(PIPELINE.replace("${preset}", "x"))
    command = "git init -q && dvc init -q && dvc repro -q make"
    subprocess.run(command, shell=True, cwd=folder, env=environment(folder), check=True)
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


@pytest.mark.parametrize(
    ("ignored", "name"),
    [("*.tmp", "x.tmp"), ("models/one/away", "away/y"), (".git", "deep/.git/z"), ("*.tmp\n", ".h")],
)
def test_what_dvc_ignores_is_no_part_of_a_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, ignored: str, name: str
) -> None:
    """And what it does not ignore is: a file that was added counts as damage."""
    before = (root / ".dvcignore").read_text()
    (root / ".dvcignore").write_text(ignored)
    added = root / "models" / "one" / name
    added.parent.mkdir(exist_ok=True)
    added.write_text("x")
    said = refusals(root, monkeypatch)
    state = ["dvc", "status", "make"]
    shown = subprocess.run(state, cwd=root, env=environment(root), capture_output=True, text=True)
    added.unlink()
    (root / ".dvcignore").write_text(before)
    assert set(said) == (READERS["models/one/b"] if name == ".h" else set())
    assert ("models/one" in shown.stdout) == bool(said), "as DVC itself says"


CONFLICT = "<<<<<<< HEAD\nstages: {}\n=======\nstages: {}\n>>>>>>> other\n"


@pytest.mark.parametrize(
    "edit",
    [
        *(lambda lock, text=text: text for text in ("", "stages: [", "[]", "stages: 7", "\t", "a")),
        lambda lock: CONFLICT + lock,
        lambda lock: lock.replace("md5: ", "sha: "),
        lambda lock: re.sub("md5: [0-9a-f].*", "md5: 7", lock),
        lambda lock: re.sub("path: .*", "path: [x]", lock),
        lambda lock: lock.replace("outs:", "outs: 7\n    others:"),
        lambda lock: "[" * 5_000,
        lambda lock: lock + "\0",
    ],
)
def test_a_lock_that_was_edited_gets_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, edit: Callable[[str], str]
) -> None:
    lock = root / "dvc.lock"
    before = lock.read_text()
    lock.write_text(edit(before))
    said = refusals(root, monkeypatch)
    lock.write_text(before)
    assert set(said) == set(STAGES)
    for line in said.values():
        assert "dvc.lock is not as DVC writes it" in line
        assert "`git checkout -- dvc.lock`" in line


def test_a_lock_that_is_no_text_gets_one_line(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match="not as DVC writes it"):
        locked(b"\xff\xfe")


def test_a_files_md5_by_hand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a")
    assert md5_of(tmp_path / "file", tmp_path) == hashlib.md5(b"a").hexdigest()
    listing = f'[{{"md5": "{hashlib.md5(b"a").hexdigest()}", "relpath": "file"}}]'
    assert md5_of(tmp_path, tmp_path) == hashlib.md5(listing.encode()).hexdigest() + ".dir"


def test_overlap() -> None:
    assert all(overlap(*pair) for pair in [("a", "a"), ("a", "a/b"), ("a/b", "a")])
    assert not any(overlap(*pair) for pair in [("a", "ab"), ("ab", "a"), ("a/b", "a/c")])
