"""Where an unfinished training keeps its state, and what is read back of it."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from minnow.core.files import PARTIAL, discard, sha256
from minnow.errors import warn
from minnow.layout import Layout

PACKAGE = Path(__file__).parents[1]


def read_checkpoint(file: Path) -> dict[str, Any] | None:
    """Return what stands in a checkpoint, or None where there is none or, with a warning, where it
    is damaged.
    """
    if not file.exists():
        return None
    try:
        with zipfile.ZipFile(file) as archive:  # torch.load itself does not notice a flipped bit
            damaged = archive.testzip() is not None
    except (zipfile.BadZipFile, EOFError):
        damaged = True
    if damaged:
        warn(f"{file} is damaged: training starts afresh")
        return None
    state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return state


def checkpoint_of(
    layout: Layout, stage: str, params: str, inputs: Sequence[Path], code: Sequence[str]
) -> Path:
    """Return where this training keeps its state.

    The name depends on params, inputs and code, so that a run with anything changed starts afresh;
    that the weights which training begins with are the same, `fit` checks itself. `code` names
    files and folders below the package: those that dvc.yaml lists for the stage.
    """
    digest = hashlib.sha256(params.encode())
    for file in [*inputs, *code_files(code)]:
        digest.update(sha256(file).encode())
    return layout.checkpoints / f"{stage}-{digest.hexdigest()[:16]}.pt"


def code_files(code: Sequence[str]) -> list[Path]:
    """Return the Python files that these files and folders below the package hold, in order."""
    places = [PACKAGE / name for name in code]
    return [
        file
        for place in places
        for file in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]


def discard_checkpoints(layout: Layout, stage: str) -> None:
    """Remove this stage's checkpoints: finished, abandoned and half-written ones."""
    for pattern in (f"{stage}-*.pt", f".{stage}-*{PARTIAL}"):
        for left in layout.checkpoints.glob(pattern):
            discard(left)
