"""export: the quantized model as one ONNX file that runs without torch, and a gate that it passes
only if it is the model that was evaluated.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from minnow.core.files import check_manifest, read_json, replacing, write_json
from minnow.core.params import StageParams, ThresholdParams
from minnow.core.tables import read_logits, read_table
from minnow.export.params import ExportParams, TextParams
from minnow.layout import EXPORTED, Layout

if TYPE_CHECKING:
    from minnow.export.checks import Check
    from minnow.export.exported import Exported
    from minnow.serve.onnx import OnnxModel


class Params(StageParams):
    """What `export` reads of params.yaml."""

    export: Annotated[ExportParams, "export"]
    data: Annotated[TextParams, "presets.*.data"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write the exported model's folder, and what the gate found."""
    params, layout = Params.load(root), Layout(root)
    from minnow.export import checks, exported
    from minnow.export.stored import read_exported

    mode, model = params.export.mode, layout.model("quantized")
    check_manifest(model)
    with replacing(layout.model(EXPORTED)) as out:
        found: list[Check] = []
        if mode == "none":
            exported.write_nothing(out)
        else:
            made = exported.exported(model, mode)
            exported.write_exported(made, read_json(layout.manifest("quantized")), out)
            shipped = read_exported(out)
            found = gate_checks(made, shipped, params, layout)
            checks.require(found, model.name)
    told = {check.name: check.as_json() for check in found}
    write_json(layout.metrics("export"), {"mode": mode, "checks": told})


def gate_checks(
    made: "Exported", shipped: "OnnxModel", params: Params, layout: Layout
) -> "list[Check]":
    """Return the gate's checks, on all rows of validation and on odd texts."""
    from minnow.core.thresholds import decision_threshold
    from minnow.export import gate
    from minnow.export.odd_texts import odd_texts
    from minnow.serve.tokens import token_rows
    from minnow.text.cleaning import normalise

    table = read_table(layout.split("validation"))
    ids, labels, texts = (table[name].to_list() for name in ("id", "label", "text"))
    logits = read_logits(layout.logits_of("quantized", "validation"), ids)
    margins = np.subtract(logits[:, 1], logits[:, 0], dtype=np.float64)
    threshold = decision_threshold(margins, np.asarray(labels), params.threshold)
    tokens = as_evaluated(made.packed.folder, texts)
    rows = gate.Evaluated(ids, np.asarray(labels), texts, tokens, logits, threshold)
    moved = params.data.move_scheme
    odd = [normalise(text, move_scheme=moved) for text in odd_texts()]
    odd_tokens = as_evaluated(made.packed.folder, odd), token_rows(shipped.tokenizer, odd)
    read = token_rows(shipped.tokenizer, texts)
    return [
        *gate.text_checks(rows, read, odd_tokens, move_scheme=moved),
        *gate.model_checks(rows, made.encoder, shipped, made.mode),
    ]


def as_evaluated(folder: Path, texts: list[str]) -> list[list[int]]:
    """Return each text's token ids as the evaluated model got them, by transformers."""
    from minnow.models.batching import encode
    from minnow.models.folders import load_tokenizer

    encoded = encode(load_tokenizer(folder), texts)
    return [row.tolist() for row in encoded.ids.split(encoded.lengths.tolist())]
