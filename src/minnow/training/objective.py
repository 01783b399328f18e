"""What a training is given: rows, what it aims at, how it goes, and where it runs."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.core.runtime import Runtime
from minnow.core.selection import Score, Selection
from minnow.models.batching import Encoded
from minnow.training.params import TrainingParams
from minnow.training.targets import Loss, Targets


class Guide(nn.Module):
    """A further term of the loss, which looks into the model; its own weights are trained beside
    the model's.
    """

    def watching(self) -> AbstractContextManager[None]:
        """Look into the model until the block ends."""
        raise NotImplementedError

    def forward(self, rows: Tensor, mask: Tensor) -> Tensor:
        """Return the term for these rows, right after the model's forward pass with this attention
        mask.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Examples:
    """Encoded rows, and what each should become."""

    encoded: Encoded
    targets: Targets

    def __len__(self) -> int:
        return len(self.encoded)


@dataclass(frozen=True)
class Validation:
    """Encoded rows, and what turns their logits (rows, labels) into the score that chooses the
    epoch; `extra` says that the rows have an extra part, and so the score two.
    """

    encoded: Encoded
    score: Callable[[Tensor], Score]
    extra: bool = False


@dataclass(frozen=True)
class Objective:
    """What a training aims at: a loss, to which what `guide` gives is added.

    `validate` returns the validation logits of a model in training, where they are not what the
    model itself computes, as when it is rounded before it is used.
    """

    loss: Loss
    guide: Guide | None = None
    validate: Callable[[PreTrainedModel], Tensor] | None = None

    def watching(self) -> AbstractContextManager[None]:
        """Let the guide, if any, look into the model until the block ends."""
        return nullcontext() if self.guide is None else self.guide.watching()


@dataclass(frozen=True)
class Schedule:
    """How often and how fast the model learns, and what chooses the epoch; `seed` orders the
    batches.
    """

    params: TrainingParams
    seed: int
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True)
class Job:
    """What a training is called on the progress bar, where it computes, and the file that keeps its
    state, if any.
    """

    name: str
    runtime: Runtime
    checkpoint: Path | None = None
