"""Where answers go: standard output, or a file that a later call takes up where this one ended.

What is being written has a name of its own, by model and settings, until it is whole. Taken up, it
is held against the input record by record, so no other input's answers are among them.
"""

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from minnow.core.files import PARTIAL, flush_entries
from minnow.errors import MinnowError, listed, warn
from minnow.serve.reading import InputRecord, InputRecords

# No answer, as words, has more bytes.
LONGEST_END = 4_000
# What stands for a probability where only its place counts, and what it looks like.
MARK, SHOWN = "\x01", rb"[01]\.[0-9]{6}"


@dataclass
class Output:
    """Lines to standard output, each chunk at once."""

    file: IO[bytes]

    def begin(self, records: InputRecords) -> None:
        """Write what stands before the first record."""
        self.file.write(records.start)

    def has(self, record: InputRecord) -> bool:
        """Say whether a record is answered already."""
        return False

    def write(self, lines: Sequence[bytes]) -> None:
        """Write lines, and let them go."""
        self.file.writelines(lines)
        self.file.flush()

    def finish(self) -> None:
        """Let everything go."""
        self.file.flush()


@dataclass
class Resumable:
    """Lines to a file beside `path`, which takes that name once it is whole."""

    path: Path
    partial: Path
    file: IO[bytes]
    ends: re.Pattern[bytes]
    left: bool = field(default=True)

    def begin(self, records: InputRecords) -> None:
        """Write what stands before the first record, or find it there."""
        if not self._found(records.start, 0):
            self.file.write(records.start)

    def has(self, record: InputRecord) -> bool:
        """Say whether the file has this record's answer next; where the file ends, cut off what
        stands there half.

        Raises:
            MinnowError: it has another record there.
        """
        return self._found(record.head, LONGEST_END)

    def _found(self, head: bytes, longest_end: int) -> bool:
        if not self.left:
            return False
        place = self.file.tell()
        there = self.file.read(len(head))
        end = self.file.readline(longest_end)
        torn = len(there) < len(head) or (longest_end > 0 and not end.endswith(b"\n"))
        if not head.startswith(there) or not (torn or self._ends(end, longest_end)):
            raise self._foreign()
        if torn:
            if self.file.read(1):
                raise self._foreign()
            self.file.seek(place)
            self.file.truncate()
            self.left = False
        return not torn

    def _ends(self, end: bytes, longest_end: int) -> bool:
        return longest_end == 0 or self.ends.fullmatch(end) is not None

    def _foreign(self) -> MinnowError:
        return MinnowError(
            f"{self.partial} holds what is not of this input, or was changed; remove it, or name"
            " another --output"
        )

    def write(self, lines: Sequence[bytes]) -> None:
        """Append lines, and let them go.

        Raises:
            MinnowError: the disk is full, say.
        """
        try:
            self.file.writelines(lines)
            self.file.flush()
        except OSError as error:
            raise self._unwritten(error) from None

    def finish(self) -> None:
        """Give the file its name once it has reached the disk.

        Raises:
            MinnowError: it holds more records than the input.
        """
        if self.left and self.file.read(1):
            raise self._foreign()
        self.write([])
        try:
            os.fsync(self.file.fileno())
            self._take_name()
        except OSError as error:
            raise self._unwritten(error) from None
        flush_entries(self.path.parent)
        self.file.close()

    def _take_name(self) -> None:
        """Give the file its name, in the place of nothing that came there in the meantime."""
        refuse_existing(self.path)
        try:
            os.link(self.partial, self.path)
        except FileExistsError:
            refuse_existing(self.path)
            raise
        except OSError:  # a file system may know no second names
            self.partial.rename(self.path)
        else:
            self.partial.unlink()

    def _unwritten(self, error: OSError) -> MinnowError:
        return MinnowError(
            f"{self.partial} cannot be written ({error.strerror}); mend that, and the same"
            " command goes on"
        )


def partial_name(path: Path, settings: Sequence[str]) -> Path:
    """Return the name beside `path` that belongs to a model and settings."""
    digest = hashlib.sha256("\0".join(settings).encode()).hexdigest()[:12]
    return path.with_name(f"{path.name}.{digest}{PARTIAL}")


def refuse_existing(path: Path) -> None:
    """Refuse to write where something lies.

    Raises:
        MinnowError: names it.
    """
    if path.exists() or path.is_symlink():
        raise MinnowError(f"{path} is there already; remove it, or name another --output")


def resumable(path: Path, settings: Sequence[str], ends: Sequence[bytes]) -> Resumable:
    """Return the file that `path` will be, as far as an earlier call has come; `ends` are how a
    record may end, with `MARK` for a probability.

    Raises:
        MinnowError: it cannot be written, or another process is writing it.
    """
    refuse_existing(path)
    partial = partial_name(path, settings)
    try:
        number = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise MinnowError(f"{partial} cannot be written ({error.strerror}); name another") from None
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(number)
        raise MinnowError(f"{partial} is no file of yours; remove it, or name another --output")
    file = os.fdopen(number, "r+b")
    hold(file, partial)
    return Resumable(path, partial, file, _pattern(ends))


def hold(file: IO[bytes], partial: Path) -> None:
    """Keep other processes from writing a file.

    Raises:
        MinnowError: one is writing it, or has just given it its name.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MinnowError(f"{partial} is being written by another process; wait for it") from None
    except OSError:  # a network file system may know no locks
        pass
    try:
        same = os.path.samestat(os.fstat(file.fileno()), partial.lstat())
    except FileNotFoundError:
        same = False
    if not same:
        raise MinnowError(f"{partial} was finished by another process just now; look at that")


def _pattern(ends: Sequence[bytes]) -> re.Pattern[bytes]:
    shown = [re.escape(end).replace(re.escape(MARK.encode()), SHOWN) for end in ends]
    return re.compile(b"|".join(shown))


Sink = Output | Resumable


@dataclass
class Wrong:
    """How many records had no answer, and the first of them."""

    most: int = 5
    count: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, record: InputRecord) -> None:
        """Count a record that has no text."""
        self.count += 1
        if len(self.first) < self.most:
            self.first.append(f"line {record.line}: {record.wrong}")

    def note_all(self, records: Sequence[InputRecord]) -> None:
        """Count those of many records that have no text."""
        for record in records:
            if record.text is None:
                self.note(record)

    def tell(self, rows: int) -> None:
        """Say on stderr which of so many had no answer."""
        if told := self.told():
            warn(f"of {rows:,} rows {told}")

    def told(self) -> str:
        """Return what to say of them; nothing where there are none."""
        if not self.count:
            return ""
        rest = f"; and {self.count - len(self.first):,} more" * (self.count > len(self.first))
        return f"{self.count:,} without an answer: {listed(self.first)}{rest}"
