"""What a row should become, and the loss that asks for its label."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The label of a row that only the teacher labelled.
NO_LABEL = -1


@dataclass(frozen=True)
class Targets:
    """What a row should become: `labels` (rows,) and, when there is a teacher, its logits (rows,
    labels).

    The label of a row that only the teacher labelled is `NO_LABEL`.
    """

    labels: Tensor
    teacher_logits: Tensor | None = None

    def of(self, rows: Tensor, device: torch.device) -> "Targets":
        """Return the targets of these rows, on the device."""
        logits = None if self.teacher_logits is None else self.teacher_logits[rows].to(device)
        return Targets(self.labels[rows].to(device), logits)


def hard_loss(logits: Tensor, targets: Targets) -> Tensor:
    """Return the cross-entropy with the labels in nats, averaged over the batch, in float32.

    A row without a label adds 0 and still counts. So every labelled row weighs in its batch what it
    would weigh with labelled ones beside it; a mean over the labelled rows alone would give those
    the most weight that stand, by their length, among many without a label.
    """
    if bool((targets.labels != NO_LABEL).all()):
        return nn.functional.cross_entropy(logits.float(), targets.labels)
    total = nn.functional.cross_entropy(
        logits.float(), targets.labels, ignore_index=NO_LABEL, reduction="sum"
    )
    return total / len(targets.labels)


Loss = Callable[[Tensor, Targets], Tensor]
