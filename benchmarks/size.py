"""Bytes by part of quantized students, from random weights: which bytes are left, and what packing
them saves.

    python benchmarks/size.py

Everything that the folder needs to run is counted: weights with their scales, tokenizer, configs.
`other` is tokenizer, configs and the header of the weights' file. Linear layers are nf4 with double
quantization. Tokenizers are byte-level BPE, trained on synthetic URLs; their files hold merges
beside the pieces, which a WordPiece tokenizer has not. Texts are cut at 128 tokens, so 128 of 512
positions are kept.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from transformers import PreTrainedTokenizerBase

from minnow.core.files import MANIFEST, read_json
from minnow.core.params import RuntimeParams
from minnow.core.runtime import start
from minnow.data.synthetic import generate
from minnow.models import building, embeddings, folders, heads, schemes
from minnow.models.batching import encode
from minnow.models.params import BuildParams
from minnow.quantization.quantize import Recipe, quantize

SHAPES = {
    "the original's: DistilBERT, 4 layers, 768 wide": BuildParams(
        architecture="distilbert",
        layers=4,
        heads=8,
        hidden_size=768,
        intermediate_size=3072,
        dropout=0.1,
    ),
    "MiniLM's: BERT, 3 layers, 384 wide": BuildParams(
        architecture="bert",
        layers=3,
        heads=12,
        hidden_size=384,
        intermediate_size=1536,
        dropout=0.1,
    ),
    "BERT, 4 layers, 256 wide": BuildParams(
        architecture="bert", layers=4, heads=4, hidden_size=256, intermediate_size=1024, dropout=0.1
    ),
}
VOCABULARIES = (30_522, 4_096)
PACKED = {"none": None, **embeddings.SCHEMES}
# Bytes of the original's BERT-base teacher as published.
TEACHER = 438e6
POSITIONS = 512


@dataclass(frozen=True)
class Row:
    """A student's bytes by part, and the bytes that it holds in memory once loaded."""

    parts: dict[str, int]
    resident: int

    @property
    def total(self) -> int:
        """All bytes of the folder."""
        return sum(self.parts.values())


def tokenizer_of(vocabulary: int) -> PreTrainedTokenizerBase:
    """Return a tokenizer of this many pieces."""
    urls, _ = generate(max(5_000, 5 * vocabulary), seed=0, label_noise=0.0)
    return building.train_tokenizer(urls, vocabulary=vocabulary, max_length=128)


def student(shape: BuildParams, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a student with random weights, and positions as pretrained models have them."""
    torch.manual_seed(0)
    model = building.build(shape, tokenizer)
    model.config.max_position_embeddings = POSITIONS
    model = heads.from_config(model.config)
    folders.save(model, tokenizer, folder)


def measure(folder: Path, out: Path, packed: embeddings.Scheme | None, device: torch.device) -> Row:
    """Quantize a student, which checks it, and return what it takes."""
    recipe = Recipe(
        schemes.scheme("nf4", double_quantization=True), ["classifier", "pre_classifier"], packed
    )
    probe = encode(folders.load_tokenizer(folder), ["example.org/login"])
    quantize(folder, out, recipe, probe=probe, device=device)
    loaded = folders.load_model(out, device_map={"": device})
    resident = sum(tensor.nbytes for tensor in [*loaded.parameters(), *loaded.buffers()])
    return Row(read_json(out / MANIFEST)["bytes_by_part"], resident)


def main() -> None:
    """Print the table."""
    run = start(RuntimeParams(device="cpu", precision="float32", threads=2, kernels="native"))
    print("MB = 10⁶ bytes of all that the folder needs. Random weights.\n")
    print(
        "| student | pieces | embeddings in | embeddings | body | head | other | MB | teacher /"
        " this | resident |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for vocabulary in VOCABULARIES:
        tokenizer = tokenizer_of(vocabulary)
        assert len(tokenizer) == vocabulary, "too few synthetic URLs for so many pieces"
        for name, shape in SHAPES.items():
            with tempfile.TemporaryDirectory() as place:
                student(shape, tokenizer, Path(place) / "student")
                for scheme, packed in PACKED.items():
                    row = measure(Path(place) / "student", Path(place) / scheme, packed, run.device)
                    parts = " | ".join(
                        f"{row.parts[part] / 1e6:.2f}"
                        for part in ("embeddings", "body", "head", "other")
                    )
                    print(
                        f"| {name} | {vocabulary:,} | {'bfloat16' if packed is None else scheme} |"
                        f" {parts} | **{row.total / 1e6:.2f}** | {TEACHER / row.total:.0f} |"
                        f" {row.resident / 1e6:.2f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
