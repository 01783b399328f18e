"""The folder of an exported model: `model.onnx`, `tokenizer.json`, `export.json`, and a manifest.

Whoever runs it needs no more than onnxruntime and tokenizers. Temperature and threshold are not
there: they are taken from the exported model's own logits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minnow.core.exports import NONE
from minnow.core.files import write_json, write_manifest
from minnow.export.classifiers import Encoder, encoder_of
from minnow.export.gate import Mode
from minnow.export.graph import onnx_file
from minnow.export.packed import Packed, read_packed
from minnow.export.stored import FACTS
from minnow.export.tokenizing import FILE as TOKENIZER
from minnow.export.tokenizing import cutting_tokenizer

MODEL = "model.onnx"
# What a reader must know to read `export.json`; a later form has a higher number.
FORM = 1
# Fields of the records that hold code books: the graph has each once, and they belong to no part.
BOOKS = ("book",)


@dataclass(frozen=True)
class Exported:
    """A quantized model as it ships: its parts, the bytes of the graph, and its tokenizer."""

    packed: Packed
    encoder: Encoder
    mode: Mode
    model: bytes
    tokenizer: str
    max_length: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """What `export.json` says."""
        return {
            "architecture": self.packed.config["model_type"],
            "form": FORM,
            "labels": labels_of_logits(self.packed, self.encoder.labels),
            "max_length": self.max_length,
            "mode": self.mode,
        }


def labels_of_logits(packed: Packed, count: int) -> list[str]:
    """Return the labels of a model's logits, in their order.

    Raises:
        MinnowError: config.json names others than one text for each.
    """
    said = packed.config.get("id2label")
    places = [str(place) for place in range(count)]
    if not isinstance(said, dict) or set(said) != set(places):
        packed.refuse(f"names other labels than its {count}")
    labels = [said[place] for place in places]
    if not all(isinstance(label, str) and label.isprintable() for label in labels):
        packed.refuse("has a label that is no text, or that cannot be shown")
    return labels


def exported(folder: Path, mode: Mode) -> Exported:
    """Return the quantized model in a folder as it ships.

    Raises:
        MinnowError: it is damaged, or of a kind that cannot be exported.
    """
    packed = read_packed(folder)
    encoder = encoder_of(packed)
    tokenizer, length = cutting_tokenizer(folder)
    if length > encoder.longest:
        packed.refuse(f"cuts texts at {length} tokens, and has {encoder.longest} positions")
    return Exported(packed, encoder, mode, onnx_file(encoder, mode), tokenizer, length)


def write_exported(found: Exported, manifest: Mapping[str, Any], out: Path) -> None:
    """Write the folder; `manifest` is the quantized model's, whose parameters and formats it has
    too.
    """
    out.mkdir(parents=True)
    (out / MODEL).write_bytes(found.model)
    (out / TOKENIZER).write_text(found.tokenizer, encoding="utf-8")
    write_json(out / FACTS, found.facts)
    kept = {name: manifest[name] for name in ("parameters", "formats") if name in manifest}
    write_manifest(out, {**kept, "mode": found.mode, "bytes_by_part": exported_bytes(found, out)})


def write_nothing(out: Path) -> None:
    """Write the folder of a model that shall not be exported: a note that says so."""
    out.mkdir(parents=True)
    write_json(out / FACTS, {"form": FORM, "mode": NONE})
    write_manifest(out, {"mode": NONE})


def exported_bytes(found: Exported, out: Path) -> dict[str, int]:
    """Return the bytes of an exported model by part, as model folders have them; `other` is all
    that is no number of the model's: the graph's nodes, code books, tokenizer.
    """
    encoder = found.encoder
    tables = (encoder.words, encoder.positions, encoder.types, encoder.normed)
    pooled = found.packed.config["model_type"] == "bert"  # whose pooler belongs to the body
    parts = {
        "embeddings": sum(map(number_bytes, tables)),
        "body": sum(map(number_bytes, (*encoder.layers, *([encoder.hidden] if pooled else [])))),
        "head": sum(map(number_bytes, (encoder.head, *([] if pooled else [encoder.hidden])))),
    }
    whole = sum(file.stat().st_size for file in out.iterdir())
    return {**parts, "other": whole - sum(parts.values())}


def number_bytes(part: object) -> int:
    """Return the bytes of all arrays in a record and the records below it, but for code books."""
    if isinstance(part, np.ndarray):
        return part.nbytes
    if not is_dataclass(part):
        return 0
    names = [field.name for field in fields(part) if field.name not in BOOKS]
    return sum(number_bytes(getattr(part, name)) for name in names)
