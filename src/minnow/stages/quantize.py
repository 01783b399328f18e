"""quantize: turn the student's linear layers and embeddings into 4 or 8 bits, and prove that it was saved as it ran."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from minnow import store
from minnow.layout import Layout
from minnow.params import Block, RuntimeParams, StageParams


class QuantizeParams(Block):
    """The scheme of the linear layers, that of the embeddings, and the layers that stay float."""

    scheme: Literal["nf4", "fp4", "int8"]
    double_quantization: bool
    embeddings: Literal["none", "int8", "nf4"]
    keep_float: Annotated[list[str], Field(min_length=1)]

    @model_validator(mode="after")
    def _double_is_four_bit(self) -> Self:
        if self.scheme == "int8" and self.double_quantization:
            raise ValueError("scheme int8 has no double_quantization: set it to false")
        return self


class Params(StageParams):
    """What `quantize` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    quantize: Annotated[QuantizeParams, "quantize"]


def main(root: Path) -> None:
    """Write the folder of the student as quantized."""
    params, layout = Params.load(root), Layout(root)
    from minnow import embeddings, models, quantization, runtime
    from minnow.batching import encode

    run = runtime.start(params.runtime)
    student, chosen = layout.model("student"), params.quantize
    store.check_manifest(student)
    texts = store.read_table(layout.split("validation"))["text"].to_list()[: quantization.PROBE_ROWS]
    with store.replacing(layout.model("packed")) as out:
        quantization.quantize(
            student,
            out,
            quantization.scheme(chosen.scheme, double_quantization=chosen.double_quantization),
            keep_float=chosen.keep_float,
            probe=encode(models.load_tokenizer(student), texts),
            device=run.device,
            packed=embeddings.SCHEMES.get(chosen.embeddings),
        )
