"""Where an unfinished training keeps its state, and what is read back of it."""

import hashlib
import mmap
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from minnow.core.files import PARTIAL, discard, discard_abandoned, replacing, sha256
from minnow.core.seals import PLACE, intact, seal
from minnow.errors import is_out_of_memory, listed, warn
from minnow.layout import Layout

PACKAGE = Path(__file__).parents[1]
# What a checkpoint becomes when it has a successor, and when it is damaged.
PREVIOUS, DAMAGED = ".previous.pt", ".damaged"


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, sealed by a digest of the whole file, and keep the one before it."""
    with replacing(file) as temporary:
        torch.save(state, temporary)
        with temporary.open("ab") as opened:
            opened.write(PLACE)
        seal(temporary)
        with suppress(FileNotFoundError):
            file.replace(file.with_suffix(PREVIOUS))


def read_checkpoint(
    file: Path, fits: Callable[[Any], bool] = lambda _: True
) -> dict[str, Any] | None:
    """Return what stands in the last checkpoint that is whole and `fits`, or None where there is
    none.

    Damaged ones are set aside, with a warning: renamed, so that somebody may look into them.
    """
    damaged: list[str] = []
    state = None
    for candidate in (file, file.with_suffix(PREVIOUS)):
        if candidate.exists() or candidate.is_symlink():
            state = whole(candidate)
            if state is not None and fits(state):
                break
            state = None
            damaged.append(set_aside(candidate).name)
    if damaged:
        then = "starts afresh" if state is None else "goes on from the checkpoint before it"
        warn(f"{file} is damaged: training {then}; it is set aside as {listed(damaged)}")
    return state


def whole(file: Path) -> dict[str, Any] | None:
    """Return what stands in a checkpoint, or None where it is damaged.

    Nothing in it is parsed before all of it is known to be as it was written, and nothing is
    executed.
    """
    if not file.is_file() or not file.stat().st_size:
        return None
    with file.open("rb") as opened:
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if not intact(content):
                return None
        try:
            state: dict[str, Any] = torch.load(opened, map_location="cpu", weights_only=True)
        except Exception as error:  # whole, and not of ours, or of another torch
            if is_out_of_memory(error):
                raise
            return None
    return state


def same_structure(found: Any, expected: Any) -> bool:
    """Say whether two states have the same keys, lengths and types, and tensors of the same shape
    and dtype. Numbers may differ, and a float may be whole.
    """
    if isinstance(expected, torch.Tensor):
        alike = isinstance(found, torch.Tensor) and found.shape == expected.shape
        return alike and found.dtype == expected.dtype
    if isinstance(expected, dict):
        keys = isinstance(found, dict) and found.keys() == expected.keys()
        return keys and all(same_structure(found[key], expected[key]) for key in expected)
    if isinstance(expected, list | tuple):
        long = isinstance(found, list | tuple) and len(found) == len(expected)
        return long and all(map(same_structure, found, expected))
    numbers = isinstance(expected, float) and type(found) is int
    return type(found) is type(expected) or numbers


def same_moments(found: Any, expected: dict[str, Any], optimizer: torch.optim.Optimizer) -> bool:
    """Say whether AdamW's state has the moments of an optimizer's weights. Before any step there
    are none, and none of a weight that had no gradient.
    """
    if not isinstance(found, dict) or found.keys() != expected.keys():
        return False
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    step = torch.tensor(0.0)
    moments = {
        number: {"step": step, "exp_avg": weight, "exp_avg_sq": weight}
        for number, weight in enumerate(weights)
    }
    of = found["state"]
    return (
        same_structure(found["param_groups"], expected["param_groups"])
        and isinstance(of, dict)
        and all(number in moments and same_structure(of[number], moments[number]) for number in of)
    )


def set_aside(file: Path) -> Path:
    """Give a damaged checkpoint another name, and return it."""
    aside = file.with_name(file.name + DAMAGED)
    discard(aside)
    return file.rename(aside)


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
    """Remove this stage's checkpoints: finished, abandoned and half-written ones, and not those
    that are set aside.
    """
    for left in layout.checkpoints.glob(f"{stage}-*.pt"):
        discard(left)
    discard_abandoned(layout.checkpoints, f".{stage}-*{PARTIAL}")
