"""A page of a tiny model that nobody has trained, with what it is held against."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from helpers.quantized import quantized_folder, student
from helpers.v8 import V8
from minnow.data.synthetic import generate
from minnow.export.classifiers import Encoder, encoder_of
from minnow.export.packed import read_packed
from minnow.export.page.building import PageFacts, build_page
from minnow.export.page.weights import kernel_bytes
from minnow.text.cleaning import normalise

FACTS = PageFacts(
    name="tiny </script> & co",
    labels=("safe", "phishing"),
    max_length=32,
    move_scheme=True,
    temperature=1.25,
    threshold=0.125,
    synthetic=True,
    data_until="2026-05",
    limits=("It looks at the text of a URL alone.", "<b>Not</b> markup."),
)


@dataclass(frozen=True)
class Made:
    """A page, and the model in it."""

    html: str
    encoder: Encoder
    tokenizer: PreTrainedTokenizerBase
    facts: PageFacts = FACTS

    @property
    def tokenizer_json(self) -> str:
        return str(self.tokenizer.backend_tokenizer.to_str())

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of texts by Python's own cleaning and tokenizer."""
        cleaned = [normalise(text, move_scheme=FACTS.move_scheme) for text in texts]
        found: list[list[int]] = self.tokenizer(cleaned, truncation=True)["input_ids"]
        return found

    def margins(self, texts: list[str]) -> np.ndarray:
        """Return the margins (texts,) of the kernel in V8 over Python's token ids."""
        engine = V8()
        engine.load_kernel(kernel_bytes(self.encoder, longest=FACTS.max_length), FACTS.max_length)
        logits = engine.logits(self.ids(texts)).astype(np.float64)
        return logits[:, 1] - logits[:, 0]


def make_page(root: Path, tokenizer: PreTrainedTokenizerBase, kind: str = "distilbert") -> Made:
    """Return the page of a tiny model that calls half of what is drawn phishing."""
    torch.manual_seed(0)
    folder = quantized_folder(student(kind, tokenizer, root / "student"), root / "packed")
    encoder = encoder_of(read_packed(folder))
    made = Made("", encoder, tokenizer)
    between = float(np.median(made.margins(generate(60, seed=2, label_noise=0.0)[0])))
    facts = replace(FACTS, threshold=between)
    html, reason = build_page(encoder, made.tokenizer_json, facts)
    assert html is not None, reason
    return replace(made, html=html, facts=facts)


def embedded(html: str) -> dict[str, object]:
    """Return the data in a page."""
    text = html.split('id="data">', 1)[1].split("</script>", 1)[0]
    found: dict[str, object] = json.loads(text)
    return found
