"""Files that a user or the Hub supplies: regular ones inside their folder, or one line that says
what stands there instead. Nothing is opened before it is known to be such a file.
"""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from minnow.errors import MinnowError

# What stands where a file should, by `stat`.
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)
# An object of DVC's cache, to which DVC may link a tracked file. Its name is the digest of its
# content, so a link to one reveals nothing to whoever made the link.
DVC_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}")


def supplied_file(path: Path, folder: Path) -> Path:
    """Return `path`, which is a regular file inside `folder` and may be opened.

    Links count by where they end. Three places are allowed: inside `folder`, in DVC's cache, and
    for a snapshot of the Hub among the blobs of its own repository.

    Raises:
        MinnowError: it is missing, is no regular file, or leads out of the folder.
    """
    try:
        mode, end = path.stat().st_mode, path.resolve(strict=True)
        home = folder.resolve(strict=True)
    except FileNotFoundError:
        raise MinnowError(
            f"{path} is a link to nothing; put the file itself there"
            if path.is_symlink()
            else f"{path} is missing; put the file there"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # a circle of links; a null character
        cause = getattr(error, "strerror", None) or "no such name is possible"
        raise MinnowError(f"{path} cannot be read: {cause}; name a readable file") from None
    if kind := _kind_of(mode, KINDS):
        raise MinnowError(f"{path} is {kind}, not a file; name a regular file")
    if not (end.is_relative_to(home) or _is_cached(end, home)):
        raise MinnowError(
            f"{path} leads to {end}, outside {folder}; copy the file itself there, and `dvc add` it"
        )
    return path


def refuse_devices(place: Path) -> None:
    """Refuse a pipe, a device or a socket at or below a path, links followed; a link to nothing
    hurts nobody.

    Raises:
        MinnowError: names it.
    """
    below = (Path(folder, name) for folder, _, names in os.walk(place) for name in names)
    for path in (place, *below):
        try:
            kind = _kind_of(path.stat().st_mode, KINDS[1:])
        except (OSError, ValueError):
            continue
        if kind:
            raise MinnowError(f"{path} is {kind}, not a file; remove it, then run it again")


def _kind_of(mode: int, kinds: Iterable[tuple[Callable[[int], bool], str]]) -> str | None:
    return next((kind for stands_for, kind in kinds if stands_for(mode)), None)


def _is_cached(end: Path, home: Path) -> bool:
    """Return whether a link ends in DVC's cache or among the blobs of a snapshot's repository."""
    if DVC_OBJECT.fullmatch(str(end)[-len("/files/md5/00/") - 30 :]):
        return True
    snapshots = home.parent
    return snapshots.name == "snapshots" and end.parent == snapshots.parent / "blobs"


def supplied_files(folder: Path) -> list[Path]:
    """Return every file below `folder`, sorted by path; hidden ones, which nobody reads, are left
    out.

    Raises:
        MinnowError: something below it is no regular file, is a link out of it or to a folder, or a
        folder cannot be read.
    """
    return sorted(supplied_file(path, folder) for path in _below(folder))


def _below(folder: Path) -> Iterator[Path]:
    waiting = [folder]
    while waiting:
        try:
            entries = [*os.scandir(waiting.pop())]
        except OSError as error:
            raise MinnowError(
                f"{error.filename} cannot be read: {error.strerror}; make it a readable folder"
            ) from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                yield Path(entry.path)
