"""Parquet with the answers as two more columns, where pyarrow is installed.

Its table of contents stands at the end, so an output that was broken off is begun anew.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minnow.core.files import replacing
from minnow.errors import MinnowError, reason
from minnow.serve.answers import Asked, Wording
from minnow.serve.chunks import ROWS, Answering, Margins, Task
from minnow.serve.meter import Meter
from minnow.serve.reading import answer_names, chosen_column, record_of
from minnow.serve.writing import Wrong, refuse_existing

# Rows written together: a table of many small groups is slow to read.
GROUP = 32 * ROWS
GROUP_BYTES = 64_000_000


@dataclass
class Groups:
    """Batches on their way into a file, in large groups."""

    writer: Any
    waiting: list[Any] = field(default_factory=list)

    def add(self, batch: Any) -> None:
        """Take a batch, and write what has become a group."""
        self.waiting.append(batch)
        rows = sum(each.num_rows for each in self.waiting)
        if rows >= GROUP or sum(each.nbytes for each in self.waiting) >= GROUP_BYTES:
            self.write()

    def write(self) -> None:
        """Write what waits."""
        import pyarrow as pa

        if self.waiting:
            self.writer.write_table(pa.Table.from_batches(self.waiting))
            self.waiting = []


def classify_parquet(asked: Asked, wording: Wording, answers: Answering) -> None:
    """Write every row of a Parquet file with its probability and label.

    Raises:
        MinnowError: pyarrow is not here, or input or output cannot be used.
    """
    try:
        import pyarrow.parquet as pq
        from pyarrow import ArrowException
    except ImportError:
        raise MinnowError("Parquet needs pyarrow: `pip install pyarrow`") from None
    assert asked.output is not None
    refuse_existing(Path(asked.output))
    try:
        with closing(pq.ParquetFile(asked.file)) as file, replacing(Path(asked.output)) as path:
            _classify(file, path, asked, wording, answers)
    except (ArrowException, OSError) as error:
        raise MinnowError(
            f"{asked.file} cannot be read, or {asked.output} not written ({reason(error)})"
        ) from None


def _classify(file: Any, path: Path, asked: Asked, wording: Wording, answers: Answering) -> None:
    import pyarrow.parquet as pq

    column = chosen_column(file.schema_arrow.names, asked.column)
    names = answer_names(file.schema_arrow.names)
    batches: list[Any] = []
    meter, wrong = Meter(file.metadata.num_rows), Wrong()
    with closing(pq.ParquetWriter(path, _schema(file.schema_arrow, names))) as writer:
        groups = Groups(writer)
        for job, margins in answers(_jobs(file, column, batches)):
            wrong.note_all(job.chunk)
            groups.add(_with_answers(batches.pop(0), margins, names, wording))
            meter.add(len(job.chunk), read=meter.rows + len(job.chunk))
        groups.write()
    meter.close()
    wrong.tell(meter.rows)


def _schema(schema: Any, names: tuple[str, str]) -> Any:
    import pyarrow as pa

    return schema.append(pa.field(names[0], pa.float64())).append(pa.field(names[1], pa.string()))


def _jobs(file: Any, column: str, batches: list[Any]) -> Iterator[Task]:
    """Yield the rows in chunks; each one's batch waits at the end of `batches`."""
    row = 0
    for batch in file.iter_batches(batch_size=ROWS):
        batches.append(batch)
        texts = values_of(batch.column(batch.schema.get_field_index(column)))
        yield Task([record_of(row + place, b"", text) for place, text in enumerate(texts, 1)])
        row += batch.num_rows


def values_of(column: Any) -> list[object]:
    """Return the values of a column, None for what is no UTF-8."""
    try:
        values: list[object] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_value(each) for each in column]
    return values


def _value(scalar: Any) -> object:
    try:
        value: object = scalar.as_py()
    except UnicodeDecodeError:
        return None
    return value


def _with_answers(batch: Any, margins: Margins, names: tuple[str, str], wording: Wording) -> Any:
    """Return a batch with two more columns; the probability as elsewhere, to six places."""
    import pyarrow as pa

    words = [wording.words(margin) for margin in margins]
    probabilities = [float(shown) if shown else None for shown, _ in words]
    labels = [label or None for _, label in words]
    arrays = [*batch.columns, pa.array(probabilities, pa.float64()), pa.array(labels, pa.string())]
    return pa.RecordBatch.from_arrays(arrays, schema=_schema(batch.schema, names))
