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
    """Means and covariances, over tokens, of `given` numbers and of those of `wanted` with them."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: list[Tensor] = []
        # About the means, so that float32 products lose nothing where a number is large and hardly
        # varies.
        self.origin: list[Tensor] = []

    def add(self, wanted: Tensor, given: Tensor) -> None:
        """Count tokens in: wanted (tokens, n), given (tokens, k)."""
        self.origin = self.origin or [wanted.mean(0), given.mean(0)]
        wanted, given = (
            numbers - origin for numbers, origin in zip((wanted, given), self.origin, strict=True)
        )
        parts = [
            part.double()
            for part in (wanted.sum(0), given.sum(0), wanted.T @ given, given.T @ given)
        ]
        self.sums = (
            [total + part for total, part in zip(self.sums, parts, strict=True)]
            if self.sums
            else parts
        )
        self.count += len(given)

    def result(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the means (n,) and (k,), and the covariances (n, k) and (k, k), in float64."""
        wanted, given, cross, square = (total / self.count for total in self.sums)
        covariances = cross - wanted[:, None] * given, square - given[:, None] * given
        return wanted + self.origin[0], given + self.origin[1], *covariances


def completed(start: Tensor, cross: Tensor, square: Tensor) -> Tensor:
    """Return the weights (n, k) of the linear guess that has the least squared error, drawn to
    `start` by a ridge.

    `cross` (n, k) and `square` (k, k) are covariances of wanted with given, and of given. Where
    `start` already makes no error, it is the result.
    """
    ridge = (RIDGE * square.diagonal().mean()).clamp_min(torch.finfo(square.dtype).tiny)
    left = cross - start @ square
    rest: Tensor = torch.linalg.solve(
        square + ridge * torch.eye(len(square), dtype=square.dtype), left.T
    )
    return start + rest.T
