"""How a stage ends: what the operating system refuses, and every lack of memory, in one line."""

import ctypes
import errno
import importlib
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT
from helpers.stage import complaint, entry_point, in_process_of_its_own, new_project
from minnow import endings
from minnow.core.plain_yaml import read_yaml
from minnow.errors import LONGEST, MemoryShortage, MinnowError, cut_off
from minnow.training.memory import TrainingMemory

FULL = OSError(errno.ENOSPC, "No space left on device")


def ended(stage: str, error: BaseException, root: Path) -> str | None:
    return endings.ending(stage, error, root, lambda: read_yaml(root / "params.yaml"))


def chained(error: Exception, cause: Exception) -> Exception:
    """Return an error that was raised while another was handled, its cause hidden as by `from
    None`.
    """
    try:
        try:
            raise cause
        except Exception:
            raise error from None
    except Exception as raised:
        return raised


def line_of(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Return the line that a tool ends in which raises an error."""

    def main(root: Path) -> None:
        raise error

    stage = entry_point()
    monkeypatch.setattr(stage, "prepare_process", lambda: None)
    monkeypatch.setattr("minnow.tools.check.main", main)
    code = stage.main(["check"])
    return complaint("check", code, capsys.readouterr().err)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, "no space left for files of "),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no space left for files of "),
        (
            RuntimeError("I/O error: No space left on device (os error 28)"),
            "no space left for files of ",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos"),
            "no space left for files of ",
        ),
        (
            chained(MinnowError("set cannot be loaded as a data set"), FULL),
            "no space left for files of ",
        ),
        (MinnowError("first\nsecond \x1b[31m"), "first second \ufffd[31m"),
        (
            chained(MinnowError("x is missing"), FileNotFoundError(errno.ENOENT, "No", "/x")),
            "x is missing",
        ),
    ],
)
def test_errors_that_are_no_bugs_get_one_line(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert line_of(error, monkeypatch, capsys).startswith(said)


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_whatever_the_operating_system_refuses_gets_one_line(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = line_of(OSError(number, os.strerror(number), "/x/out"), monkeypatch, capsys)
    assert ": " in line
    if number not in (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM):
        assert "/x/out" in line
    assert line.count(";") + line.count(":") >= 2, "a remedy follows"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EROFS, "that file system is read-only"),
        (errno.EACCES, "change the owner or the mode"),
        (errno.EPERM, "marked as immutable"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EISDIR, "a folder lies where a file belongs"),
        (errno.ENOTDIR, "a file lies where a folder belongs"),
        (errno.EIO, "the network drive fails"),
        (errno.EFBIG, "ulimit -f"),
    ],
)
@pytest.mark.parametrize("words", [False, True])
def test_a_refusal_comes_with_its_remedy(
    number: int,
    remedy: str,
    words: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Libraries in Rust raise errors of their own, with the number in words."""
    text = os.strerror(number)
    error = (
        RuntimeError(f"I/O error: {text} (os error {number})") if words else OSError(number, text)
    )
    assert remedy in line_of(error, monkeypatch, capsys)


def test_what_the_disk_refuses_for_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for path, remedy in (
        (tmp_path / ("a" * 300), "shorter name"),
        (tmp_path, "a folder lies where a file belongs"),
        (tmp_path / "file" / "x", "a file lies where a folder belongs"),
    ):
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            path.write_text("x")
        assert remedy in line_of(caught.value, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("allowed", "remedy"), [(20_000, "raise `ulimit -f`"), (None, "no space left")]
)
def test_a_limit_on_files_is_no_full_disk(
    allowed: int | None,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """torch has the same words for both."""
    monkeypatch.setattr(endings, "limit_of", lambda kind: {"FSIZE": allowed}[kind])
    error = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
    assert remedy in line_of(error, monkeypatch, capsys)
    full = chained(RuntimeError(str(error)), FULL)
    assert "no space left" in line_of(full, monkeypatch, capsys)


# --- Memory and threads ---------------------------------------------------------------------------

SHORT = chained(MemoryShortage("this training takes about: weights 1 MB"), MemoryError())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("std::bad_alloc"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
        RuntimeError("could not create a primitive"),
        ValueError("malloc of size 1234 failed"),
        RuntimeError("Unable to allocate 5.00 GiB for an array"),
        chained(MinnowError("base cannot be loaded"), MemoryError()),
        SHORT,
    ],
)
def test_a_lack_of_memory_says_what_to_lower(tmp_path: Path, error: Exception) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    line = ended("teacher", error, tmp_path)
    assert line is not None
    assert line.startswith("out of memory (")
    assert "presets.embedded.teacher.training.batch_size (now 64)" in line
    assert "presets.embedded.teacher.max_length (now 96)" in line
    assert ("this training takes about: weights 1 MB" in line) == (error is SHORT)


@pytest.mark.parametrize(
    ("stage", "key"),
    [
        ("distill", "presets.embedded.student.training.batch_size (now 64)"),
        ("recover", "recover.training.batch_size (now 64)"),
        ("predict", "the size of the model or of the data"),
    ],
)
def test_each_stage_names_its_own_settings(stage: str, key: str) -> None:
    assert key in str(ended(stage, MemoryError(), ROOT))


@pytest.mark.parametrize("preset", ["embedded", "a_preset_whose_name_is_as_long_as_a_name_may_be"])
@pytest.mark.parametrize("stage", ["teacher", "distill", "recover"])
def test_the_estimate_is_never_cut(tmp_path: Path, preset: str, stage: str) -> None:
    takes = str(TrainingMemory(10**10, 2 * 10**10, 3 * 10**10))
    shortage = MemoryShortage(f"this training takes about: {takes} of 512 texts of 512 tokens")
    error = chained(shortage, MemoryError("can't allocate memory: you tried to allocate " * 9))
    text = (ROOT / "params.yaml").read_text().replace("embedded", preset)
    (tmp_path / "params.yaml").write_text(text)
    line = str(ended(stage, error, tmp_path))
    assert str(shortage) in line
    assert "batch_size" in line
    room = LONGEST - len(f"minnow {stage}: ")
    assert cut_off(line, room) == line


def test_settings_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    """YAML 1.2: to 1.1, 0100 would be 64, and a preset named `yes` none."""
    text = (ROOT / "params.yaml").read_text().replace("embedded", "yes")
    (tmp_path / "params.yaml").write_text(text.replace("max_length: 96", "max_length: 0100"))
    line = str(ended("teacher", MemoryError(), tmp_path))
    assert "presets.yes.teacher.max_length (now 100)" in line


def test_params_that_cannot_be_read_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("preset: [")
    assert str(ended("teacher", MemoryError(), tmp_path)).startswith("out of memory (")


def test_libraries_that_do_not_fit_are_no_missing_package() -> None:
    error = ImportError("libtorch_cpu.so: failed to map segment from shared object", name="torch")
    line = str(ended("teacher", error, ROOT))
    assert "out of memory before it begins" in line
    assert "make install" not in line


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        BlockingIOError(errno.EAGAIN, "pthread_create failed"),
    ],
)
def test_threads_that_cannot_be_started_get_one_line(error: Exception) -> None:
    assert "ulimit -u" in str(ended("teacher", error, ROOT))


