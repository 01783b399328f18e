"""minnow.json beside a released model: what whoever calls it must know, and how its texts are cleaned."""

import html
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from html.entities import html5
from pathlib import Path
from typing import Any, Self

from minnow import store
from minnow.errors import MinnowError

FILE = "minnow.json"
CARD = "README.md"
# The keys of config.json that `minnow.embeddings` and `minnow.adapters` write, which load torch.
EMBEDDINGS = "minnow_embeddings"
ADAPTERS = "minnow_adapters"
# What `normalise` does, in words, for whoever writes it anew in another language.
CLEANING = (
    "resolve HTML escapes that end with a semicolon, until none is left",
    "remove U+FFFD and the control, format and surrogate characters (Unicode Cc, Cf, Cs)",
    "trim blanks and the quotes ' \" ` at both ends",
)
MOVE_SCHEME = "take off the scheme in front (http://, also more than once) and trim again"


@dataclass(frozen=True)
class Settings:
    """How logits become a probability and a label.

    margin = phishing logit − safe logit; probability = sigmoid(margin / temperature); phishing if margin > threshold.
    `labels` stand in the order of the logits; texts are cut at `max_length` tokens.
    """

    labels: tuple[str, str]
    max_length: int
    move_scheme: bool
    temperature: float
    threshold: float
    synthetic: bool

    @property
    def threshold_probability(self) -> float:
        """The probability at the threshold."""
        return self.probability(self.threshold)

    def probability(self, margin: float) -> float:
        """Return the calibrated probability of phishing."""
        return 0.5 * (1 + math.tanh(margin / self.temperature / 2))  # unlike 1 / (1 + exp(−x)), never overflows

    def label(self, margin: float) -> str:
        """Return the name of the label that the threshold gives."""
        return self.labels[int(margin > self.threshold)]

    def as_json(self) -> dict[str, Any]:
        """Return what stands in minnow.json."""
        return {
            "labels": list(self.labels),
            "max_length": self.max_length,
            "synthetic": self.synthetic,
            "temperature": self.temperature,
            "decision": {"threshold": self.threshold, "probability": round(self.threshold_probability, 4)},
            "text": {
                "move_scheme": self.move_scheme,
                "cleaning": [*CLEANING, *([MOVE_SCHEME] if self.move_scheme else [])],
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the settings of a minnow.json; a KeyError, TypeError or ValueError says that it is none."""
        safe, phishing = value["labels"]
        settings = cls(
            labels=(str(safe), str(phishing)),
            max_length=int(value["max_length"]),
            move_scheme=bool(value["text"]["move_scheme"]),
            temperature=float(value["temperature"]),
            threshold=float(value["decision"]["threshold"]),
            synthetic=bool(value["synthetic"]),
        )
        if not (0 < settings.temperature < math.inf and math.isfinite(settings.threshold)):
            raise ValueError("temperature must lie above 0 and the threshold must be finite")
        return settings


def read(folder: Path) -> Settings:
    """Return the settings of a release.

    Raises:
        MinnowError: the folder is no release, or its minnow.json is broken.
    """
    if not (folder / FILE).is_file():
        raise MinnowError(
            f"{folder} is no release: it has no {FILE}; give the folder models/release that `dvc repro` makes, or a "
            "download of one"
        )
    try:
        return Settings.from_json(store.read_json(folder / FILE))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MinnowError(f"{folder / FILE} is broken ({error!r}); build or download the release again") from None


def check(folder: Path) -> None:
    """Compare a release's files with its manifest, but for the card: its owner may write the licence into it.

    Raises:
        MinnowError: one is missing or differs.
    """
    path = folder / store.MANIFEST
    manifest = store.read_json(path) if path.is_file() else None
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(isinstance(fact, dict) for fact in files.values()):
        raise MinnowError(f"{path} is missing or lists no files: download the release, or build it, again")
    for name, fact in files.items():
        file = folder / name
        if name != CARD and not (file.is_file() and store.sha256(file) == fact.get("sha256")):
            raise MinnowError(
                f"{file} is missing or differs from the release's manifest: download it, or build it, again"
            )


def of_model(model: Path, *, calibration: Mapping[str, Any], move_scheme: bool, synthetic: bool) -> Settings:
    """Return the settings for a model's folder; `calibration` is that model's in metrics/calibration.json."""
    labels = store.read_json(model / "config.json")["id2label"]
    return Settings(
        labels=(labels["0"], labels["1"]),
        max_length=store.read_json(model / "tokenizer_config.json")["model_max_length"],
        move_scheme=move_scheme,
        temperature=calibration["temperature"],
        threshold=calibration["decision"]["threshold"],
        synthetic=synthetic,
    )


def quantization(model: Path) -> Mapping[str, Any]:
    """Return how a model's folder says that it was quantized."""
    found: Mapping[str, Any] = store.read_json(model / "config.json")["quantization_config"]
    return found


def embeddings(model: Path) -> str | None:
    """Return the scheme, or schemes, that a model's folder says its embeddings are packed in, None if none are."""
    found = store.read_json(model / "config.json").get(EMBEDDINGS) or []
    blocks = found if isinstance(found, list) else [found]
    return " and ".join(block["scheme"] for block in blocks) or None


def adapters(model: Path) -> int | None:
    """Return the rank of the adapters that lie beside a model's weights, None if there are none."""
    found: Mapping[str, int] | None = store.read_json(model / "config.json").get(ADAPTERS)
    return found["rank"] if found else None


def normalise(text: str, *, move_scheme: bool) -> str:
    """Return a text cleaned as those that the model was trained on."""

    def resolved(found: re.Match[str]) -> str:
        known = found[0].startswith("&#") or found[0][1:] in html5
        return html.unescape(found[0]) if known else found[0]

    def trimmed(text: str) -> str:
        return re.sub(r"^[\s'\"`]+|[\s'\"`]+$", "", text)

    while (plain := re.sub(r"&(?:#\d+|#[xX][0-9a-fA-F]+|[A-Za-z]\w*);", resolved, text)) != text:
        text = plain
    unwanted = ("Cc", "Cf", "Cs")
    text = trimmed("".join(c for c in text if c != "\ufffd" and unicodedata.category(c) not in unwanted))
    return trimmed(re.sub(r"^(?:[A-Za-z][A-Za-z0-9+-]*://)+", "", text)) if move_scheme else text
