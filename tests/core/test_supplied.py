"""Files that a user or the Hub supplies: what may be opened, and what is refused unopened."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from minnow.core.supplied import supplied_file, supplied_files
from minnow.errors import MinnowError

DIGEST = "0123456789abcdef0123456789abcd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file, beside a file that is none of its."""
    (tmp_path / "secret.csv").write_text("url,label\n")
    made = tmp_path / "set"
    made.mkdir()
    (made / "good.csv").write_text("url,label\n")
    return made


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


REFUSED: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.symlink_to("../secret.csv"), "leads to"),
    (lambda path: path.symlink_to(path.parent.parent / "secret.csv"), "outside"),
    (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    (lambda path: path.symlink_to("nowhere.csv"), "is a link to nothing"),
    (lambda path: path.symlink_to(path.name), "cannot be read"),
    (lambda path: path.symlink_to("../../set/../secret.csv"), "leads to"),
    (os.mkfifo, "is a named pipe"),
    (bind, "is a socket"),
    (lambda path: path.symlink_to("."), "is a folder"),
]


@pytest.mark.parametrize(("make", "words"), REFUSED)
def test_what_is_no_file_of_the_folder_is_refused_unopened(
    folder: Path, make: Callable[[Path], object], words: str
) -> None:
    path = folder / "bad.csv"
    make(path)
    start = time.monotonic()
    for refused in (lambda: supplied_file(path, folder), lambda: supplied_files(folder)):
        with pytest.raises(MinnowError) as caught:
            refused()
        assert "bad.csv" in str(caught.value)
        assert words in str(caught.value) or "link to nothing" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 1  # a pipe without a writer would block


def test_a_folder_named_like_a_file_is_no_file(folder: Path) -> None:
    (folder / "train.csv").mkdir()
    with pytest.raises(MinnowError, match=r"train\.csv is a folder, not a file"):
        supplied_file(folder / "train.csv", folder)


@pytest.mark.parametrize("name", ["missing.csv", "x" * 5000, "nul\0.csv", "../secret.csv"])
def test_a_name_that_cannot_be(folder: Path, name: str) -> None:
    with pytest.raises(MinnowError):
        supplied_file(folder / name, folder)


def test_files_in_folders_and_links_between_them_are_fine(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "more.csv").write_text("x")
    (folder / "again.csv").symlink_to("deep/more.csv")
    (folder / ".cache").symlink_to("/dev")
    names = ["again.csv", "deep/more.csv", "good.csv"]
    assert [path.relative_to(folder).as_posix() for path in supplied_files(folder)] == names


def test_dvc_may_link_from_its_cache_and_the_hub_from_a_snapshot_to_its_blobs(
    tmp_path: Path,
) -> None:
    cached = tmp_path / "cache" / "files" / "md5" / "ab" / DIGEST
    blob = tmp_path / "hub" / "datasets--me--set" / "blobs" / DIGEST
    snapshot = blob.parents[1] / "snapshots" / "commit"
    for file in (cached, blob):
        file.parent.mkdir(parents=True)
        file.write_text("x")
    (snapshot / "data").mkdir(parents=True)
    (snapshot / "tracked.csv").symlink_to(cached)
    (snapshot / "data" / "train.csv").symlink_to(f"../../../blobs/{DIGEST}")
    assert len(supplied_files(snapshot)) == 2
    foreign = tmp_path / "hub" / "datasets--other--set" / "blobs" / DIGEST
    foreign.parent.mkdir(parents=True)
    foreign.write_text("x")
    (snapshot / "foreign.csv").symlink_to(foreign)
    with pytest.raises(MinnowError, match=r"foreign\.csv leads to"):
        supplied_files(snapshot)


def test_a_device_is_refused_where_a_linked_cache_object_is_one(tmp_path: Path) -> None:
    cached = tmp_path / "files" / "md5" / "ab" / DIGEST
    cached.parent.mkdir(parents=True)
    cached.symlink_to("/dev/zero")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "train.csv").symlink_to(cached)
    with pytest.raises(MinnowError, match="is a device"):
        supplied_file(tmp_path / "set" / "train.csv", tmp_path / "set")
