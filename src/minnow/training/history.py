"""Where a training stands, epoch by epoch, and what its scores do not tell."""

import math
from dataclasses import dataclass, field
from typing import Any

from minnow.core.selection import Score
from minnow.training.checkpoints import same_structure

# What moves where a ranking stands still: the log loss follows every margin, and nothing is finer.
FINER = {"average_precision": "log_loss", "roc_auc": "log_loss", "log_loss": ""}
# What the number that chooses is on each part of validation, where there is an extra one.
PARTS = ("validation_score", "validation_extra_score")


@dataclass
class Progress:
    """Where a training stands: all that a killed run needs besides weights, optimiser and random
    state.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    best_epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    history: list[dict[str, float]] = field(default_factory=list)


def scores_by_part(score: Score) -> dict[str, float]:
    """Return the score's parts under the names PARTS; nothing where it has none."""
    return dict(zip(PARTS, score.parts, strict=True)) if score.parts else {}


def is_progress(found: Any, *, epochs: int, batches: int, extra: bool = False) -> bool:
    """Say whether a checkpoint's fields are those of a `Progress` within so many epochs and batches
    of one; `extra` says that validation has an extra part.
    """
    own = vars(Progress())
    if not isinstance(found, dict) or not same_structure(found | {"history": []}, own):
        return False
    if "history" not in found:
        return False
    epoch, batch, history = (found[name] for name in ("epoch", "batch", "history"))
    record = {"epoch": 0, "loss": 0.0, "validation_f1": 0.0, "score": 0.0}
    record |= dict.fromkeys(PARTS, 0.0) if extra else {}
    return (
        0 <= epoch <= epochs and 0 <= batch <= batches and same_structure(history, [record] * epoch)
    )


def undecided(progress: Progress, name: str, by: str) -> str | None:
    """Return what to do where the number that chooses told no epoch from another, None elsewhere.

    `name` is the training's, `by` the number's. A score that is perfect throughout is no reason.
    """
    found = [record["validation_f1"] for record in progress.history]
    scores = {record["score"] for record in progress.history}
    chose = "average precision" if len(scores) == 1 else by
    if found and not any(found):
        return (
            f"{name}: F1 on validation is 0 in every epoch, since no phishing passes the threshold;"
            f" epoch {progress.best_epoch} is kept, by {chose}; set"
            " evaluate.threshold.f1 to true or training.class_weight to balanced, or train longer"
        )
    if len(found) > 1 and len(scores) == 1 and min(found) < 1 and max(scores) < 1:
        return (
            f"{name}: {by} on validation is the same in every epoch, {scores.pop():.4f}, so epoch"
            f" {progress.best_epoch} is kept, {between_equals(by)}; {advice_for(by)}"
        )
    return None


def between_equals(by: str) -> str:
    """Return what decides between epochs that the number `by` does not tell apart."""
    return "the earliest" if by == "average_precision" else "by average precision"


def advice_for(by: str) -> str:
    """Return what to do where the number `by` does not move: take one that moves with less, if
    there is one.
    """
    finer = FINER.get(by, "average_precision or log_loss")
    return (f"set select to {finer}, or " if finer else "") + "train longer or faster"
