"""A hostile params.yaml under a real DVC: refused before DVC reads, removes or runs anything."""

import os
from pathlib import Path

import pytest

from helpers.pipeline import checkout, edit, run

# DVC finds the params of a preset called so, where its path leads out of the checkout.
NESTED = """presets:
  "../../../victim": {}
  ? ""
  : {"": {"/": {"": {"/": {"": {"/victim": {data: {source: synthetic}}}}}}}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository beside a folder that nothing may touch, with results that none may remove."""
    folder = tmp_path_factory.mktemp("hostile") / "project"
    folder.mkdir()
    (folder.parent / "victim").mkdir()
    (folder.parent / "victim" / "kept").touch()
    os.mkfifo(folder.parent / "victim" / "pipe")  # whoever reads it, waits
    checkout(folder)
    (folder / "metrics").mkdir(exist_ok=True)
    (folder / "metrics" / "prepare.json").write_text("{}")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def refused(project: Path, *command: str) -> None:
    """Run a command that the first stage must refuse, and look that nothing else came of it."""
    said = run(project, *command, fails=True)
    assert "minnow validate: params.yaml: " in said
    assert "Traceback" not in said
    assert names(project.parent) == ["project", "victim"]
    assert names(project.parent / "victim") == ["kept", "pipe"]
    assert (project / "metrics" / "prepare.json").read_text() == "{}"
    assert not (project / "mark").exists()
    run(project, "git", "checkout", "--quiet", "--", "params.yaml")


def test_a_preset_that_leads_out_of_the_checkout(project: Path) -> None:
    path = project / "params.yaml"
    text = path.read_text().replace("presets:\n", NESTED)
    path.write_text(text.replace("preset: embedded", "preset: ../../../victim"))
    refused(project, "dvc", "repro")


@pytest.mark.parametrize("name", ["../../../victim", "`touch mark`"])
def test_a_control_that_is_no_control(project: Path, name: str) -> None:
    edit(project, controls=[name])
    refused(project, "dvc", "repro")


def test_a_control_that_is_no_control_in_an_experiment(project: Path) -> None:
    refused(project, "dvc", "exp", "run", "-S", "controls=['$(touch mark)']")
