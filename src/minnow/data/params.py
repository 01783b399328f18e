"""Which rows are read and how they are split: the block `data` of a preset; and files beside it."""

import re
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import ConfigDict, Field, RootModel, model_validator

from minnow.core import estimates
from minnow.core.bounds import ClassName, Name, Place, Rows, Seed, Share
from minnow.core.params import PLAIN_NAME, Block
from minnow.errors import shortened

if TYPE_CHECKING:
    from minnow.data.columns import Columns

# Further test sets, each of which every model runs over.
MOST_SETS = 100
FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "synthetic": {"required": ("rows", "label_noise"), "optional": ()},
    "hub": {
        "required": ("id", "text_column", "label_column", "positive_label"),
        "optional": ("revision", "config", "split_column", "time_column", "negative_label"),
    },
    "file": {
        "required": ("path", "text_column", "label_column", "positive_label"),
        "optional": ("test_path", "split_column", "time_column", "negative_label"),
    },
}


class DataParams(Block):
    """Where the rows come from and how they are split; a field that the source does not know must
    be null.
    """

    source: Literal["synthetic", "hub", "file"]
    seed: Seed
    path: Place | None
    test_path: Place | None
    id: Place | None
    revision: Name | None
    config: Name | None
    text_column: Name | None
    label_column: Name | None
    split_column: Name | None
    time_column: Name | None
    positive_label: ClassName | None
    negative_label: ClassName | None
    rows: Rows | None
    label_noise: Annotated[float, Field(ge=0, lt=0.5)] | None
    move_scheme: bool
    split: Literal["domain", "random", "time"]
    past_domains: Literal["remove", "mark"]
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _fits_source(self) -> Self:
        known = FIELDS[self.source]
        for name in dict.fromkeys(
            name for fields in FIELDS.values() for group in fields.values() for name in group
        ):
            given = getattr(self, name) is not None
            if name in known["required"] and not given:
                raise ValueError(f"source {self.source} needs {name}, which is null")
            if given and name not in known["required"] + known["optional"]:
                raise ValueError(f"source {self.source} has no use for {name}; set {name}: null")
        return self

    @model_validator(mode="after")
    def _goes_by_time_alone(self) -> Self:
        if self.split != "time":
            return self
        if self.source == "synthetic":
            raise ValueError("source synthetic has no times; set split: domain or random")
        if self.time_column is None:
            raise ValueError("split time needs time_column, which is null")
        for name in ("split_column", "test_path"):
            if getattr(self, name) is not None:
                raise ValueError(f"split time cuts all rows by time alone; set {name}: null")
        return self

    @model_validator(mode="after")
    def _leaves_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation {self.validation} + test {self.test} leave nothing to train on; lower"
                " them"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.rows is not None:
            estimates.require_rows(self.rows, "rows")
        return self

    @property
    def columns(self) -> "Columns":
        """What to read of a file or a data set on the Hub."""
        from minnow.data.columns import Columns

        assert self.text_column is not None
        assert self.label_column is not None
        assert self.positive_label is not None
        return Columns(
            self.text_column,
            self.label_column,
            self.positive_label,
            self.negative_label,
            self.split_column,
            self.time_column,
        )


class ExtraParams(Block):
    """Further test sets: any name → file."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Place]

    @model_validator(mode="after")
    def _names_are_files_names(self) -> Self:
        if len(self.files) > MOST_SETS:
            raise ValueError(f"names {len(self.files)} sets; at most {MOST_SETS} are allowed")
        for name in self.files:
            if not re.fullmatch(PLAIN_NAME, name):
                raise ValueError(
                    f"{shortened(name)!r} names a set and a file; use at most 64 letters, digits, -"
                    " and _"
                )
        return self

    @property
    def files(self) -> dict[str, str]:
        """Name → path as it stands in params.yaml."""
        return dict(self.__pydantic_extra__)


class FileOrNone(RootModel[Place | None]):
    """The file of a further validation set, or null for none."""

    model_config = ConfigDict(frozen=True, strict=True)
