"""Files and folders, written whole or not at all; JSON; and the manifest beside a model."""

import glob
import hashlib
import json
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from minnow.errors import MinnowError

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

    What a killed process left of the same path is removed. One process at a time may write a path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????{PARTIAL}"):
        discard(left)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
    temporary, old = holder / path.name, holder / f"{path.name}.old"
    try:
        yield temporary
        if path.exists() and (path.is_dir() or temporary.is_dir()):
            # A folder takes nothing's place in one rename: two, and back if the second fails.
            path.rename(old)
        try:
            temporary.replace(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` with sorted keys and a final newline: equal values give equal bytes."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the JSON in `path`; a MinnowError says which stage's file is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MinnowError(f"{path} is missing; `dvc repro` makes it") from None
    except ValueError as error:
        raise MinnowError(
            f"{path} is not valid JSON ({error}); delete it and run `dvc repro`"
        ) from None
    except OSError as error:
        raise MinnowError(
            f"{path} cannot be read ({error.strerror}); delete it and run `dvc repro`"
        ) from None


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
        raise MinnowError(
            f"{damage}, and DVC's cache may hold the same damage; `rm -rf {folder} && chmod -R u+w"
            ' "$(dvc cache dir)" && dvc repro` makes DVC check its cache and build anew what'
            " is bad"
        )


def first_damage(folder: Path, manifest: Any, *, but: Collection[str] = ()) -> str:
    """Return the first difference of a folder from its manifest, in words, or nothing; files named
    in `but` may differ or lack.
    """
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict):
        return f"{folder / MANIFEST} lists no files"
    for name, fact in files.items():
        if name in but:
            continue
        file = folder / name
        if not file.is_file():
            return f"{file} is missing"
        if fact != {"bytes": file.stat().st_size, "sha256": sha256(file)}:
            return f"{file} differs from its manifest"
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
