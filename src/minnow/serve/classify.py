"""`minnow classify`: every record of an input with its probability and label, in order."""

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

from minnow import load
from minnow.core.files import MANIFEST, sha256
from minnow.errors import MinnowError
from minnow.serve.answers import STDIN, Asked, Wording, wording_of
from minnow.serve.chunks import (
    Answering,
    Margins,
    Task,
    answered,
    answered_by,
    chunks_as_they_come,
    chunks_of,
)
from minnow.serve.formats import records
from minnow.serve.meter import Meter
from minnow.serve.reading import (
    SUFFIXES,
    InputRecord,
    InputRecords,
    format_of,
    opened_file,
    without_gzip,
)
from minnow.serve.writing import MARK, Output, Sink, Wrong, resumable


def classify(asked: Asked) -> None:
    """Write every record of an input with its probability and label.

    Raises:
        MinnowError: release, input or output cannot be used.
    """
    kind = format_of(asked.file, asked.format)
    check_output(asked, kind)
    wording = wording_of(Path(asked.folder), asked.threshold)
    if kind == "parquet":
        from minnow.serve.parquet import classify_parquet

        classify_parquet(asked, wording, answering(asked))
    else:
        classify_lines(asked, wording, kind)


def check_output(asked: Asked, kind: str) -> None:
    """Refuse an output that is the input, or whose name says another format than the input's.

    Raises:
        MinnowError: says which.
    """
    if asked.output is None:
        if kind == "parquet":
            raise MinnowError("Parquet cannot be written to a terminal; give --output FILE.parquet")
        if asked.file != STDIN and same_file(asked.file, "/dev/stdout"):
            raise MinnowError(f"standard output goes into {asked.file}, the input; name another")
        return
    output = Path(asked.output)
    if output.suffix.lower() == ".gz":
        raise MinnowError(f"{output} would be packed; name it without .gz, and run gzip after")
    if SUFFIXES.get(output.suffix.lower(), kind) != kind:
        raise MinnowError(f"the input is {kind}, and so is the output; name it NAME.{kind}")
    if asked.file != STDIN and same_file(asked.file, output):
        raise MinnowError(f"{output} is the input; name another --output")


def same_file(name: str, other: str | Path) -> bool:
    """Say whether two names stand for one regular file."""
    try:
        return Path(name).is_file() and Path(name).samefile(other)
    except OSError:
        return False


def answering(asked: Asked) -> Answering:
    """Return what answers jobs: this process, or several."""
    model = load(asked.folder)  # also for others: here what is wrong with it is said once
    if asked.jobs > 1:
        return partial(answered_by, asked.jobs, asked.folder)
    return partial(answered, model)


def classify_lines(asked: Asked, wording: Wording, kind: str) -> None:
    """Do the same with an input of lines."""
    answers = answering(asked)
    with opened_input(asked.file) as file:
        found = records(without_gzip(file, asked.file), kind, asked.column)
        sink = sink_of(asked, wording, found)
        sink.begin(found)
        meter, wrong = Meter(size_of(file)), Wrong()
        try:
            for job, margins in answers(tasks_of(asked, found, sink)):
                wrong.note_all(job.chunk)
                sink.write(lines_of(job, margins, found, wording))
                meter.add(len(job.chunk), read=place_of(file), computed=bool(margins))
        finally:
            meter.close()
    sink.finish()
    wrong.tell(meter.rows)


@contextmanager
def opened_input(name: str) -> Iterator[IO[bytes]]:
    """Yield an input, closed at the end; standard input is not, where a thread may be reading."""
    file = opened_file(name)
    try:
        yield file
    finally:
        if name != STDIN:
            file.close()


def tasks_of(asked: Asked, found: InputRecords, sink: Sink) -> Iterator[Task]:
    """Yield the records in chunks, with how many of each the output has already.

    Of standard input they go on as they come, but to several processes in full chunks.
    """
    live = asked.file == STDIN and asked.output is None and asked.jobs == 1
    chunks = chunks_as_they_come(found.rows) if live else chunks_of(found.rows)
    for chunk in chunks:
        yield Task(chunk, answered_before(chunk, sink))


def answered_before(chunk: Sequence[InputRecord], sink: Sink) -> int:
    """Return how many of these records the output has, from the first on."""
    for place, record in enumerate(chunk):
        if not sink.has(record):
            return place
    return len(chunk)


def lines_of(job: Task, margins: Margins, found: InputRecords, wording: Wording) -> list[bytes]:
    """Return what is written of a chunk: the records that the output does not have."""
    pairs = zip(job.chunk[job.done :], margins[job.done :], strict=True)
    return [record.head + found.end(*wording.words(margin)) for record, margin in pairs]


def sink_of(asked: Asked, wording: Wording, found: InputRecords) -> Sink:
    """Return where the answers go."""
    if asked.output is None:
        return Output(sys.stdout.buffer)
    shown = [found.end(MARK, label) for label in wording.labels] + [found.end("", "")]
    return resumable(Path(asked.output), identity(asked, found.column), shown)


def identity(asked: Asked, column: str) -> list[str]:
    """Return what answers depend on beside the input: model, threshold, and which column."""
    model = sha256(Path(asked.folder) / MANIFEST)
    return [model, repr(asked.threshold), column, str(asked.format)]


def size_of(file: IO[bytes]) -> int | None:
    """Return the bytes of a file, None for a stream."""
    found = os.fstat(file.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def place_of(file: IO[bytes]) -> int:
    """Return how many bytes of a file were read, 0 for a stream."""
    return file.tell() if file.seekable() else 0
