"""Which columns are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from minnow.errors import MinnowError, listed, nearest, shortened

Label = str | int | float | bool


@dataclass(frozen=True)
class Columns:
    """Which columns to read, and which of their labels mean what.

    `negative` None stands for the one other label there is; without `split` no splits are
    published, and without `time` nobody knows when a row was seen.
    """

    text: str
    label: str
    positive: Label
    negative: Label | None = None
    split: str | None = None
    time: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        names = {"text": self.text, "label": self.label, "split": self.split, "time": self.time}
        return {ours: theirs for ours, theirs in names.items() if theirs is not None}

    def remedy(self, ours: str) -> str:
        """Return what to do where a column is missing."""
        return f"set {ours}_column"


@dataclass(frozen=True)
class Texts:
    """Which column to read where there are no labels."""

    text: str

    @property
    def named(self) -> dict[str, str]:
        """Our name → the file's name."""
        return {"text": self.text}

    def remedy(self, ours: str) -> str:
        """Return what to do where a column is missing."""
        return f"the preset's {ours} column is called that: rename the column"


Wanted = Columns | Texts


def require_columns(present: Sequence[str], wanted: Wanted, name: str, *, hint: str = "") -> None:
    """Refuse names of columns among which a wanted one is missing or stands twice.

    `hint` names a likely cause, after a semicolon.

    Raises:
        MinnowError: names the column, those that there are, and the nearest.
    """
    for ours, theirs in wanted.named.items():
        if present.count(theirs) > 1:
            raise MinnowError(f"{name} has two columns '{theirs}'; rename or remove one")
        if theirs not in present:
            shown = listed(_in_a_line(each) for each in present) or "none"
            alike = [each for each in present if each.lower() == theirs.lower()]
            near = nearest(alike[0] if alike else theirs, alike or present)
            raise MinnowError(
                f"{name} has no column '{theirs}'; it has: {shown}{_in_a_line(near)}{hint};"
                f" {wanted.remedy(ours)}"
            )


def _in_a_line(text: str) -> str:
    return shortened(" ".join(text.split()))


def as_strings(table: pl.DataFrame, named: Mapping[str, str]) -> pl.DataFrame:
    """Return columns under our names, as strings; a number that is none is missing."""
    return table.select(
        (pl.col(theirs).fill_nan(None) if table[theirs].dtype.is_float() else pl.col(theirs))
        .cast(pl.String)
        .alias(ours)
        for ours, theirs in named.items()
    )
