"""A model's graph with its packed numbers unfolded, kept at first use in the user's cache.

Unfolding takes tenths of a second and 60 MB of memory; what was unfolded loads in hundredths.
Nothing of the cache is believed: its folder and file must be the user's own, and the file begins
with the digest of the rest.
"""

import hashlib
import os
import platform
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from minnow.core.files import replacing

# More than any graph of ours: what is longer is not read.
LONGEST_GRAPH = 2_000_000_000
DIGEST = 64  # hexadecimal digits of SHA-256
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def folded_file(model: bytes, runtime: str) -> Path | None:
    """Return where the unfolded graph of a model lies, by its bytes, the version of its runtime and
    the kind of processor; None where there is no home for it.
    """
    key = hashlib.sha256(model)
    key.update(f"{runtime} {platform.system()} {platform.machine()}".encode())
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(home) if Path(home).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # nobody's home
        return None
    return cache / "minnow" / f"{key.hexdigest()}.onnx"


def read_folded(file: Path) -> bytes | None:
    """Return a graph of the cache; None where there is none, or none that can be believed."""
    try:
        if not (_own(file.parent, stat.S_ISDIR) and _own(file, stat.S_ISREG)):
            return None
        if file.stat().st_size > LONGEST_GRAPH:
            return None
        with file.open("rb") as opened:
            digest, graph = opened.read(DIGEST), opened.read()
    except OSError:
        return None
    return graph if hashlib.sha256(graph).hexdigest().encode() == digest else None


def _own(path: Path, kind: Callable[[int], bool]) -> bool:
    """Say whether a path is of this kind, no link, the user's, and writable by nobody else."""
    found = path.lstat()
    own = found.st_uid == os.geteuid() and not found.st_mode & WRITABLE_BY_OTHERS
    return own and kind(found.st_mode)


def keep_folded(file: Path, graph: bytes) -> None:
    """Write a graph into the cache, whole, for the user alone; where that fails there is none."""
    digest = hashlib.sha256(graph).hexdigest().encode()
    with suppress(OSError):
        file.parent.parent.mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        with replacing(file) as temporary:
            temporary.touch(mode=0o600)
            temporary.write_bytes(digest + graph)
