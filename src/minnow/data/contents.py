"""What a file is by its first bytes, whatever its name: unpacked within bounds, decoded, or named
as what it is.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import IO

import pyarrow as pa

from minnow.errors import MinnowError, listed, reason, shortened, warn

# No more than this is read of a file, packed or not; and no more than the memory has room for.
MOST_BYTES = 16 << 30
# How often a file lies in memory while it is read: its bytes, as text, as a table, as columns.
COPIES = 4
# What is packed may grow this many times; URLs of one data set shrink to a tenth, seldom to a
# fiftieth. Below PLENTY it may grow as it likes.
GROWTH, PLENTY = 200, 64 << 20
# Packed files inside packed ones.
LAYERS = 3
XZ_MEMORY = 256 << 20
CHUNK = 1 << 20

# What libraries raise about what is damaged.
DAMAGE = (
    *(OSError, EOFError, ValueError, RuntimeError, KeyError, IndexError, struct.error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)

# What is none of ours: how it begins, what it is, what to do.
FOREIGN: tuple[tuple[re.Pattern[bytes], str, str], ...] = tuple(
    (re.compile(rb"(\xef\xbb\xbf)?\s*" + start, re.IGNORECASE), noun, remedy)
    for start, noun, remedy in (
        (
            rb"<(!doctype html|html|head|body|script|\?xml|!--)",
            "a web page or XML",
            "download the file itself; a page often stands for a login or an error",
        ),
        (rb"%PDF", "a PDF", "export the table as CSV"),
        (rb"\xd0\xcf\x11\xe0", "an old Excel or Word file", "save it as CSV"),
        (rb"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
        (rb"version https://git-lfs", "a pointer of Git LFS", "run `git lfs pull`"),
        (rb"outs:\r?\n- ", "a pointer of DVC", "name it with .dvc, and run `dvc pull`"),
        (rb"7z\xbc\xaf", "a 7z archive", "unpack it"),
        (rb"Rar!", "a RAR archive", "unpack it"),
        (rb"(?s:.{257})ustar", "a tar archive", "unpack it"),
        (rb"\{\\rtf", "a text document (RTF)", "save it as CSV"),
        (rb"FEA1\0", "a Feather file of version 1", "save it as Parquet"),
        (rb"(?-i:ORC)[^ -~]", "an ORC file", "save it as Parquet"),
        (rb"Obj\x01", "an Avro file", "save it as Parquet"),
        (rb"\x89HDF", "an HDF5 file", "save it as Parquet"),
        (rb"\x93NUMPY", "an array of NumPy", "save it as CSV"),
        (rb"\x04\x22\x4d\x18", "packed by LZ4", "unpack it, or pack it by gzip"),
        (rb"\]\0\0", "packed by LZMA without a header", "unpack it, or pack it by xz"),
        (rb"\x1f\x9d", "packed by compress (.Z)", "unpack it, or pack it by gzip"),
        (rb"PK\x05\x06", "an empty zip", "put the table into it"),
        (rb"\x80[\x02-\x05]", "a Python pickle, which can run code", "save it as Parquet"),
        (rb"(\x89PNG|\xff\xd8\xff|GIF8)", "a picture", "name another file"),
    )
)


def most_bytes() -> int:
    """Return how many bytes of a file this machine can take in."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(MOST_BYTES, memory // COPIES)


def require_size(name: str, size: int) -> None:
    """Refuse more bytes than can be taken in.

    Raises:
        MinnowError: says how many there are and how many may be.
    """
    if size > most_bytes():
        raise MinnowError(
            f"{name} holds {size / 1e6:.0f} MB and at most {most_bytes() / 1e6:.0f} MB can be read"
            f" here, {COPIES} times that in memory; take a part of its rows"
        )


def unpacked(name: str, raw: bytes) -> tuple[str, bytes]:
    """Return a file's bytes without compression, and its name; that of a zip is the name of the one
    file in it.

    Raises:
        MinnowError: it is damaged, grows beyond bounds, holds several files, or is of a kind that
        is not read.
    """
    inner = name
    for _ in range(LAYERS):
        unpack = next((how for start, how in PACKED.items() if raw.startswith(start)), None)
        if unpack is None:
            break
        try:
            inner, raw = unpack(inner, raw)
        except DAMAGE as error:
            raise MinnowError(
                f"{name} is packed, and cannot be unpacked: {reason(error)}; get it anew"
            ) from None
    for start, noun, remedy in FOREIGN:
        if start.match(raw[:SAMPLE]):
            raise MinnowError(f"{name} is {noun}, not a table of the kinds that are read; {remedy}")
    return inner, raw


