"""The files that report, card and tools read: metrics/*.json as records, read and written.

`metrics/<model>.json` is a `Headline`; the files of metrics/evidence are the fields of `Evidence`.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from minnow.core.files import read_json, replacing, write_json
from minnow.errors import MinnowError
from minnow.evaluation.calibration_records import Calibrations
from minnow.evaluation.records import (
    ClassRows,
    ControlResult,
    ExtraResult,
    Headline,
    Hops,
    Intervals,
    Sizes,
)
from minnow.evaluation.slice_records import Slices
from minnow.layout import Layout


class Foreign:
    """Base of the records of other steps' files, which may hold keys that nobody here reads."""

    __pydantic_config__ = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


@dataclass(frozen=True)
class Evidence:
    """metrics/evidence: a field is a file."""

    intervals: Intervals
    hops: Hops
    calibration: Calibrations
    slices: Slices
    sizes: Sizes
    extra: Mapping[str, ExtraResult]
    controls: Mapping[str, ControlResult]


@dataclass(frozen=True)
class DataReport(Foreign):
    """metrics/prepare.json: rows and domains by split, why rows were dropped, and which splits
    Minnow carved.

    `leak` is the share of test rows whose domain stands in train too. `id` and `commit` are those
    of a data set on the Hub.
    """

    source: Literal["synthetic", "hub", "file"]
    split: Literal["domain", "random", "time"]
    rows_read: int
    dropped: Mapping[str, int]
    kept: Mapping[str, ClassRows]
    domains: Mapping[str, int]
    leak: float
    carved: tuple[str, ...]
    cleaned: Mapping[str, int] = field(default_factory=dict)
    id: str | None = None
    commit: str | None = None
    file: str | None = None
    move_scheme: bool = True
    times: Mapping[str, Mapping[str, str]] | None = None
    past_domains: Mapping[str, int] | None = None


@dataclass(frozen=True)
class PartInBits(Foreign):
    """What a part costs in one format: its bytes, the mean KL divergence in nats, and the labels
    that flip.
    """

    format: str
    bytes: int
    kl: float
    flips: int


@dataclass(frozen=True)
class SensitivePart(Foreign):
    """A layer or table of the student, its weights counted, by the number of bits."""

    name: str
    weights: int
    in_bits: Mapping[str, PartInBits]


@dataclass(frozen=True)
class Sensitivity(Foreign):
    """metrics/sensitivity.json: what each part can lose, on so many validation rows."""

    rows: int
    validation_f1: float
    parts: tuple[SensitivePart, ...]


RecordT = TypeVar("RecordT")


def from_json(record: type[RecordT], value: Any, origin: str) -> RecordT:
    """Return a record, or a mapping of records, from what JSON holds; `origin` names it in errors.

    Raises:
        MinnowError: a key is missing or unknown, or a value is of another kind.
    """
    try:
        # by way of text, where a list may become a tuple although types are strict
        return TypeAdapter(record).validate_json(json.dumps(value))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise MinnowError(
            f"{origin} is not what this version reads: {key}: {first['msg']}{more}; `dvc repro`"
            " makes it anew"
        ) from None


def as_json(value: Any) -> Any:
    """Return a record or a block of params, or what holds such, as JSON writes it."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if dataclasses.is_dataclass(value):
        return {
            each.name: as_json(inner)
            for each in dataclasses.fields(value)
            if (inner := getattr(value, each.name)) != each.default or not each.metadata
        }
    if isinstance(value, Mapping):
        return {key: as_json(inner) for key, inner in value.items()}
    return [as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def read_record(record: type[RecordT], path: Path) -> RecordT:
    """Return the record in a JSON file; a MinnowError names a file that is missing or broken."""
    return from_json(record, read_json(path), str(path))


def read_headline(layout: Layout, model: str) -> Headline:
    """Return metrics/<model>.json."""
    return read_record(Headline, layout.metrics(model))


def read_evidence(layout: Layout) -> Evidence:
    """Return metrics/evidence; a MinnowError names a file that is missing or broken."""
    return Evidence(
        intervals=read_record(Intervals, layout.evidence("intervals")),
        hops=read_record(Hops, layout.evidence("hops")),
        calibration=read_record(Calibrations, layout.evidence("calibration")),
        slices=read_record(Slices, layout.evidence("slices")),
        sizes=read_record(dict[str, dict[str, int]], layout.evidence("sizes")),
        extra=read_record(dict[str, ExtraResult], layout.evidence("extra")),
        controls=read_record(dict[str, ControlResult], layout.evidence("controls")),
    )


def write_evidence(layout: Layout, evidence: Evidence) -> None:
    """Write metrics/evidence, all of it or nothing."""
    with replacing(layout.evidence_folder) as folder:
        folder.mkdir()
        for name, value in as_json(evidence).items():
            write_json(folder / layout.evidence(name).name, value)
