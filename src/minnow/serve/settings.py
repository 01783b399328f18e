"""minnow.json beside a released model: what whoever calls it must know."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from minnow.core.files import MANIFEST, first_damage
from minnow.core.strict_json import bounded_text, parsed_json
from minnow.errors import MinnowError, reason
from minnow.text.cleaning import CLEANING, MOVE_SCHEME

FILE = "minnow.json"
CARD = "README.md"
# No label has more letters, and no text of any model more tokens.
LONGEST_LABEL, MOST_TOKENS = 200, 32_768


@dataclass(frozen=True)
class Fitted:
    """What validation set for a model."""

    temperature: float
    threshold: float

    def __post_init__(self) -> None:
        if not (0 < self.temperature < math.inf and math.isfinite(self.threshold)):
            raise ValueError("temperature must lie above 0 and the threshold must be finite")

    @property
    def threshold_probability(self) -> float:
        """The probability at the threshold."""
        return sigmoid(self.threshold / self.temperature)

    def as_json(self) -> dict[str, Any]:
        """Return what stands in minnow.json."""
        probability = round(self.threshold_probability, 4)
        decision = {"threshold": self.threshold, "probability": probability}
        return {"temperature": self.temperature, "decision": decision}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what `as_json` gave."""
        return cls(
            temperature=float(_typed(value["temperature"], int, float)),
            threshold=float(_typed(value["decision"]["threshold"], int, float)),
        )


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(−value)), by a form that never overflows."""
    return 0.5 * (1 + math.tanh(value / 2))


@dataclass(frozen=True)
class Settings:
    """How logits become a probability and a label.

    margin = phishing logit − safe logit; probability = sigmoid(margin / temperature); phishing if
    margin > threshold. `labels` stand in the order of the logits; texts are cut at `max_length`
    tokens. Temperature and threshold are those of the files for torch; `onnx` holds model.onnx's
    own, None where it has none.
    """

    labels: tuple[str, str]
    max_length: int
    move_scheme: bool
    temperature: float
    threshold: float
    synthetic: bool
    onnx: "Fitted | None" = None

    @property
    def threshold_probability(self) -> float:
        """The probability at the threshold."""
        return self.probability(self.threshold)

    def probability(self, margin: float) -> float:
        """Return the calibrated probability of phishing."""
        return sigmoid(margin / self.temperature)

    def label(self, margin: float) -> str:
        """Return the name of the label that the threshold gives."""
        return self.labels[int(margin > self.threshold)]

    def as_json(self) -> dict[str, Any]:
        """Return what stands in minnow.json."""
        return {
            "labels": list(self.labels),
            "max_length": self.max_length,
            "synthetic": self.synthetic,
            **Fitted(self.temperature, self.threshold).as_json(),
            **({"onnx": self.onnx.as_json()} if self.onnx else {}),
            "text": {
                "move_scheme": self.move_scheme,
                "cleaning": [*CLEANING, *([MOVE_SCHEME] if self.move_scheme else [])],
            },
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the settings of a minnow.json; a KeyError, TypeError or ValueError says that it is
        none.
        """
        safe, phishing = _typed(value["labels"], list)
        own = Fitted.from_json(value)
        settings = cls(
            labels=(_typed(safe, str), _typed(phishing, str)),
            max_length=_typed(value["max_length"], int),
            move_scheme=_typed(value["text"]["move_scheme"], bool),
            temperature=own.temperature,
            threshold=own.threshold,
            synthetic=_typed(value["synthetic"], bool),
            onnx=Fitted.from_json(value["onnx"]) if "onnx" in value else None,
        )
        if safe == phishing or not all(0 < len(each) <= LONGEST_LABEL for each in (safe, phishing)):
            raise ValueError(f"labels must be two, of 1 to {LONGEST_LABEL} letters")
        if not 1 <= settings.max_length <= MOST_TOKENS:
            raise ValueError(f"max_length must be 1 to {MOST_TOKENS}")
        return settings

    def of_onnx(self) -> Self:
        """Return the settings by which model.onnx answers: its own where it has any."""
        own = self.onnx or Fitted(self.temperature, self.threshold)
        return replace(self, temperature=own.temperature, threshold=own.threshold, onnx=None)


def _typed(value: Any, *kinds: type) -> Any:
    """Return a value of one of these types; truth values are no numbers."""
    if type(value) not in kinds:
        raise TypeError(f"{str(value)[:60]!r} is no {kinds[-1].__name__}")
    return value


def read_settings(folder: Path) -> Settings:
    """Return the settings of a release.

    Raises:
        MinnowError: the folder is no release, or its minnow.json is broken.
    """
    if not (folder / FILE).is_file():
        raise MinnowError(
            f"{folder} is no release: it has no {FILE}; give the folder models/release that `dvc"
            " repro` makes, or a download of one"
        )
    try:
        return Settings.from_json(_read(folder / FILE))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MinnowError(
            f"{folder / FILE} is broken ({error!r}); build or download the release again"
        ) from None


def _read(file: Path) -> Any:
    """Return the JSON of a release's file.

    Raises:
        MinnowError: it cannot be read.
    """
    try:
        return parsed_json(bounded_text(file))
    except (ValueError, OSError) as error:
        raise MinnowError(
            f"{file} is broken ({reason(error)}); build or download the release again"
        ) from None


def check(folder: Path, needed: Collection[str] = ()) -> None:
    """Compare a release's files with its manifest, but for the card: its owner may write the
    licence into it. What is `needed` beside minnow.json must be among them.

    Raises:
        MinnowError: one is missing, differs, or is needed and not listed.
    """
    path = folder / MANIFEST
    if path.is_file():
        manifest = _read(path)
        damage = first_damage(folder, manifest, but=[CARD])
        lacking = [name for name in (FILE, *needed) if not damage and name not in manifest["files"]]
        damage = f"{path} does not list {lacking[0]}" if lacking else damage
    else:
        damage = f"{path} is missing"
    if damage:
        raise MinnowError(f"{damage}: download the release, or build it, again")
