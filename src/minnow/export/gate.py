"""The gate that an exported model passes before it is written: fail-closed, on all validation rows.

Its answers are computed as a release's are, one text at a time, from the very bytes that ship.
Float64 is slow, so `against_reference` has a sample of the rows, the longest among them; everything
else has all of them.
"""

from collections import defaultdict
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
from minnow.export.session import Session
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


def model_checks(rows: Evaluated, encoder: Encoder, shipped: bytes, mode: Mode) -> list[Check]:
    """Return the checks of the file that ships, against float64 and the evaluated model.

    A fast one is held against float64 by the exact file of the same numbers.
    """
    sample = reference_sample(rows.tokens)
    tokens, ids = [rows.tokens[row] for row in sample], [rows.ids[row] for row in sample]
    session, reference = Session(shipped), Reference(encoder)
    exact = session if mode == "exact" else Session(onnx_file(encoder, "exact"))
    expected = np.stack([reference.logits(np.asarray(each)) for each in tokens])
    logits = session.each(rows.tokens)
    beside = in_batches(session, tokens) if mode == "exact" else session.each(tokens[::-1])[::-1]
    judged = Judged(rows.ids, rows.labels, rows.logits, logits, rows.threshold)
    return [
        checks.against_reference(ids, exact.each(tokens), expected),
        checks.equal_to_the_bit("beside_others", ids, logits[sample], beside),
        *checks.against_evaluated(judged, LIMITS[mode]),
    ]


def reference_sample(tokens: TokenIds) -> Array:
    """Return the places of at most SAMPLE rows, evenly spaced, the longest among them."""
    longest = max(range(len(tokens)), key=lambda row: len(tokens[row]))
    spaced = np.linspace(0, len(tokens) - 1, min(SAMPLE, len(tokens))).astype(int)
    return np.unique([*spaced, longest])


def in_batches(session: Session, tokens: TokenIds) -> Array:
    """Return the logits (rows, labels) of texts that are run together where they are as long, so
    that nothing is padded.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, ids in enumerate(tokens):
        by_length[len(ids)].append(row)
    rows = [row for group in by_length.values() for row in group]
    batches = (np.array([tokens[row] for row in group]) for group in by_length.values())
    logits = np.concatenate([session.batch(ids, np.ones_like(ids)) for ids in batches])
    return np.asarray(logits[np.argsort(rows)])
