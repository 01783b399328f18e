"""Entry point of every stage and tool: `python src/stage.py NAME [ARGUMENT]`.

Always runs the code that lies beside it: in a DVC experiment's checkout an installed `minnow` would be the workspace's.
"""

import ctypes
import errno
import importlib
import os
import signal
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parent
ROOT = SRC.parent
PR_SET_PDEATHSIG = 1


def prepare_process() -> None:
    """Set what must stand before torch is imported, and end this process with the dvc that started it."""
    # Idle threads that spin make a busy machine up to 40 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.path.insert(0, str(SRC))
    # As an exception, so that half-written files are cleared away
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def names(kind: str) -> list[str]:
    """Return the modules of the package `minnow.<kind>`, which are the names that this file takes."""
    return sorted(file.stem for file in (SRC / "minnow" / kind).glob("[!_]*.py"))


def main(arguments: list[str]) -> int:
    """Run one stage or tool and return the process's exit code."""
    prepare_process()
    import minnow
    from minnow.errors import MinnowError, nearest

    if minnow.__file__ is None or Path(minnow.__file__).resolve().parent != SRC / "minnow":
        return fail(
            "stage.py",
            f"imported minnow from {minnow.__file__} instead of {SRC / 'minnow'}; unset PYTHONPATH",
        )
    stages, tools = names("stages"), names("tools")
    if not arguments or arguments[0] not in stages + tools:
        given = (
            f"unknown stage {arguments[0]!r}{nearest(arguments[0], stages + tools)}" if arguments else "no stage named"
        )
        return fail("stage.py", f"{given}; stages: {', '.join(stages)}; tools: {', '.join(tools)}")
    name = arguments[0]
    package = "stages" if name in stages else "tools"
    try:
        importlib.import_module(f"minnow.{package}.{name}").main(ROOT, *arguments[1:])
    except MinnowError as error:
        return fail(name, str(error))
    except KeyboardInterrupt:
        return fail(name, "interrupted; run it again to go on from the last checkpoint", code=130)
    except Exception as error:
        if not is_disk_full(error):
            raise
        return fail(
            name,
            f"the disk below {ROOT} is full: free some space, then `dvc repro`; nothing half-written was kept",
        )
    return 0


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error means a full disk; safetensors and torch say so only in words."""
    words = ("no space left on device", "os error 28", "enforce fail at inline_container")
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or any(w in str(error).lower() for w in words)


def fail(name: str, message: str, *, code: int = 1) -> int:
    """Print one line and return the exit code."""
    print(f"minnow {name}: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
