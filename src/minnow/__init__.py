"""Minnow: distil a text classifier into a small one, quantize it, and measure what that cost."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minnow.release.classifier import Classifier


def load(folder: str | Path, *, device: str | None = None) -> "Classifier":
    """Return the model in a release's folder; `device` None takes a GPU where torch sees one.

    Raises:
        MinnowError: the folder is no release, or a file of it is missing or damaged.
    """
    from minnow.release import classifier

    return classifier.load_release(folder, device=device)