def test_a_bug_is_none_of_these() -> None:
    for bug in (KeyError("x"), TypeError("x"), ValueError("17 is no 18"), AssertionError()):
        assert ended("teacher", bug, ROOT) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("TORCH_LOGS", "junk"), ("TORCH_LOGS", "\x1b[31m,\t"), ("PYTORCH_JIT", "junk")],
        *[("PYTHONWARNINGS", "error"), ("PYTHONWARNINGS", "error::DeprecationWarning")],
    ],
)
def test_what_the_environment_tells_a_library_gets_one_line(
    name: str, value: str, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    code, stderr = in_process_of_its_own(new_project(tmp_path), "teacher", **{name: value})
    line = complaint("teacher", code, stderr)
    assert name in line or "`dvc repro` makes it" in line


def test_a_bug_of_ours_while_a_module_is_loaded_is_none_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "__file__", str(tmp_path / "endings.py"))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "a_bug_of_ours.py").write_text("{}['x']")
    with pytest.raises(KeyError) as caught:
        importlib.import_module("a_bug_of_ours")
    assert ended("teacher", caught.value, ROOT) is None


def limited(bytes_of_addresses: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command under `ulimit -v`."""
    return subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (bytes_of_addresses,) * 2),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere address space is not limited so")
def test_a_limit_below_what_the_libraries_take_is_told_before_they_die() -> None:
    done = limited(1_000_000_000, sys.executable, str(ROOT / "src" / "stage.py"), "teacher")
    line = complaint("teacher", done.returncode, done.stderr)
    assert "out of memory before it begins" in line
    assert "`ulimit -v` allows 1.00 GB: raise it" in line


def is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0


@pytest.mark.skipif(not is_root(), reason="mounts need root")
def test_a_read_only_mount_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    place = str(tmp_path).encode()
    bind, remount, read_only = 4096, 32, 1
    if libc.mount(place, place, None, bind, None):
        pytest.skip("no mounts here")
    try:
        assert not libc.mount(place, place, None, bind | remount | read_only, None)
        with pytest.raises(OSError, match="Read-only") as caught:
            (tmp_path / "out").write_text("x")
    finally:
        libc.umount2(place, 2)
    assert "that file system is read-only" in line_of(caught.value, monkeypatch, capsys)
