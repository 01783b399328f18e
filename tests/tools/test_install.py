"""`make install` with a python of our own in place of the real one: struck at any moment, the next
one brings it to its end. Offline, in a copy of the Makefile alone.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from helpers.paths import ROOT

# What stands for python: `-m venv` makes bin/python first and pip later, `-m pip install` unpacks a
# package in two halves and takes one that has its first half for installed. It waits where WAIT
# says, once, and fails where FAIL says.
PYTHON = r"""#!/bin/sh
here=$(dirname "$0")
at() {
    echo "$1" >> "$LOG"
    if [ "$1" = "$FAIL" ]; then echo "no network" >&2; exit 1; fi
    if [ "$1" = "$WAIT" ] && ! [ -e "$LOG.struck" ]; then : > "$LOG.struck"; exec sleep 3; fi
}
case "$*" in
"-m venv "*)
    at venv; mkdir -p "$3/bin"; cp "$0" "$3/bin/python"
    at "half a venv"; : > "$3/pip"
    at "all of a venv";;
"-m pip --version") test -e "$here/../pip";;
"-m pip install "*)
    for name; do :; done
    at "$name"
    test -e "$here/../$name" ||
        { : > "$here/../$name"; at "half $name"; : > "$here/../$name.rest"; }
    at "all $name";;
"src/stage.py plots_template") at page; mkdir -p .dvc/plots; : > .dvc/plots/page.html;;
*) at other;;
esac
"""
MOMENTS = (
    *("other", "venv", "half a venv", "all of a venv", "torch==2.13.0", "half torch==2.13.0"),
    *(
        "all torch==2.13.0",
        ".[train,serve,dev]",
        "half .[train,serve,dev]",
        "all .[train,serve,dev]",
        "page",
    ),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose path has a blank."""
    folder = tmp_path / "a checkout"
    (folder / "src" / "minnow" / "tools").mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "src" / "minnow" / "tools" / "plots_template.py").touch()
    (folder / "other python").write_text(PYTHON)
    (folder / "other python").chmod(0o755)
    return folder


def make(folder: Path, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.Popen(
        ["make", "install", f"PYTHON={folder / 'other python'}", *arguments],
        cwd=folder,
        env={**kept, "LOG": str(folder / "log"), **environment},
        start_new_session=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def steps(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def whole(folder: Path) -> bool:
    """Whether everything that is installed has both of its halves."""
    wanted = (
        "torch==2.13.0",
        "torch==2.13.0.rest",
        ".[train,serve,dev]",
        ".[train,serve,dev].rest",
        ".installed",
        "pip",
    )
    left = (folder / ".venv" / ".unfinished").exists() or (folder / ".venv.broken").exists()
    page = (folder / ".dvc" / "plots" / "page.html").exists()
    return page and not left and all((folder / ".venv" / name).exists() for name in wanted)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_installation_that_was_struck_recovers(
    folder: Path, moment: str, blow: signal.Signals
) -> None:
    struck = make(folder, WAIT=moment)
    until = time.monotonic() + 20
    while not (folder / "log.struck").exists() and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(struck.pid, blow)
    struck.communicate(timeout=20)
    assert struck.returncode
    again = make(folder)
    said, _ = again.communicate(timeout=20)
    assert again.returncode == 0, said
    assert whole(folder), steps(folder)


def test_without_trouble_everything_is_done_once(folder: Path) -> None:
    for _ in range(2):
        process = make(folder)
        process.communicate(timeout=20)
        assert process.returncode == 0
    assert whole(folder)
    assert steps(folder) == list(MOMENTS)


@pytest.mark.parametrize("moment", ["all of a venv", "all torch==2.13.0", "all .[train,serve,dev]"])
def test_two_at_once_install_once(folder: Path, moment: str) -> None:
    first = make(folder, WAIT=moment)
    until = time.monotonic() + 20
    while not (folder / "log.struck").exists() and time.monotonic() < until:
        time.sleep(0.005)
    second = make(folder)
    said, _ = second.communicate(timeout=20)
    first.communicate(timeout=20)
    assert "Another installation runs in this checkout: waiting for its end" in said
    assert first.returncode == second.returncode == 0, said
    assert whole(folder), steps(folder)
    once = [step for step in steps(folder) if step not in ("page", "other")]
    assert once == [step for step in MOMENTS if step not in ("page", "other")]


def test_a_second_one_takes_over_from_one_that_was_killed(folder: Path) -> None:
    first = make(folder, WAIT="half torch==2.13.0")
    until = time.monotonic() + 20
    while not (folder / "log.struck").exists() and time.monotonic() < until:
        time.sleep(0.005)
    second = make(folder)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=20)
    said, _ = second.communicate(timeout=20)
    assert second.returncode == 0, said
    assert whole(folder), steps(folder)


def test_a_pip_that_fails_by_itself_keeps_what_there_is(folder: Path) -> None:
    failed = make(folder, FAIL=".[train,serve,dev]")
    assert "no network" in failed.communicate(timeout=20)[0]
    assert failed.returncode
    again = make(folder)
    again.communicate(timeout=20)
    assert again.returncode == 0
    assert steps(folder).count("venv") == 1
    assert whole(folder)


def test_a_venv_that_is_a_link_is_never_emptied(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "kept").touch()
    (folder / ".venv").symlink_to("mine")
    process = make(folder)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert whole(folder)
    assert [file.name for file in (folder / "mine").iterdir()] == ["kept"]


@pytest.mark.parametrize("text", ["$(shell touch mark)", "`touch mark`", "'; touch mark; '", '"'])
@pytest.mark.parametrize("name", ["PYTHON", "REPO", "DRY_RUN", "VENV", "STUDY", "SPLITS"])
def test_what_is_typed_behind_make_is_no_code(folder: Path, name: str, text: str) -> None:
    for target in ("install", "push-to-hub", "study"):
        process = subprocess.run(
            ["make", target, f"PYTHON={folder / 'other python'}", f"{name}={text}"],
            cwd=folder,
            env={**os.environ, "LOG": str(folder / "log")},
            capture_output=True,
            timeout=20,
        )
        assert process.returncode == 0 or name == "PYTHON"
    assert not (folder / "mark").exists()
