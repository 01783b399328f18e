"""Entry point of every stage and tool: `python src/stage.py NAME [ARGUMENT]`.

Always runs the code that lies beside it: in a DVC experiment's checkout an installed `minnow` would
be the workspace's.
"""

import atexit
import ctypes
import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

SRC = Path(__file__).resolve().parent
ROOT = SRC.parent
PR_SET_PDEATHSIG = 1
# Before these train, the student is asked what later stages will ask of it.
CHECKED_AHEAD = ("teacher", "distill")
# Seconds until a signal that Python dropped is raised again.
SOON = 0.01


class Ended(SystemExit):
    """A signal that ends this process, as an exception."""


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
            signal.signal(number, end)
    sys.unraisablehook = functools.partial(raise_again, sys.unraisablehook)
    if sys.platform == "linux" and "DVC_STAGE" in os.environ:
        end_with_parent()


def end(number: int, _: FrameType | None) -> None:
    """Raise a signal as an exception."""
    raise Ended(128 + number)


def raise_again(others: Callable[[Any], object], lost: Any) -> None:
    """Raise a signal again that came in a destructor or a callback, out of which Python lets no
    exception: it would print a trace and go on.
    """
    if not isinstance(lost.exc_value, Ended | KeyboardInterrupt):
        others(lost)
    elif not sys.is_finalizing():
        kind, told = type(lost.exc_value), lost.exc_value.args
        signal.signal(signal.SIGALRM, lambda *_: throw(kind(*told)))
        signal.setitimer(signal.ITIMER_REAL, SOON)
        # Python's end takes the handler away, and an alarm would then kill.
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)


def throw(error: BaseException) -> None:
    """Raise an exception where a statement cannot stand."""
    raise error


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


def params() -> Mapping[str, Any]:
    """Return what params.yaml holds."""
    from minnow.core.plain_yaml import read_yaml

    return read_yaml(ROOT / "params.yaml")


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
        # `fail` needs our own package
        found = f"imported minnow from {minnow.__file__} instead of {SRC / 'minnow'}"
        print(f"minnow stage.py: {found}; unset PYTHONPATH", file=sys.stderr)
        return 1
    from minnow import endings, recorded, run_cache
    from minnow.errors import nearest, shortened

    stages, tools = names("stages"), names("tools")
    if not arguments or arguments[0] not in stages + tools:
        given = (
            f"unknown stage {shortened(arguments[0])!r}{nearest(arguments[0], stages + tools)}"
            if arguments
            else "no stage named"
        )
        return fail("stage.py", f"{given}; stages: {', '.join(stages)}; tools: {', '.join(tools)}")
    name, *rest = arguments
    package = "stages" if name in stages else "tools"
    if package == "stages" and (line := endings.too_little()):
        return fail(name, line)
    try:
        if package == "stages":
            # Plain HTTP, through a client that core/hub_client.py can bound.
            os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
            from minnow.core import kernels

            kernels.prepare_kernels(ROOT)
        run = importlib.import_module(f"minnow.{package}.{name}").main
        takes = list(inspect.signature(run).parameters)[1:]
        if len(rest) > len(takes):
            allowed = ", ".join(takes) or "no arguments"
            return fail(name, f"given {shortened(' '.join(rest))!r}; it takes {allowed}")
        if name not in run_cache.STAGES or not run_cache.restored(ROOT):
            recorded.require_recorded(ROOT)
            if name in CHECKED_AHEAD:
                importlib.import_module("minnow.tools.shape_check").main(ROOT, name)
            run(ROOT, *rest)
    except KeyboardInterrupt:
        return fail(
            name,
            "interrupted; run it again to go on, from the last checkpoint if it was training",
            code=130,
        )
    except Exception as error:
        line = endings.ending(name, error, ROOT, params)
        if line is None:
            raise
        return fail(name, line)
    return 0


def fail(name: str, message: str, *, code: int = 1) -> int:
    """Print one line of bounded length, paths relative to the project, and return the exit code."""
    from minnow.errors import LONGEST, cut_off, printable, relative

    start = f"minnow {name}: "
    print(
        start + cut_off(printable(relative(message, ROOT)), LONGEST - len(start)), file=sys.stderr
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
