"""What is turned into how many bits: the block `quantize`."""

from typing import Literal, Self

from pydantic import ConfigDict, model_validator

from minnow.core.bounds import Megabytes, NameList
from minnow.core.params import Block


class SchemeParams(Block):
    """The scheme of the linear layers, and those that stay float; other keys of the block are not
    looked at.
    """

    model_config = ConfigDict(extra="ignore")

    scheme: Literal["nf4", "fp4", "int8"]
    double_quantization: bool
    keep_float: NameList

    @model_validator(mode="after")
    def _double_is_four_bit(self) -> Self:
        if self.scheme == "int8" and self.double_quantization:
            raise ValueError("scheme int8 has no double_quantization: set it to false")
        return self


class QuantizeParams(SchemeParams):
    """The scheme of the linear layers, that of the embeddings, the layers that stay float, and the
    bytes of it all.
    """

    model_config = ConfigDict(extra="forbid")

    embeddings: Literal["none", "int8", "nf4"]
    budget_mb: Megabytes | None
