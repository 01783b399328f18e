"""Entry point of every stage and tool: `python src/stage.py NAME [ARGUMENT]`.

Always runs the code that lies beside it: in a DVC experiment's checkout an installed `minnow` would
be the workspace's.
"""

import ctypes
import errno
import importlib
import inspect
import os
import signal
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent
ROOT = SRC.parent
PR_SET_PDEATHSIG = 1


def prepare_process() -> None:
    """Set what must stand before torch is imported, and end this process with the dvc that started
    it.
    """
    # Idle threads that spin make a busy machine up to 40 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.path.insert(0, str(SRC))
    # As exceptions, so that half-written files are cleared away. Under nohup a hangup stays
    # ignored.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        end_with_parent()


def end_with_parent() -> None:
    """Ask for a SIGTERM when the parent dies; end at once if it died before that, and init has
    taken its place.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        orphaned = os.getsid(os.getppid()) != os.getsid(0)  # dvc opens no session for its stages
    except ProcessLookupError:
        orphaned = True
    if orphaned:
        sys.exit(128 + signal.SIGTERM)


def names(kind: str) -> list[str]:
    """Return the modules of the package `minnow.<kind>`, which are the names that this file
    takes.
    """
    return sorted(file.stem for file in (SRC / "minnow" / kind).glob("[!_]*.py"))


def main(arguments: list[str]) -> int:
    """Run one stage or tool and return the process's exit code."""
    prepare_process()
    import minnow

    if minnow.__file__ is None or Path(minnow.__file__).resolve().parent != SRC / "minnow":
        return fail(
            "stage.py",
            f"imported minnow from {minnow.__file__} instead of {SRC / 'minnow'}; unset PYTHONPATH",
        )
    from minnow import run_cache
    from minnow.errors import MinnowError, nearest, reason

    stages, tools = names("stages"), names("tools")
    if not arguments or arguments[0] not in stages + tools:
        given = (
            f"unknown stage {arguments[0]!r}{nearest(arguments[0], stages + tools)}"
            if arguments
            else "no stage named"
        )
        return fail("stage.py", f"{given}; stages: {', '.join(stages)}; tools: {', '.join(tools)}")
    name, *rest = arguments
    package = "stages" if name in stages else "tools"
    try:
        if package == "stages":
            from minnow.core import kernels

            kernels.prepare_kernels(ROOT)
        run = importlib.import_module(f"minnow.{package}.{name}").main
        takes = list(inspect.signature(run).parameters)[1:]
        if len(rest) > len(takes):
            return fail(
                name, f"given {' '.join(rest)!r}; it takes {', '.join(takes) or 'no arguments'}"
            )
        if name not in run_cache.STAGES or not run_cache.restored(ROOT):
            run(ROOT, *rest)
    except KeyboardInterrupt:
        return fail(
            name,
            "interrupted; run it again to go on, from the last checkpoint if it was training",
            code=130,
        )
    except Exception as error:
        if is_disk_full(error):
            return fail(
                name,
                f"no space left for files of {ROOT}, of HF_HOME or of TMPDIR: free some, then `dvc"
                " repro`; nothing half-written was kept",
            )
        if isinstance(error, MinnowError):
            return fail(name, str(error))
        if isinstance(error, PermissionError):
            return fail(
                name, f"{reason(error)}: change the owner or the mode of that file or of its folder"
            )
        if isinstance(error, ImportError) and not (error.name or "minnow").startswith("minnow"):
            return fail(
                name,
                f"{sys.executable}: {reason(error)}; run `make install`, then take the python in"
                " .venv/bin",
            )
        raise
    return 0


def is_disk_full(error: BaseException | None) -> bool:
    """Return whether a full disk is behind an error; safetensors and torch say so only in words."""
    words = ("no space left on device", "os error 28", "enforce fail at inline_container")
    while error is not None:
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if full or any(word in str(error).lower() for word in words):
            return True
        error = error.__cause__ or error.__context__
    return False


def fail(name: str, message: str, *, code: int = 1) -> int:
    """Print one line, without what a terminal would obey, and return the exit code."""
    line = "".join(
        letter if letter.isprintable() else "\ufffd" for letter in " ".join(message.split())
    )
    print(f"minnow {name}: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
