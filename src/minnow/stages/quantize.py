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
    from minnow.quantization import budget, quantize

    run = start(params.runtime)
    student, chosen = layout.model("student"), params.quantize
    check_manifest(student)
    texts = read_table(layout.split("validation"))["text"].to_list()[: quantize.PROBE_ROWS]
    scheme = schemes.scheme(chosen.scheme, double_quantization=chosen.double_quantization)
    probe = encode(folders.load_tokenizer(student), texts)
    with replacing(layout.model("packed")) as out:
        if chosen.budget_mb is None:
            tables = embeddings.SCHEMES.get(chosen.embeddings)
            recipe = quantize.Recipe(scheme, chosen.keep_float, tables)
            quantize.quantize(student, out, recipe, probe=probe, device=run.device)
        else:
            recipe = quantize.Recipe(scheme, chosen.keep_float)
            within = budget.Budget(
                chosen.budget_mb, chosen.embeddings, read_json(layout.metrics("sensitivity"))
            )
            budget.quantize_within(student, out, recipe, within, probe=probe, device=run.device)
