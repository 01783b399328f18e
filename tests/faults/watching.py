"""What a call did that it must not: write elsewhere, start a process, reach for the network."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Events of Python's audit hooks whose first argument is a path that changes; of links the second.
CHANGES = {
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.symlink", "os.link", "os.chmod"),
    *("os.chown", "os.truncate", "os.utime", "shutil.rmtree"),
}
LINKS = {"os.symlink", "os.link"}
STARTS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pty.spawn"}
NETWORK = {"socket.connect", "socket.sendto", "socket.getaddrinfo", "urllib.Request"}
HARMLESS = ("__pycache__", "/dev/null", "/proc/self")

_watched: dict[str, Any] = {"places": None, "seen": []}
_installed: list[bool] = []


@contextmanager
def watching(*places: Path) -> Iterator[list[str]]:
    """Yield a list that fills with what goes beyond `places`, which alone may be written to."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    seen: list[str] = []
    _watched.update(places=[os.path.realpath(place) for place in places], seen=seen)
    try:
        yield seen
    finally:
        _watched["places"] = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watched["places"] is None:
        return
    if event in STARTS or event in NETWORK:
        _watched["seen"].append(f"{event} {arguments!r}"[:200])
    elif _is_write(event, arguments):
        _note(event, arguments[event in LINKS])


def _is_write(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return isinstance(arguments[2], int) and bool(arguments[2] & WRITES)
    return event in CHANGES and not _relative_to_a_folder(arguments)


def _relative_to_a_folder(arguments: tuple[Any, ...]) -> bool:
    """Whether a path is relative to an open folder, as in a rmtree that was judged already."""
    return any(isinstance(each, int) and each > 2 for each in arguments[1:])


def _note(event: str, path: Any) -> None:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return
    real = os.path.realpath(os.fsdecode(path))
    inside = any(real == place or real.startswith(place + os.sep) for place in _watched["places"])
    if not inside and not any(part in real for part in HARMLESS):
        _watched["seen"].append(f"{event} {real}")
