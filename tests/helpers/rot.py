"""Bit rot: a flipped bit, with size and times as they were, so that DVC sees nothing."""

import hashlib
import os
from pathlib import Path


def flipped(content: bytes, bit: int) -> bytes:
    byte = bit // 8
    return content[:byte] + bytes([content[byte] ^ 1 << bit % 8]) + content[byte + 1 :]


def rot(file: Path) -> None:
    """Flip a bit in the middle of a file; owner, mode, size and times stay."""
    stat = file.stat()
    file.chmod(0o644)
    content = file.read_bytes()
    file.write_bytes(flipped(content, 4 * len(content)))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    file.chmod(stat.st_mode)


def cached(root: Path, file: Path) -> Path:
    """Return the object of DVC's cache that holds what this file holds."""
    md5 = hashlib.md5(file.read_bytes()).hexdigest()
    return root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
