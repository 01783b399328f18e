"""What is left out, as the best linear guess from what is kept."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Share of the mean variance added to every variance: it keeps guesses from numbers that hardly vary
# small.
RIDGE = 1e-3


# --- Guesses of what is left out ------------------------------------------------------------------


@dataclass(frozen=True)
class Guess:
    """All numbers from those that are kept: all ≈ weight · kept + bias, with weight (all, kept) and
    bias (all,).
    """

    weight: Tensor
    bias: Tensor

    def read_by(self, layer: nn.Linear, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias of these rows of a layer that then reads what is kept."""
        weight = layer.weight.detach()[rows]
        return weight @ self.weight, layer.bias.detach()[rows] + weight @ self.bias


class Moments:
    """Means and covariances, over tokens, of `kept` numbers and of the `whole` ones with them."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        # About the means, so that float32 products lose nothing where a number is large and hardly
        # varies.
        self.origin: list[Tensor] = []

    def add(self, whole: Tensor, kept: Tensor) -> None:
        """Count tokens in: whole (tokens, n), kept (tokens, k)."""
        self.origin = self.origin or [whole.mean(0), kept.mean(0)]
        whole, kept = (
            numbers - origin for numbers, origin in zip((whole, kept), self.origin, strict=True)
        )
        parts = [
            part.double() for part in (whole.sum(0), kept.sum(0), whole.T @ kept, kept.T @ kept)
        ]
        self.sums = (
            [total + part for total, part in zip(self.sums, parts, strict=True)]
            if self.sums
            else parts
        )
        self.count += len(kept)

    def result(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the means (n,) and (k,), and the covariances (n, k) and (k, k), in float64."""
        whole, kept, cross, square = (total / self.count for total in self.sums)
        covariances = cross - whole[:, None] * kept, square - kept[:, None] * kept
        return whole + self.origin[0], kept + self.origin[1], *covariances


def completed(start: Tensor, cross: Tensor, square: Tensor) -> Tensor:
    """Return the weights (n, k) of the linear guess that has the least squared error, drawn to
    `start` by a ridge.

    `cross` (n, k) and `square` (k, k) are covariances of the whole with what is kept, and of that.
    Where `start` already makes no error, it is the result.
    """
    ridge = (RIDGE * square.diagonal().mean()).clamp_min(torch.finfo(square.dtype).tiny)
    left = cross - start @ square
    rest: Tensor = torch.linalg.solve(
        square + ridge * torch.eye(len(square), dtype=square.dtype), left.T
    )
    return start + rest.T
