"""sensitivity: what each part of the student costs on validation in 4, 8 and 16 bits."""

from pathlib import Path
from typing import Annotated

from minnow.core.files import check_manifest, write_json
from minnow.core.params import RuntimeParams, StageParams
from minnow.core.tables import read_table, write_table
from minnow.layout import Layout
from minnow.quantization.params import SchemeParams


class Params(StageParams):
    """What `sensitivity` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    quantize: Annotated[SchemeParams, "quantize"]


def main(root: Path) -> None:
    """Write the damage of every part, and the plot's data."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start
    from minnow.models import schemes
    from minnow.models.batching import encode
    from minnow.quantization import sensitivity

    run, chosen, student = start(params.runtime), params.quantize, layout.model("student")
    check_manifest(student)
    rows = read_table(layout.split("validation"))
    rows = rows[sensitivity.sample(rows.height)]
    model, tokenizer = sensitivity.load_float(student, run.device)
    found = sensitivity.measure(
        model,
        encode(tokenizer, rows["text"].to_list()),
        rows["label"].to_numpy(),
        schemes.scheme(chosen.scheme, double_quantization=chosen.double_quantization),
        keep_float=chosen.keep_float,
        desc="sensitivity",
    )
    write_json(layout.metrics("sensitivity"), found)
    write_table(layout.plot("sensitivity"), sensitivity.plot_table(found))
