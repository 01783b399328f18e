"""What is reported on how data came about: records, and the JSON that stands for each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

# Rows by what they have in common: a class, a reason to drop them, a kind of cleaning.
Counts = Mapping[str, int]


@dataclass(frozen=True)
class HubOrigin:
    """A data set on the Hub: no commit where `id` is a local folder, and a configuration where one
    was asked for.
    """

    id: str
    commit: str | None
    config: str | None = None


@dataclass(frozen=True)
class FixedTest:
    """A test file of its own, of which every labelled row is kept."""

    rows_read: int
    cleaned: Counts
    missing_label: int
    duplicates_kept: int
    both_labels_kept: int


@dataclass(frozen=True)
class ValidationExtraReport:
    """How validation's extra part came about, and the registered domains that it has.

    `removed` counts URLs `seen` in train or validation, and the rows that share a URL or a
    registered domain with a test set, by its name: `test`, or `extra.NAME`. `leak` is the share of
    rows kept whose registered domain stands in train.
    """

    file: str
    rows_read: int
    kept: Counts
    domains: int
    removed: Counts
    dropped: Counts
    leak: float


@dataclass(frozen=True)
class PrepareReport:
    """metrics/prepare.json: how the splits came about.

    `kept` holds rows by split and class, `domains` the registered domains by split, `carved` the
    splits that the source does not publish, `leak` the share of test rows whose registered domain
    stands in train. `uneven` has a sentence for each split that is far from what was asked. `times`
    are the first and the last of each split, and `past_domains` the rows by split whose domain an
    earlier split has; None where rows have no time, or are not split by it. `validation_extra` is
    None where no extra part of validation was asked for.
    """

    source: str
    file: str | None
    move_scheme: bool
    split: str
    seed: int
    rows_read: int
    cleaned: Counts
    dropped: Counts
    kept: Mapping[str, Counts]
    domains: Counts
    leak: float
    carved: Sequence[str]
    test_file: FixedTest | None
    hub: HubOrigin | None
    uneven: Sequence[str] = ()
    times: Mapping[str, Mapping[str, str]] | None = None
    past_domains: Counts | None = None
    validation_extra: ValidationExtraReport | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON; the Hub's keys stand there only for a data set of the Hub, and
        the last four only where there is anything to say.
        """
        document = asdict(self)
        for name in ("uneven", "times", "past_domains", "validation_extra"):
            if not document[name]:
                del document[name]
        origin = document.pop("hub") or {}
        if origin.get("config") is None:
            origin.pop("config", None)
        return document | origin

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the record that `as_json` wrote."""
        fields = dict(document)
        test, origin = fields.pop("test_file"), fields.pop("id", None)
        uneven = tuple(fields.pop("uneven", ()))
        extra = fields.pop("validation_extra", None)
        commit, config = fields.pop("commit", None), fields.pop("config", None)
        return cls(
            **fields,
            test_file=None if test is None else FixedTest(**test),
            hub=None if origin is None else HubOrigin(origin, commit, config),
            uneven=uneven,
            validation_extra=None if extra is None else ValidationExtraReport(**extra),
        )


@dataclass(frozen=True)
class ExtraReport:
    """How a further test set came about: `removed_seen` rows are URLs that the models were made
    with, and `leak` is the share of those kept whose registered domain stands in train.
    """

    file: str
    rows_read: int
    kept: Counts
    removed_seen: int
    dropped: Counts
    leak: float

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the record that `as_json` wrote."""
        return cls(**document)


@dataclass(frozen=True)
class FileTexts:
    """A file of texts without labels: the rows read, dropped per reason, and kept."""

    name: str
    rows_read: int
    dropped: Counts
    kept: int


@dataclass(frozen=True)
class Copies:
    """Altered copies: how many were asked for, and how many there are."""

    asked: int
    kept: int


@dataclass(frozen=True)
class UnlabelledReport:
    """How the texts that the teacher alone labels came about; `copies` is None where none
    was asked for."""

    rows: int
    file: FileTexts | None = None
    copies: Copies | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON; where no text was asked for, the rows alone."""
        return {"rows": self.rows} if self.copies is None else asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the record that `as_json` wrote."""
        file, copies = document.get("file"), document.get("copies")
        return cls(
            document["rows"],
            None if file is None else FileTexts(**file),
            None if copies is None else Copies(**copies),
        )
