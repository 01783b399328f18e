"""The gate that an exported model passes before it is written: fail-closed, on all validation rows.

Its answers are computed by the code that runs a release, from the very bytes that ship. Float64 is
slow, so `against_reference` has a sample of the rows, the longest among them; everything else has
all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minnow.export import checks
from minnow.export.checks import LIMITS, Check, Judged
from minnow.export.classifiers import Encoder
from minnow.export.graph import onnx_file
from minnow.export.parts import Array
from minnow.export.reference import Reference
from minnow.serve.onnx import OnnxModel, opened
from minnow.text.cleaning import normalise

# Rows whose logits are computed in float64 too, and again beside others.
SAMPLE = 256
Mode = Literal["exact", "fast"]
TokenIds = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Evaluated:
    """Validation as it was judged: ids, labels (rows,), cleaned texts with their token ids, logits
    (rows, 2) of the evaluated model, and its threshold.
    """

    ids: Sequence[str]
    labels: Array
    texts: Sequence[str]
    tokens: TokenIds
    logits: Array
    threshold: float


def text_checks(
    rows: Evaluated, shipped: TokenIds, odd: tuple[TokenIds, TokenIds], *, move_scheme: bool
) -> list[Check]:
    """Return the checks that a shipped model reads what was evaluated: texts cleaned to themselves,
    and equal token ids; `odd` has those of texts that are hard to read, as evaluated and as
    shipped.
    """
    again = [normalise(text, move_scheme=move_scheme) for text in rows.texts]
    places = [f"odd text {place}" for place in range(len(odd[0]))]
    return [
        checks.same_values("cleaned_texts", rows.ids, rows.texts, again),
        checks.same_values("tokens", rows.ids, rows.tokens, shipped),
        checks.same_values("odd_tokens", places, *odd),
    ]


def model_checks(rows: Evaluated, encoder: Encoder, shipped: OnnxModel, mode: Mode) -> list[Check]:
    """Return the checks of the model that ships, against float64 and the evaluated one.

    A fast one is held against float64 by the exact file of the same numbers.
    """
    sample = reference_sample(rows.tokens)
    ids, texts = ([column[row] for row in sample] for column in (rows.ids, rows.texts))
    exact = shipped if mode == "exact" else exact_beside(shipped, encoder)
    reference = Reference(encoder)
    expected = np.stack([reference.logits(np.asarray(rows.tokens[row])) for row in sample])
    logits = shipped.logits(rows.texts)
    alone = np.concatenate([shipped.logits([text]) for text in texts])
    judged = Judged(rows.ids, rows.labels, rows.logits, logits, rows.threshold)
    return [
        checks.against_reference(ids, exact.logits(texts), expected),
        checks.equal_to_the_bit("beside_others", ids, logits[sample], alone),
        *checks.against_evaluated(judged, LIMITS[mode]),
    ]


def exact_beside(shipped: OnnxModel, encoder: Encoder) -> OnnxModel:
    """Return the exact model of the same numbers as a fast one."""
    return OnnxModel(opened(onnx_file(encoder, "exact"), keep=False), shipped.tokenizer, False)


def reference_sample(tokens: TokenIds) -> Array:
    """Return the places of at most SAMPLE rows, evenly spaced, the longest among them."""
    longest = max(range(len(tokens)), key=lambda row: len(tokens[row]))
    spaced = np.linspace(0, len(tokens) - 1, min(SAMPLE, len(tokens))).astype(int)
    return np.unique([*spaced, longest])
