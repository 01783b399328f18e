"""What an error tells to type names what it means, and heals it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from helpers.rot import cached, rot
from minnow.core.tables import read_table, write_table
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.remedies import renewal

REST = ' && find "$(dvc cache dir)" -type f -exec chmod u+w {} + -exec touch {} + && dvc repro'
HOSTILE = "a b; touch 'X' $(touch Y)"


def checkout(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "dvc.yaml").touch()
    return folder


def test_paths_are_quoted_and_relative_to_the_root(tmp_path: Path) -> None:
    root = checkout(tmp_path / HOSTILE)
    assert renewal(root / "data" / "prepared") == f"rm -rf data/prepared{REST}"
    quoted = renewal(root / "data" / HOSTILE)
    assert quoted == "rm -rf 'data/a b; touch '\"'\"'X'\"'\"' $(touch Y)'" + REST
    made = root / "data" / HOSTILE
    made.mkdir(parents=True)
    subprocess.run(quoted.split(" && ")[0], shell=True, cwd=root, check=True)
    assert [path.name for path in root.rglob("*")] == ["dvc.yaml", "data"]


def test_outside_a_checkout_the_whole_path_is_named(tmp_path: Path) -> None:
    assert renewal(tmp_path / "model") == f"rm -rf {tmp_path / 'model'}{REST}"


def test_a_damaged_control_begins_anew(tmp_path: Path) -> None:
    """A control skips what is done: without one of its files it could not go on."""
    layout = Layout(checkout(tmp_path / "checkout"))
    layout.prepared.mkdir(parents=True)
    own, sharing = layout.control_scratch("random_split"), layout.control_scratch("no_teacher")
    (own / "data" / "prepared").mkdir(parents=True)
    (sharing / "data").mkdir(parents=True)
    (sharing / "data" / "prepared").symlink_to(layout.prepared)
    assert renewal(own / "data" / "prepared") == f"rm -rf .minnow/controls/random_split{REST}"
    shared = renewal(sharing / "data" / "prepared" / "train.parquet")
    assert shared == f"rm -rf data/prepared/train.parquet{REST}"


@pytest.mark.parametrize("in_cache", [False, True])
def test_the_remedy_for_a_damaged_table_heals_workspace_and_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_cache: bool
) -> None:
    """Without it `dvc repro` sees nothing, as size and times are what they were."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    root, file = tmp_path / "a b", tmp_path / "a b" / "data" / "prepared" / "train.parquet"
    table = pl.DataFrame({"id": ["a", "b"], "label": [0, 1]})
    write_table(root / "made" / file.name, table)
    (root / "dvc.yaml").write_text(
        "stages: {prepare: {cmd: mkdir -p data && cp -r made data/prepared, deps: [made], outs:"
        " [data/prepared]}}"
    )

    def shell(command: str) -> None:
        done = subprocess.run(
            command, shell=True, cwd=root, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    shell("git init -q && dvc init -q && dvc repro -q")
    content, kept = file.read_bytes(), cached(root, file)
    assert kept.read_bytes() == content
    for damaged in [file, kept] if in_cache else [file]:
        rot(damaged)
    shell("dvc repro -q")
    assert file.read_bytes() != content
    with pytest.raises(MinnowError) as error:
        read_table(file)
    (remedy,) = re.findall(r"`(.*)`", str(error.value))
    shell(remedy)
    assert read_table(file).equals(table)
    assert file.read_bytes() == kept.read_bytes() == content
