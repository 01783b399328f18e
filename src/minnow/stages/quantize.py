"""quantize: turn the student's linear layers and embeddings into 4 or 8 bits, and prove that it was
saved as it ran.
"""

from pathlib import Path
from typing import Annotated

from minnow.core.files import check_manifest, read_json, replacing
from minnow.core.params import RuntimeParams, StageParams
from minnow.core.tables import read_table
from minnow.layout import Layout
from minnow.quantization.params import QuantizeParams


class Params(StageParams):
    """What `quantize` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    quantize: Annotated[QuantizeParams, "quantize"]


def main(root: Path) -> None:
    """Write the folder of the student as quantized."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start
    from minnow.models import embeddings, folders, schemes
    from minnow.models.batching import encode
    from minnow.quantization import budget
    from minnow.quantization import quantize as quantize_module
    from minnow.quantization.quantize import PROBE_ROWS

    run = start(params.runtime)
    student, chosen = layout.model("student"), params.quantize
    check_manifest(student)
    texts = read_table(layout.split("validation"))["text"].to_list()[:PROBE_ROWS]
    scheme = schemes.scheme(chosen.scheme, double_quantization=chosen.double_quantization)
    probe = encode(folders.load_tokenizer(student), texts)
    with replacing(layout.model("packed")) as out:
        if chosen.budget_mb is None:
            quantize_module.quantize(
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
                told=read_json(layout.metrics("sensitivity")),
                keep_float=chosen.keep_float,
                probe=probe,
                device=run.device,
            )
