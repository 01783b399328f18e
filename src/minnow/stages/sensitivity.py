"""sensitivity: what each part of the student costs on validation in 4, 8 and 16 bits."""

from pathlib import Path
from typing import Annotated

from minnow import store
from minnow.layout import Layout
from minnow.params import RuntimeParams, StageParams
from minnow.scheme_params import SchemeParams


class Params(StageParams):
    """What `sensitivity` reads of params.yaml."""

    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    quantize: Annotated[SchemeParams, "quantize"]


def main(root: Path) -> None:
    """Write the damage of every part, and the plot's data."""
    params, layout = Params.load(root), Layout(root)
    from minnow import quantization, runtime, sensitivity
    from minnow.batching import encode

    run, chosen, student = runtime.start(params.runtime), params.quantize, layout.model("student")
    store.check_manifest(student)
    rows = store.read_table(layout.split("validation"))
    rows = rows[sensitivity.sample(rows.height)]
    model, tokenizer = sensitivity.load(student, run.device)
    found = sensitivity.measure(
        model,
        encode(tokenizer, rows["text"].to_list()),
        rows["label"].to_numpy(),
        quantization.scheme(chosen.scheme, double_quantization=chosen.double_quantization),
        keep_float=chosen.keep_float,
        desc="sensitivity",
    )
    store.write_json(layout.metrics("sensitivity"), found)
    store.write_table(layout.plot("sensitivity"), sensitivity.table(found))
