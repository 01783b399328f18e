"""What a row should become, and the loss that asks for its label."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

# The label of a row that only the teacher labelled.
NO_LABEL = -1


@dataclass(frozen=True)
class Targets:
    """What a row should become: `labels` (rows,) and, when there is a teacher, its logits (rows,
    labels).

    The label of a row that only the teacher labelled is `NO_LABEL`. The label's part of the loss is
    told what each class weighs (labels,), and the share of a label that all classes get alike.
    """

    labels: Tensor
    teacher_logits: Tensor | None = None
    class_weights: Tensor | None = None
    label_smoothing: float = 0.0

    def of(self, rows: Tensor, device: torch.device) -> "Targets":
        """Return the targets of these rows, on the device."""
        logits = None if self.teacher_logits is None else self.teacher_logits[rows].to(device)
        weights = None if self.class_weights is None else self.class_weights.to(device)
        return Targets(self.labels[rows].to(device), logits, weights, self.label_smoothing)


def hard_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Return the cross-entropy with the labels in nats, averaged over the batch, in float32.

    A row without a label adds 0 and still counts. So every labelled row weighs in its batch what it
    would weigh with labelled ones beside it; a mean over the labelled rows alone would give those
    the most weight that stand, by their length, among many without a label. Class weights count
    likewise: torch's own mean, over the weights of the batch, would give those the most that stand
    among many of the lighter class.
    """
    if bool((targets.labels != NO_LABEL).all()) and targets.class_weights is None:
        return nn.functional.cross_entropy(
            logits.float(), targets.labels, label_smoothing=targets.label_smoothing
        )
    total = nn.functional.cross_entropy(
        logits.float(),
        targets.labels,
        weight=targets.class_weights,
        ignore_index=NO_LABEL,
        reduction="sum",
        label_smoothing=targets.label_smoothing,
    )
    return total / len(targets.labels)


def class_weights(
    asked: Literal["balanced"] | Sequence[float] | None, labels: Tensor
) -> Tensor | None:
    """Return what a row of each class weighs, (2,), so that labelled rows weigh 1 on average: the
    loss keeps its size, and with it the learning rate and `soft_weight` their meaning.

    `balanced` lets both classes weigh the same in all, n / (2 · rows of the class), as
    scikit-learn's does.
    """
    if asked is None:
        return None
    rows = torch.bincount(labels[labels != NO_LABEL], minlength=2).double()
    weights = 1 / rows if asked == "balanced" else torch.tensor(asked, dtype=torch.float64)
    return (weights * rows.sum() / (weights * rows).sum()).float()


Loss = Callable[[Tensor, Targets], Tensor]
