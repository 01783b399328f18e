"""What a stage is about to read, held against what dvc.lock says of it.

DVC takes a file for unchanged as long as its size and time are, and restores an object of its cache
unread as long as the object is read-only: where bits rot, both are wrong. dvc.lock is in git and
holds the MD5 of every out, so nothing that a stage made is believed by the next one unless it fits.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minnow.errors import MinnowError, command
from minnow.layout import Layout
from minnow.remedies import damaged_line


def require_recorded(root: Path) -> None:
    """Compare what the stage that DVC is running depends on with dvc.lock; a stage that is run by
    hand may read what is not recorded.

    Raises:
        MinnowError: an out of an earlier stage is not what that stage wrote, or dvc.lock is not
        what DVC wrote.
    """
    name, lock = os.environ.get("DVC_STAGE"), Layout(root).lock
    if name is None or not lock.exists():
        return
    recorded = outs_of(locked(lock.read_bytes()))
    for dep in deps_of(parsed(Layout(root).pipeline.read_bytes()), name):
        for out, md5 in recorded.items():
            if overlap(dep, out) and (root / out).exists() and md5 != md5_of(root / out, root):
                raise MinnowError(
                    damaged_line(root / out, f"{out} is not what dvc.lock says of it")
                )


def parsed(content: bytes) -> Any:
    """Return the document of a YAML file; DVC has read it before us."""
    import yaml  # not above: a Python without it is told so by src/stage.py

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(content.decode("utf-8"), Loader=loader)


def locked(content: bytes) -> dict[str, dict[str, Any]]:
    """Return the stages of dvc.lock by name, of which every dep and out has a path.

    Raises:
        MinnowError: it was edited, or holds what git leaves of a merge.
    """
    import yaml

    try:
        stages = parsed(content)["stages"]
        for stage in stages.values():
            outs = stage.get("outs", [])
            texts = [out["md5"] for out in outs]
            texts += [entry["path"] for entry in (*outs, *stage.get("deps", []))]
            if not all(isinstance(text, str) for text in texts):
                raise TypeError
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        back = command("git checkout -- dvc.lock")
        raise MinnowError(
            "dvc.lock is not as DVC writes it: it was edited, or a merge left marks in it; bring it"
            f" back with {back}, or remove it and run `dvc repro`"
        ) from None
    return dict(stages)


def outs_of(stages: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the MD5 of each out that dvc.lock names, by path."""
    return {
        out["path"]: out["md5"]
        for stage in stages.values()
        for out in stage.get("outs", [])
        if out.get("hash") == "md5"  # older ones were taken of text with other line ends
    }


def deps_of(pipeline: Any, name: str) -> Iterator[str]:
    """Yield what a stage of dvc.yaml depends on, without what depends on params: no stage makes
    that.
    """
    name, _, item = name.partition("@")
    stage = pipeline["stages"][name]
    for dep in stage.get("do", stage).get("deps", []):
        for key in ("${item}", "${item.model}"):
            dep = dep.replace(key, item)
        if "${" not in dep:
            yield dep


def overlap(one: str, other: str) -> bool:
    """Return whether one path is the other, or holds it."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def md5_of(path: Path, root: Path) -> str:
    """Return what DVC calls a file's or a folder's MD5: of a folder without what a .dvcignore of
    the project names.
    """
    if path.is_file():
        return file_md5(path)
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    found = DvcIgnoreFilter(localfs, str(root.absolute())).find(localfs, str(path.absolute()))
    files = sorted(Path(file).relative_to(path.absolute()).as_posix() for file in found)
    listing = [{"md5": file_md5(path / name), "relpath": name} for name in files]
    return hashlib.md5(json.dumps(listing, sort_keys=True).encode()).hexdigest() + ".dir"


def file_md5(file: Path) -> str:
    """Return the MD5 of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()
