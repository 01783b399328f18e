"""Files: whole or not at all, the same bytes for the same content, and damage that is noticed."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from helpers.paths import SRC
from minnow.core.files import (
    MANIFEST,
    PARTIAL,
    check_manifest,
    discard,
    first_damage,
    read_json,
    replacing,
    require_space,
    write_json,
    write_manifest,
)
from minnow.core.tables import read_logits, read_table, write_logits, write_table
from minnow.errors import MinnowError


def write_file(path: Path, content: str) -> None:
    path.write_text(content)


def write_folder(path: Path, content: str) -> None:
    (path / "inner").mkdir(parents=True)
    (path / "inner" / "file").write_text(content)
    (path / content).write_text("a name that only this version has")


def content(path: Path) -> dict[str, bytes]:
    """Return all files of a file's or folder's parent, by relative path."""
    return {
        str(f.relative_to(path.parent)): f.read_bytes()
        for f in path.parent.rglob("*")
        if f.is_file()
    }


# --- replacing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [write_file, write_folder])
@pytest.mark.parametrize("old", [None, write_file, write_folder])
def test_replacing_leaves_the_new_content_alone(
    tmp_path: Path, old: Callable[[Path, str], None] | None, new: Callable[[Path, str], None]
) -> None:
    path, expected = tmp_path / "deep" / "x", tmp_path / "expected" / "x"
    path.parent.mkdir()
    expected.parent.mkdir()
    new(expected, "new")
    if old:
        old(path, "old")
    with replacing(path) as temporary:
        new(temporary, "new")
    assert content(path) == content(expected)


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_an_error_inside_keeps_the_old_content(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "x"
    write(path, "old")
    before = content(path)

    def half() -> None:
        with replacing(path) as temporary:
            write(temporary, "new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert content(path) == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_an_error_while_replacing_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "x"
    write(path, "old")
    before = content(path)

    def refuse(self: Path, target: Path) -> None:
        raise OSError("no")

    def swap() -> None:
        with replacing(path) as temporary:
            write(temporary, "new")
            monkeypatch.setattr(Path, "replace", refuse)

    with pytest.raises(OSError, match="no"):
        swap()
    assert content(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from minnow.core import files\nwith"
        f" files.replacing(Path({str(tmp_path / 'x')!r})) as t: t.write_text('half'); os._exit(9)"
    )
    source = SRC
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONPATH": str(source)}, check=False
        ).returncode
        == 9
    )
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(PARTIAL)
    other = tmp_path / f".x.json.abcdefgh{PARTIAL}"
    other.mkdir()
    write_json(tmp_path / "x", 1)
    assert set(tmp_path.iterdir()) == {tmp_path / "x", other}, "another path's are left alone"


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_of_two_that_write_at_once_neither_is_disturbed_and_the_last_one_counts(
    tmp_path: Path, write: Callable[[Path, str], None]
) -> None:
    path = tmp_path / "x"
    with replacing(path) as slow:
        write(slow, "slow")
        with replacing(path) as fast:
            write(fast, "fast")
        assert "fast" in str(content(path))
    assert "slow" in str(content(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_what_is_written_has_reached_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced, path = [], tmp_path / "x"

    def fsync(opened: int) -> None:
        synced.append((Path(f"/proc/self/fd/{opened}").readlink(), path.exists()))

    monkeypatch.setattr("os.fsync", fsync)
    with replacing(path) as temporary:
        write_folder(temporary, "name")
    files = [entry.name for entry, taken in synced if not taken]
    assert sorted(files) == ["file", "inner", "name", "x"]
    assert synced[-1] == (tmp_path, True), "and the name has, too"


def test_discard_removes_files_and_folders_and_nothing(tmp_path: Path) -> None:
    write_file(tmp_path / "file", "")
    write_folder(tmp_path / "folder", "x")
    for name in ("file", "folder", "missing"):
        discard(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


# --- JSON and tables ------------------------------------------------------------------------------


def test_json_bytes_depend_on_the_value_alone(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"b": 1, "a": {"d": 0.1, "c": "é"}})
    write_json(tmp_path / "b", {"a": {"c": "é", "d": 0.1}, "b": 1})
    expected = '{\n  "a": {\n    "c": "é",\n    "d": 0.1\n  },\n  "b": 1\n}\n'
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == expected.encode()
    assert read_json(tmp_path / "a") == {"a": {"c": "é", "d": 0.1}, "b": 1}


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a", 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a", float("nan"))
    assert read_json(tmp_path / "a") == 1


@pytest.mark.parametrize("name", ["t.parquet", "t.csv"])
def test_equal_tables_give_equal_bytes(tmp_path: Path, name: str) -> None:
    for folder in ("a", "b"):
        write_table(tmp_path / folder / name, pl.DataFrame({"x": [1, 2], "y": ["é", None]}))
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = (
        pl.read_csv(tmp_path / "a" / name)
        if name.endswith("csv")
        else read_table(tmp_path / "a" / name)
    )
    assert table.rows() == [(1, "é"), (2, None)]


@pytest.mark.parametrize("read", [read_json, read_table])
@pytest.mark.parametrize(
    ("damage", "message"),
    [(None, "is missing; `dvc repro` makes it"), ("{", "makes DVC check its cache")],
)
def test_missing_and_broken_files_are_one_clear_error(
    tmp_path: Path, read: Callable[[Path], object], damage: str | None, message: str
) -> None:
    path = tmp_path / "file"
    if damage is not None:
        path.write_text(damage)
    with pytest.raises(MinnowError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


# --- logits ---------------------------------------------------------------------------------------

LOGITS = np.array([[0.1, -1.5], [2.0, 3.0], [1e-7, 1e7]], dtype=np.float32)


def test_logits_are_joined_by_id(tmp_path: Path) -> None:
    file = tmp_path / "logits.parquet"
    write_logits(file, ["a", "b", "c"], LOGITS)
    assert read_table(file).columns == ["id", "logit_0", "logit_1"]
    result = read_logits(file, ["c", "a", "b"])
    assert result.flags.writeable, "torch warns of others"
    assert result.dtype == np.float32
    assert np.array_equal(result, LOGITS[[2, 0, 1]])


@pytest.mark.parametrize(
    ("stored", "wanted", "message"),
    [
        ("abc", "abcd", "1 of 4 ids are missing and 0 are foreign"),
        ("abc", "ab", "0 of 2 ids are missing and 1 are foreign"),
        ("abc", "xyz", "3 of 3 ids are missing and 3 are foreign"),
        ("aba", "ab", "holds an id more than once"),
    ],
)
def test_logits_of_other_rows_are_refused(
    tmp_path: Path, stored: str, wanted: str, message: str
) -> None:
    write_logits(tmp_path / "l.parquet", list(stored), LOGITS)
    with pytest.raises(MinnowError, match=message):
        read_logits(tmp_path / "l.parquet", list(wanted))


def test_tables_that_cannot_be_read_or_hold_no_logits_are_named(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    write_table(path, pl.DataFrame({"logit_0": [1.0]}))
    with pytest.raises(
        MinnowError, match=rf"^{re.escape(str(path))} holds no logits with ids, and DVC"
    ):
        read_logits(path, ["a"])
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(MinnowError, match=r"loop cannot be read \(Too many levels of symbolic"):
        read_table(tmp_path / "loop")


# --- manifests and disk space ---------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model folder with a manifest."""
    folder = tmp_path / "models" / "student"
    (folder / "inner").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 100)
    (folder / "inner" / "config.json").write_text("{}")
    write_manifest(folder, {"parameters": 7})
    return folder


