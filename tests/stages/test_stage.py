"""The entry point: whose code it runs, from where, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.stage import complaint, entry_point, new_project

ENTRY = ROOT / "src" / "stage.py"
FAKE = "raise SystemExit('the fake minnow was run')\n"
WRITER = """
import time
from minnow.core.files import replacing

def main(root):
    with replacing(root / "out") as out:
        out.write_text("half")
        (root / "ready").touch()
        time.sleep(60)
"""

DROPPER = """
import ctypes, os, signal, time, weakref

class Handled:
    def __del__(self):
        os.kill(os.getpid(), NUMBER)
        time.sleep(0.1)  # here the exception is raised, and dropped

def twice():
    for _ in range(2):
        try:
            Handled()
        finally:
            Handled()

@ctypes.CFUNCTYPE(None)
def called():
    os.kill(os.getpid(), NUMBER)
    time.sleep(0.1)

def weakly():
    thing = type("Thing", (), {})()
    reference = weakref.ref(thing, lambda _: (os.kill(os.getpid(), NUMBER), time.sleep(0.1)))
    del thing

def main(root):
    try:
        HOW()
        time.sleep(30)
    finally:
        (root / "cleared").touch()
"""


def execute(
    *command: str, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command without what pytest or dvc have set."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DVC_STAGE")
    }
    return subprocess.run(
        command,
        cwd=cwd,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A project with a copy of src, with a tool that writes for a minute."""
    root = new_project(tmp_path / "project")
    shutil.copytree(
        ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    (root / "src" / "minnow" / "tools" / "slow.py").write_text(WRITER)
    return root


# --- Whose code -----------------------------------------------------------------------------------


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    done = execute(sys.executable, str(ENTRY), "quantise")
    line = complaint("stage.py", done.returncode, done.stderr)
    assert line.startswith("unknown stage 'quantise'; did you mean 'quantize'?; stages: baseline, ")


@pytest.mark.parametrize("options", [[], ["-I"], ["-P"], ["-s", "-E"]])
@pytest.mark.parametrize("safe", ["", "1"])
def test_it_runs_the_code_beside_it_from_anywhere(
    copied: Path, tmp_path: Path, options: list[str], safe: str
) -> None:
    """The installed package, editable or not, is the workspace's and not this checkout's."""
    check = copied / "src" / "minnow" / "tools" / "check.py"
    check.write_text(check.read_text().replace("params.yaml is valid", "this copy says valid"))
    entry = os.path.relpath(copied / "src" / "stage.py", tmp_path)
    done = execute(sys.executable, *options, entry, "check", cwd=tmp_path, PYTHONSAFEPATH=safe)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("this copy says valid: preset embedded")


def test_another_minnow_on_the_path_does_not_win(tmp_path: Path) -> None:
    for folder in ("minnow", "minnow/tools"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text(FAKE)
    done = execute(sys.executable, str(ENTRY), "check", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


def test_another_minnow_that_was_imported_before_is_refused(tmp_path: Path) -> None:
    (tmp_path / "minnow").mkdir()
    (tmp_path / "minnow" / "__init__.py").touch()
    (tmp_path / "sitecustomize.py").write_text("import minnow\n")
    done = execute(sys.executable, str(ENTRY), "check", PYTHONPATH=str(tmp_path))
    line = complaint("stage.py", done.returncode, done.stderr)
    assert line.startswith(
        f"imported minnow from {tmp_path / 'minnow' / '__init__.py'} instead of {ENTRY.parent}"
    )


def test_a_python_without_the_dependencies_is_told() -> None:
    done = execute(sys.executable, "-I", "-S", str(ENTRY), "distill")
    line = complaint("distill", done.returncode, done.stderr)
    assert line.startswith(f"{sys.executable}: ModuleNotFoundError: No module named '")
    assert "run `make install`" in line


# --- How it ends ----------------------------------------------------------------------------------


def started(root: Path, *wrapper: str, **environment: str) -> subprocess.Popen[str]:
    """Start the slow tool and wait until it is writing."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "DVC_STAGE")
    }
    process = subprocess.Popen(
        [*wrapper, sys.executable, "src/stage.py", "slow"],
        cwd=root,
        env={**inherited, **environment},
        stderr=subprocess.PIPE,
        text=True,
        # A test run under nohup would hand its deafness on.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    )
    wait_for(root / "ready", there=True)
    assert list(root.glob(".out.*.partial"))
    return process


def wait_for(path: Path, *, there: bool, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while path.exists() != there:
        assert time.monotonic() < end, path
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, ""),
        (signal.SIGHUP, 129, ""),
        (signal.SIGINT, 130, "minnow slow: interrupted; run it again to go on"),
    ],
)
def test_a_signal_leaves_nothing_half_written(
    copied: Path, number: signal.Signals, code: int, said: str
) -> None:
    process = started(copied)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr.startswith(said)
    assert len(stderr.splitlines()) == bool(said)
    assert not list(copied.glob(".out.*")) + list(copied.glob("out"))


@pytest.mark.parametrize("how", ["Handled", "twice", "called", "weakly"])
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (signal.SIGTERM, 143, ""),
        (signal.SIGINT, 130, "minnow slow: interrupted; run it again to go on"),
    ],
)
def test_a_signal_that_python_drops_ends_it_all_the_same(
    copied: Path, how: str, number: signal.Signals, code: int, said: str
) -> None:
    """Out of a destructor or a callback no exception comes: Python prints a trace and goes on."""
    tool = DROPPER.replace("NUMBER", str(int(number))).replace("HOW", how)
    (copied / "src" / "minnow" / "tools" / "slow.py").write_text(tool)
    done = execute(sys.executable, "src/stage.py", "slow", cwd=copied)
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == bool(said), done.stderr
    assert (copied / "cleared").exists()


def test_what_else_python_drops_is_told_as_ever(copied: Path) -> None:
    tool = DROPPER.replace("os.kill(os.getpid(), NUMBER)", "1 / 0").replace("HOW", "Handled")
    tool = tool.replace("time.sleep(30)", "pass")
    (copied / "src" / "minnow" / "tools" / "slow.py").write_text(tool)
    done = execute(sys.executable, "src/stage.py", "slow", cwd=copied)
    assert done.returncode == 0
    assert "Exception ignored in" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_a_hangup_is_ignored_under_nohup(copied: Path) -> None:
    process = started(copied, "nohup")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    assert process.wait(timeout=30) == 143


@pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells a child that its parent died"
)
def test_it_ends_with_the_dvc_that_started_it(copied: Path) -> None:
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = started(copied, sys.executable, "-c", parent, DVC_STAGE="slow")
    (partial,) = copied.glob(".out.*.partial")
    process.kill()
    process.communicate(timeout=30)  # ends when nobody holds its stderr any more
    wait_for(partial, there=False)


@pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone tells a child that its parent died"
)
def test_it_does_not_start_when_its_dvc_is_dead_already(copied: Path) -> None:
    """init, or whoever takes in orphans, is of another session."""
    environment = {**os.environ, "DVC_STAGE": "slow"}
    command = [sys.executable, "src/stage.py", "slow"]
    done = subprocess.run(command, cwd=copied, env=environment, start_new_session=True, timeout=30)
    assert done.returncode == 143
    assert not (copied / "ready").exists()


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = entry_point()
    monkeypatch.setattr(stage, "prepare_process", lambda: None)
    monkeypatch.setattr("minnow.tools.check.main", lambda root: {}["x"])
    with pytest.raises(KeyError):
        stage.main(["check"])
