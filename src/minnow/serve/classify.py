"""`minnow classify`: every record of an input with its probability and label, in order."""

import math
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

from minnow import load
from minnow.core.files import MANIFEST, sha256
from minnow.errors import MinnowError, printable, warn
from minnow.serve.chunks import (
    Answering,
    Job,
    Margins,
    answered,
    answered_by,
    chunks_as_they_come,
    chunks_of,
)
from minnow.serve.meter import Meter
from minnow.serve.reading import (
    SUFFIXES,
    Record,
    Records,
    format_of,
    opened_file,
    records,
    unpacked,
)
from minnow.serve.settings import Settings, check, read_settings
from minnow.serve.writing import MARK, Output, Sink, Wrong, resumable

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """What was typed; `threshold` is a probability, None for the release's own."""

    folder: str
    file: str = STDIN
    output: str | None = None
    format: str | None = None
    column: str | None = None
    threshold: float | None = None
    jobs: int = 1


@dataclass(frozen=True)
class Judge:
    """Margins to words."""

    settings: Settings

    @property
    def labels(self) -> list[str]:
        """The labels, as they are written."""
        return [printable(label) for label in self.settings.labels]

    def words(self, margin: float | None) -> tuple[str, str]:
        """Return the probability and the label of a margin; nothing of none."""
        if margin is None:
            return "", ""
        probability = self.settings.probability(margin)
        return f"{probability:.6f}", printable(self.settings.label(margin))


def judge_of(folder: Path, threshold: float | None) -> Judge:
    """Return what makes words of a release's margins.

    Raises:
        MinnowError: the folder is no release.
    """
    settings = read_settings(folder)
    if threshold is not None:
        settings = replace(settings, threshold=margin_at(threshold, settings.temperature))
    return Judge(settings)


def margin_at(probability: float, temperature: float) -> float:
    """Return temperature · ln(p / (1 − p)), the margin of a probability."""
    if probability in (0.0, 1.0):
        return math.inf if probability else -math.inf
    return temperature * (math.log(probability) - math.log1p(-probability))


def classify(asked: Asked) -> None:
    """Write every record of an input with its probability and label.

    Raises:
        MinnowError: release, input or output cannot be used.
    """
    kind = format_of(asked.file, asked.format)
    check_names(asked, kind)
    judge = judge_of(Path(asked.folder), asked.threshold)
    if kind == "parquet":
        from minnow.serve.parquet import classify_parquet

        classify_parquet(asked, judge, answering(asked))
    else:
        classify_lines(asked, judge, kind)


def check_names(asked: Asked, kind: str) -> None:
    """Refuse an output that is the input, or whose name says another format than the input's.

    Raises:
        MinnowError: says which.
    """
    if asked.output is None:
        if kind == "parquet":
            raise MinnowError("Parquet cannot be written to a terminal; give --output FILE.parquet")
        return
    output = Path(asked.output)
    if output.suffix.lower() == ".gz":
        raise MinnowError(f"{output} would be packed; name it without .gz, and run gzip after")
    if SUFFIXES.get(output.suffix.lower(), kind) != kind:
        raise MinnowError(f"the input is {kind}, and so is the output; name it NAME.{kind}")
    if asked.file != STDIN and output.exists() and output.samefile(asked.file):
        raise MinnowError(f"{output} is the input; name another --output")


def answering(asked: Asked) -> Answering:
    """Return what answers jobs: this process, or several."""
    if asked.jobs > 1:
        check(Path(asked.folder))  # here, where it is said once
        return partial(answered_by, asked.jobs, asked.folder)
    return partial(answered, load(asked.folder))


def classify_lines(asked: Asked, judge: Judge, kind: str) -> None:
    """Do the same with an input of lines."""
    answers = answering(asked)
    with opened_input(asked.file) as file:
        found = records(unpacked(file, asked.file), kind, asked.column)
        sink = sink_of(asked, judge, found)
        sink.begin(found)
        meter, wrong = Meter(size_of(file)), Wrong()
        try:
            for job, margins in answers(jobs_of(asked, found, sink)):
                note_wrong(job.chunk, wrong)
                sink.write(lines_of(job, margins, found, judge))
                meter.add(len(job.chunk), read=place_of(file), computed=bool(margins))
        finally:
            meter.close()
    sink.finish()
    tell_wrong(wrong, meter.rows)


@contextmanager
def opened_input(name: str) -> Iterator[IO[bytes]]:
    """Yield an input, closed at the end; standard input is not, where a thread may be reading."""
    file = opened_file(name)
    try:
        yield file
    finally:
        if name != STDIN:
            file.close()


def jobs_of(asked: Asked, found: Records, sink: Sink) -> Iterator[Job]:
    """Yield the records in chunks, with how many of each the output has already.

    Of standard input they go on as they come, but to several processes in full chunks.
    """
    live = asked.file == STDIN and asked.output is None and asked.jobs == 1
    chunks = chunks_as_they_come(found.rows) if live else chunks_of(found.rows)
    for chunk in chunks:
        yield Job(chunk, answered_before(chunk, sink))


def answered_before(chunk: Sequence[Record], sink: Sink) -> int:
    """Return how many of these records the output has, from the first on."""
    for place, record in enumerate(chunk):
        if not sink.has(record):
            return place
    return len(chunk)


def lines_of(job: Job, margins: Margins, found: Records, judge: Judge) -> list[bytes]:
    """Return what is written of a chunk: the records that the output does not have."""
    pairs = zip(job.chunk[job.done :], margins[job.done :], strict=True)
    return [record.head + found.end(*judge.words(margin)) for record, margin in pairs]


def sink_of(asked: Asked, judge: Judge, found: Records) -> Sink:
    """Return where the answers go."""
    if asked.output is None:
        return Output(sys.stdout.buffer)
    shown = [found.end(MARK, label) for label in judge.labels] + [found.end("", "")]
    return resumable(Path(asked.output), identity(asked, found.column), shown)


def identity(asked: Asked, column: str) -> list[str]:
    """Return what answers depend on beside the input: model, threshold, and which column."""
    model = sha256(Path(asked.folder) / MANIFEST)
    return [model, repr(asked.threshold), column, str(asked.format)]


def note_wrong(chunk: Sequence[Record], wrong: Wrong) -> None:
    """Count the records without a text."""
    for record in chunk:
        if record.text is None:
            wrong.note(record)


def tell_wrong(wrong: Wrong, rows: int) -> None:
    """Say on stderr which records had no answer."""
    if told := wrong.told():
        warn(f"of {rows:,} rows {told}")


def size_of(file: IO[bytes]) -> int | None:
    """Return the bytes of a file, None for a stream."""
    found = os.fstat(file.fileno())
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def place_of(file: IO[bytes]) -> int:
    """Return how many bytes of a file were read, 0 for a stream."""
    return file.tell() if file.seekable() else 0
