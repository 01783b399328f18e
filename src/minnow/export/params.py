"""How the exported model computes: the block `export`, and what of `data` its texts depend on."""

from typing import Literal

from pydantic import ConfigDict

from minnow.core.params import Block


class ExportParams(Block):
    """`exact` computes in float32, `fast` in integers; `none` exports nothing."""

    mode: Literal["exact", "fast", "none"]


class TextParams(Block):
    """How texts are cleaned; other keys of the block are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    move_scheme: bool
