"""The block `evaluate.extra` of params.yaml, in a file of its own because two stages read it.

In evaluate's it would make everything that evaluate imports a reason to run every model on the extra sets again.
"""

import re
from typing import Self

from pydantic import ConfigDict, model_validator

from minnow.errors import shortened
from minnow.params import Block

PLAIN_NAME = r"[A-Za-z0-9_-]+"


class ExtraParams(Block):
    """Further test sets: any name → file."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str]

    @model_validator(mode="after")
    def _names_are_files_names(self) -> Self:
        for name in self.files:
            if not re.fullmatch(PLAIN_NAME, name):
                raise ValueError(f"{shortened(name)!r} names a set and a file; use letters, digits, - and _ alone")
        return self

    @property
    def files(self) -> dict[str, str]:
        """Name → path as it stands in params.yaml."""
        return dict(self.__pydantic_extra__)
