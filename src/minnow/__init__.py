"""Minnow: distil a text classifier into a small one, quantize it, and measure what that cost."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minnow.release.classifier import Classifier


def load(folder: str | Path, *, device: str | None = None) -> "Classifier":
    """Return the model in a release's folder; `device` None takes a GPU where torch sees one.

    Raises:
        MinnowError: the folder is no release, a file of it is missing or damaged, or torch sees no
        such device; one line of at most 300 characters.
    """
    from minnow.errors import MinnowError, cut_off
    from minnow.release import classifier

    try:
        return classifier.load_release(folder, device=device)
    except MinnowError as error:
        raise MinnowError(cut_off(str(error))) from error.__cause__