def test_a_manifest_names_size_and_hash_of_every_file(model: Path) -> None:
    manifest = read_json(model / MANIFEST)
    assert manifest["parameters"] == 7
    assert manifest["files"] == {
        "inner/config.json": {"bytes": 2, "sha256": hashlib.sha256(b"{}").hexdigest()},
        "model.safetensors": {
            "bytes": 25_600,
            "sha256": hashlib.sha256(bytes(range(256)) * 100).hexdigest(),
        },
    }
    check_manifest(model)


def test_one_flipped_bit_is_found(model: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[12_345] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    with pytest.raises(MinnowError, match=r"model\.safetensors differs from its manifest"):
        check_manifest(model)


def test_a_missing_file_is_found(model: Path) -> None:
    (model / "inner" / "config.json").unlink()
    with pytest.raises(MinnowError, match=r"config\.json is missing"):
        check_manifest(model)


def test_a_file_may_be_left_out_of_the_comparison(model: Path) -> None:
    manifest = read_json(model / MANIFEST)
    (model / "model.safetensors").write_bytes(b"")
    assert first_damage(model, manifest, but=["model.safetensors"]) == ""
    assert first_damage(model, manifest).endswith("model.safetensors differs from its manifest")
    assert first_damage(model, []).endswith("manifest.json lists no files")


@pytest.mark.parametrize("name", ["../x", "a/../x", "/x", "a//x", "./x", "a\\x", "a\nx", ""])
def test_a_name_that_leads_out_of_the_folder_is_no_file_of_it(model: Path, name: str) -> None:
    manifest = read_json(model / MANIFEST)
    listed = {"files": {name: manifest["files"]["model.safetensors"]}}
    said = first_damage(model, listed, but=[name])
    assert said == f"{model / MANIFEST} lists {name!r}, which is no file below it"


def test_the_remedy_for_a_damaged_model_mends_dvcs_cache(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC restores a damaged cache object without a word; what the error says to type makes it
    build anew.
    """
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def shell(command: str) -> None:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    shutil.move(model, tmp_path / "made")
    (tmp_path / "dvc.yaml").write_text(
        "stages: {student: {cmd: mkdir -p models && cp -r made models/student, deps: [made], outs:"
        " [models/student]}}"
    )
    shell("git init -q && dvc init -q && dvc repro -q")
    check_manifest(model)

    content = (model / "model.safetensors").read_bytes()
    md5 = hashlib.md5(content).hexdigest()
    cached = tmp_path / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    assert cached.read_bytes() == content
    cached.chmod(0o644)
    cached.write_bytes(content[:-1] + b"?")
    cached.chmod(0o444)
    shell("rm -rf models && dvc repro -q")
    with pytest.raises(MinnowError) as error:
        check_manifest(model)

    (remedy,) = re.findall(r"`(.*)`", str(error.value))
    shell(remedy)
    check_manifest(model)
    assert cached.read_bytes() == content, "the cache is mended too"


def test_too_little_disk_space_is_refused_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> SimpleNamespace:
        asked.append(path)
        return SimpleNamespace(free=300_000_000)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    require_space(tmp_path / "not" / "yet", 300_000_000)
    with pytest.raises(MinnowError, match="300 MB free and about 1500 MB are needed"):
        require_space(tmp_path / "not" / "yet", 1_500_000_000)
    assert asked == [tmp_path, tmp_path]
