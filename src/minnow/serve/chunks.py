"""Records in chunks, and their answers in the order of the chunks, from one process or several."""

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from minnow.errors import MinnowError
from minnow.serve.reading import InputRecord

ROWS = 2_048
BYTES = 4_000_000
# How long records that are there wait for others, of a stream that somebody looks at, in seconds.
WAIT = 0.1

Chunk = list[InputRecord]
Margins = list[float | None]


class Margined(Protocol):
    """What answers: a released model."""

    def margins(self, texts: Sequence[str]) -> list[float]:
        """Return the margin of each text."""


@dataclass
class Task:
    """A chunk, how many of its records are answered already, and the answers to come."""

    chunk: Chunk
    done: int = 0
    margins: "Future[Margins] | None" = field(default=None)


def chunks_of(records: Iterable[InputRecord]) -> Iterator[Chunk]:
    """Yield records in chunks of bounded rows and bytes: the same ones for the same records."""
    chunk, size = Chunk(), 0
    for record in records:
        chunk.append(record)
        size += len(record.head) + len(record.text or "")
        if len(chunk) == ROWS or size > BYTES:
            yield chunk
            chunk, size = Chunk(), 0
    if chunk:
        yield chunk


def chunks_as_they_come(records: Iterator[InputRecord]) -> Iterator[Chunk]:
    """Yield records of a stream that may pause: those that have come within `WAIT`.

    Raises:
        Exception: what reading raises.
    """
    come: queue.Queue[Any] = queue.Queue(maxsize=64)
    threading.Thread(target=_supply, args=(records, come), daemon=True).start()
    while (item := come.get()) is not None:
        chunk, size, ended = Chunk(), 0, False
        while item is not None:
            if isinstance(item, BaseException):
                raise item
            chunk.append(item)
            size += len(item.head)
            if len(chunk) == ROWS or size > BYTES:
                break
            try:
                item = come.get(timeout=WAIT)
            except queue.Empty:
                break
            ended = item is None
        yield chunk
        if ended:
            return


def _supply(records: Iterator[InputRecord], to: "queue.Queue[Any]") -> None:
    try:
        for record in records:
            to.put(record)
        to.put(None)
    except BaseException as error:
        to.put(error)


def margins_in_place(model: Margined, texts: Sequence[str | None]) -> Margins:
    """Return the margin of each text, None for what is none."""
    found = iter(model.margins([text for text in texts if text is not None]))
    return [None if text is None else next(found) for text in texts]


def texts_of(chunk: Chunk) -> list[str | None]:
    """Return the texts of a chunk."""
    return [record.text for record in chunk]


def answered(model: Margined, jobs: Iterable[Task]) -> Iterator[tuple[Task, Margins]]:
    """Yield each job with its margins; one that is done has none."""
    for job in jobs:
        whole = job.done == len(job.chunk)
        yield job, [] if whole else margins_in_place(model, texts_of(job.chunk))


def answered_by(
    processes: int, folder: str, jobs: Iterable[Task]
) -> Iterator[tuple[Task, Margins]]:
    """Yield the same from several processes, in the same order; each loads the model of a folder.

    Raises:
        MinnowError: a process ended, for want of memory perhaps, or says so itself.
    """
    try:
        with _pool(processes, folder) as pool:
            yield from _pooled(pool, 2 * processes, jobs)
    except BrokenProcessPool:
        raise MinnowError(
            "a process of --jobs ended early, for want of memory perhaps; give fewer --jobs"
        ) from None


def _pooled(
    pool: ProcessPoolExecutor, most: int, jobs: Iterable[Task]
) -> Iterator[tuple[Task, Margins]]:
    """Yield jobs in their order, with at most so many under way."""
    under_way: deque[Task] = deque()
    for job in jobs:
        if job.done < len(job.chunk):
            job.margins = pool.submit(_margins_here, texts_of(job.chunk))
        under_way.append(job)
        if len(under_way) > most:
            yield _result(under_way.popleft())
    while under_way:
        yield _result(under_way.popleft())


def _result(job: Task) -> tuple[Task, Margins]:
    return job, job.margins.result() if job.margins else []


@contextmanager
def _pool(processes: int, folder: str) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that begin anew, since threads of a library do not survive a fork; what they
    have not begun is dropped at the end.
    """
    fresh = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, fresh, _begin, (folder,))
    try:
        yield pool
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


_here: dict[str, Margined] = {}


def _begin(folder: str) -> None:
    """Load the model in a process of its own, which leaves Ctrl-C to the one that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import minnow

    _here["model"] = minnow.load(folder)


def _end_with_parent() -> None:
    """Wait for the end of the process that asked, which may be killed, and end with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _margins_here(texts: Sequence[str | None]) -> Margins:
    return margins_in_place(_here["model"], texts)


Answering = Callable[[Iterable[Task]], Iterator[tuple[Task, Margins]]]
