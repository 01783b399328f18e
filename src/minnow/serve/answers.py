"""What `minnow classify` was asked, and margins as the words that it writes."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from minnow.errors import printable
from minnow.serve.backends import settings_in_use
from minnow.serve.settings import Settings

STDIN = "-"


@dataclass(frozen=True)
class Asked:
    """What was typed; `threshold` is a probability, None for the release's own."""

    folder: str
    file: str = STDIN
    output: str | None = None
    format: str | None = None
    column: str | None = None
    threshold: float | None = None
    jobs: int = 1


@dataclass(frozen=True)
class Wording:
    """Margins to words."""

    settings: Settings

    @property
    def labels(self) -> list[str]:
        """The labels, as they are written."""
        return [printable(label) for label in self.settings.labels]

    def words(self, margin: float | None) -> tuple[str, str]:
        """Return the probability and the label of a margin; nothing of none."""
        if margin is None:
            return "", ""
        probability = self.settings.probability(margin)
        return f"{probability:.6f}", printable(self.settings.label(margin))


def wording_of(folder: Path, threshold: float | None) -> Wording:
    """Return what makes words of a release's margins.

    Raises:
        MinnowError: the folder is no release.
    """
    settings = settings_in_use(folder)
    if threshold is not None:
        settings = replace(settings, threshold=margin_at(threshold, settings.temperature))
    return Wording(settings)


def margin_at(probability: float, temperature: float) -> float:
    """Return temperature · ln(p / (1 − p)), the margin of a probability."""
    if probability in (0.0, 1.0):
        return math.inf if probability else -math.inf
    return temperature * (math.log(probability) - math.log1p(-probability))