def _bounded(name: str, stream: IO[bytes] | io.BufferedIOBase, packed: int) -> bytes:
    """Return all that a stream holds, of which `packed` bytes are packed."""
    grown, most = bytearray(), _most_unpacked(packed)
    while chunk := stream.read(CHUNK):
        grown += chunk
        _require_growth(name, len(grown), most)
    return bytes(grown)


def _most_unpacked(packed: int) -> int:
    return min(most_bytes(), max(PLENTY, GROWTH * packed))


def _require_growth(name: str, grown: int, most: int) -> None:
    if grown > most:
        raise MinnowError(
            f"{name} unpacks to more than {most / 1e6:.0f} MB, which is more than its size allows"
            f" ({GROWTH} times) or this machine's memory; unpack it, look at it, and take a part"
        )


def _gzip(name: str, raw: bytes) -> tuple[str, bytes]:
    return name, _bounded(name, gzip.GzipFile(fileobj=io.BytesIO(raw)), len(raw))


def _bz2(name: str, raw: bytes) -> tuple[str, bytes]:
    return name, _bounded(name, bz2.BZ2File(io.BytesIO(raw)), len(raw))


def _xz(name: str, raw: bytes) -> tuple[str, bytes]:
    most = _most_unpacked(len(raw))
    stream = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    grown = stream.decompress(raw, max_length=most + 1)
    _require_growth(name, len(grown), most)
    if not stream.eof or stream.unused_data.strip(b"\0"):
        raise EOFError("it ends too early, or another file follows")
    return name, grown


def _zstd(name: str, raw: bytes) -> tuple[str, bytes]:
    stream = pa.CompressedInputStream(pa.BufferReader(raw), "zstd")
    return name, _bounded(name, stream, len(raw))


def _zip(name: str, raw: bytes) -> tuple[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        members = [member for member in archive.infolist() if _counts(member)]
        names = [member.filename for member in members]
        if "[Content_Types].xml" in names or "mimetype" in names:
            raise MinnowError(f"{name} is a workbook or document; save its table as CSV")
        if not members:
            raise MinnowError(f"{name} is a zip without a file; put the table into it")
        if len(members) != 1:
            shown = [shortened(" ".join(member.split())) for member in names]
            raise MinnowError(
                f"{name} is a zip of {len(members)} files ({listed(shown, 4)}); unpack it, and name"
                " one of them"
            )
        with archive.open(members[0]) as stream:
            return names[0], _bounded(name, stream, len(raw))


def _counts(member: zipfile.ZipInfo) -> bool:
    """Return whether a zip's member is a file that somebody put there, and not their system."""
    path = PurePosixPath(member.filename)  # without the `./` that some begin with
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not (member.is_dir() or hidden)


PACKED: dict[bytes, Callable[[str, bytes], tuple[str, bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": _bz2,
    b"\xfd7zXZ\0": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"PK\x03\x04": _zip,
}
# How names end of files that are packed.
PACKED_ENDINGS = (".gz", ".bz2", ".xz", ".zst", ".zip")

# By what a text begins with; of UTF-32's and UTF-16's marks the longer goes first.
MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
UTF8 = "utf-8-sig"
BOM = "\ufeff"
REPLACEMENT = "\ufffd".encode()
SAMPLE = 4096


def as_utf8(name: str, raw: bytes) -> bytes:
    """Return a text in UTF-8 without a byte order mark, its lines ended by a line feed if all end
    by a carriage return. Bytes that cannot be decoded become U+FFFD, with a warning.

    Raises:
        MinnowError: so many null characters are no text.
    """
    encoding = next((encoding for mark, encoding in MARKS if raw.startswith(mark)), _without(raw))
    plain = encoding == UTF8 and raw.isascii()
    text = raw if plain else raw.decode(encoding, errors="replace").removeprefix(BOM).encode()
    sample = text[:SAMPLE]
    if sample.count(0) > len(sample) / 10:
        raise MinnowError(f"{name} holds binary data, not text; name another file")
    if text.count(REPLACEMENT) > raw.count(REPLACEMENT):
        warn(
            f"{name} is not all UTF-8: {text.count(REPLACEMENT)} characters cannot be decoded and"
            " are left out; save it as UTF-8 if its URLs have letters beyond ASCII"
        )
    return text.replace(b"\r", b"\n") if b"\n" not in text else text


def _without(raw: bytes) -> str:
    """Return the encoding of a text without a mark: every other byte of ASCII in UTF-16 is null."""
    sample = raw[: SAMPLE - SAMPLE % 2]
    for encoding, nulls in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        if len(nulls) > 3 and nulls.count(0) > 0.7 * len(nulls) and sample.count(0) < len(sample):
            return encoding
    return UTF8
