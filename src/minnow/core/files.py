"""Files and folders, written whole or not at all; JSON; and the manifest beside a model."""

import fcntl
import glob
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minnow.core.strict_json import bounded_text, parsed_json
from minnow.core.supplied import supplied_file
from minnow.errors import MinnowError
from minnow.remedies import damaged_line

MANIFEST = "manifest.json"
# What config.json calls the formats of ours: packed embeddings, and adapters beside the weights.
EMBEDDINGS_KEY = "minnow_embeddings"
ADAPTERS_KEY = "minnow_adapters"
# What it says of who reads them, for people: older folders name older functions.
LOADER_KEY, LOADER = "load_with", "minnow.load"
# Ends the name of what is being written and has no name of its own yet.
PARTIAL = ".partial"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place, file or folder, only if the block
    succeeds.

    It has reached the disk by then: after a power cut there is the old content or the new. What a
    killed process left of the same path is removed; what a living one is writing is not, and of two
    that write the same path the last one counts.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    discard_abandoned(path.parent, f".{glob.escape(path.name)}.????????{PARTIAL}")
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
    temporary, old = holder / path.name, holder / f"{path.name}.old"
    lock = os.open(holder, os.O_RDONLY)
    with suppress(OSError):  # a network file system may know no locks
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield temporary
        flush(temporary)
        if path.exists() and (path.is_dir() or temporary.is_dir()):
            # A folder takes nothing's place in one rename: two, and back if the second fails.
            path.rename(old)
        try:
            temporary.replace(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
        flush_entries(path.parent)
    finally:
        os.close(lock)
        shutil.rmtree(holder, ignore_errors=True)


def discard_abandoned(folder: Path, pattern: str) -> None:
    """Remove what killed processes left half-written in a folder, by the pattern of its name."""
    for left in folder.glob(pattern):
        with suppress(OSError):  # it is locked, or its writer has just removed it
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                discard(left)
            finally:
                os.close(lock)


def flush(path: Path) -> None:
    """Wait until a file, or a folder with all that is in it, has reached the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            flush(inner)
        flush_entries(path)
    else:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def flush_entries(folder: Path) -> None:
    """Wait until the names in a folder have reached the disk, where the file system can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def write_json(path: Path, value: Any) -> None:
    """Write `value` with sorted keys and a final newline: equal values give equal bytes."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the JSON in `path`; a MinnowError says which stage's file is missing or broken."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise MinnowError(f"{path} is a pipe or a device; delete it and run `dvc repro`")
    try:
        return parsed_json(bounded_text(path))
    except FileNotFoundError:
        raise MinnowError(f"{path} is missing; `dvc repro` makes it") from None
    except ValueError as error:
        raise MinnowError(damaged_line(path, f"{path} is not valid JSON ({error})")) from None
    except OSError as error:
        raise MinnowError(damaged_line(path, f"{path} cannot be read ({error.strerror})")) from None


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `manifest.json`: `facts` beside size and SHA-256 of every file of a model folder."""
    files = {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def check_manifest(folder: Path) -> None:
    """Compare a model folder with its manifest, since DVC restores a corrupted cache object without
    a word.

    Raises:
        MinnowError: a file is missing or differs.
    """
    if damage := first_damage(folder, read_json(folder / MANIFEST)):
        raise MinnowError(damaged_line(folder, damage))


def first_damage(folder: Path, manifest: Any, *, but: Collection[str] = ()) -> str:
    """Return the first difference of a folder from its manifest, in words, or nothing; files named
    in `but` may differ or lack.
    """
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not files:
        return f"{folder / MANIFEST} lists no files"
    for name, fact in files.items():
        if not _lies_below(name):
            return f"{folder / MANIFEST} lists {name[:60]!r}, which is no file below it"
        if name not in but and (damage := _damage(folder / name, folder, fact)):
            return damage
    return ""


def _lies_below(name: str) -> bool:
    """Say whether a name that a manifest lists is a plain relative path, as `write_manifest` writes
    them.
    """
    return name.isprintable() and "\\" not in name and not {"", ".", ".."} & {*name.split("/")}


def _damage(file: Path, folder: Path, fact: Any) -> str:
    """Return how a listed file differs from what its manifest says of it, or nothing."""
    try:
        size = supplied_file(file, folder).stat().st_size
        # The size first: nobody waits for the digest of a file that has grown without bounds.
        same = isinstance(fact, dict) and fact.get("bytes") == size
        if not same or fact != {"bytes": size, "sha256": sha256(file)}:
            return f"{file} differs from its manifest"
    except MinnowError as error:
        return str(error).partition(";")[0]
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    return ""


def without_loader(block: Any) -> Any:
    """Return what config.json says of a format of ours, but for who reads it."""
    if isinstance(block, list):
        return [without_loader(part) for part in block]
    if not isinstance(block, dict):
        return block
    return {key: value for key, value in block.items() if key != LOADER_KEY}


def require_space(folder: Path, needed: int) -> None:
    """Refuse to start when the disk below `folder` has fewer than `needed` bytes free.

    Raises:
        MinnowError: names both figures in MB.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MinnowError(
            f"{folder} has {free / 1e6:.0f} MB free and about {needed / 1e6:.0f} MB are needed (the"
            " outputs, DVC's copies of them and checkpoints); free some space, or move DVC's"
            " cache: `dvc cache dir --local PATH`"
        )


def discard(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
