"""A digest of a whole file inside that file: one flipped bit anywhere, and it is not believed.

Bits that rot cannot take content and digest to another pair that fits, so the digest may lie where
the content lies, and no second file has to be kept beside it. The digest is taken of the bytes with
zeros where it stands itself, and compared before anything of the file is parsed.
"""

import hashlib
import mmap
from pathlib import Path

# What a file holds right before its digest, which is in hexadecimal. The last one counts.
MARK = b"minnow-seal-"
BLANK = b"0" * 64
# What a writer puts where the digest will stand.
PLACE = MARK + BLANK


def seal(path: Path) -> None:
    """Put its digest into a file in which `PLACE` stands."""
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            start = content.rfind(PLACE) + len(MARK)
            digest = _digest(content, start)
        file.seek(start)
        file.write(digest)


def intact(content: bytes | mmap.mmap) -> bool:
    """Return whether these are the bytes of a file as `seal` left it."""
    found = content.rfind(MARK)
    start = found + len(MARK)
    return found >= 0 and content[start : start + len(BLANK)] == _digest(content, start)


def _digest(content: bytes | mmap.mmap, start: int) -> bytes:
    with memoryview(content) as view, view[:start] as before, view[start + len(BLANK) :] as after:
        digest = hashlib.sha256(before)
        digest.update(BLANK)
        digest.update(after)
    return digest.hexdigest().encode()
