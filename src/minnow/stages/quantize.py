"""quantize: turn the student's linear layers and embeddings into 4 or 8 bits, and prove that it was saved as it ran."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from minnow import store
from minnow.layout import Layout
from minnow.params import RuntimeParams, StageParams
from minnow.scheme_params import SchemeParams


class QuantizeParams(SchemeParams):
    """The scheme of the linear layers, that of the embeddings, the layers that stay float, and the bytes of it all."""

    model_config = ConfigDict(extra="forbid")

    embeddings: Literal["none", "int8", "nf4"]
    budget_mb: Annotated[float, Field(gt=0)] | None


class Params(StageParams):
    """What `quantize` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    quantize: Annotated[QuantizeParams, "quantize"]


def main(root: Path) -> None:
    """Write the folder of the student as quantized."""
    params, layout = Params.load(root), Layout(root)
    from minnow import budget, embeddings, models, quantization, runtime
    from minnow.batching import encode

    run = runtime.start(params.runtime)
    student, chosen = layout.model("student"), params.quantize
    store.check_manifest(student)
    texts = store.read_table(layout.split("validation"))["text"].to_list()[: quantization.PROBE_ROWS]
    scheme = quantization.scheme(chosen.scheme, double_quantization=chosen.double_quantization)
    probe = encode(models.load_tokenizer(student), texts)
    with store.replacing(layout.model("packed")) as out:
        if chosen.budget_mb is None:
            quantization.quantize(
                student,
                out,
                scheme,
                keep_float=chosen.keep_float,
                probe=probe,
                device=run.device,
                packed=embeddings.SCHEMES.get(chosen.embeddings),
            )
        else:
            budget.quantize(
                student,
                out,
                scheme,
                budget_mb=chosen.budget_mb,
                tables=chosen.embeddings,
                told=store.read_json(layout.metrics("sensitivity")),
                keep_float=chosen.keep_float,
                probe=probe,
                device=run.device,
            )
