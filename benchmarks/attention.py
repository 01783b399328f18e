"""Attention on a CPU, plain against torch's fused kernel, on sequences as short as URLs.

    python benchmarks/attention.py [--threads 2]

One layer's attention, 64 sequences, 12 heads of 32 columns: milliseconds of a forward pass, and of
a forward and backward pass without dropout; best of `--repeats`, the two taking turns.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from minnow.core.runtime import machine

SEQUENCES, HEADS, COLUMNS = 64, 12, 32


def plain(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Return softmax(QKᵀ/√d + mask) V by two matrix products."""
    scores = torch.matmul(query, key.transpose(-1, -2)) * COLUMNS**-0.5
    return torch.matmul(
        torch.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=-1), value
    )


def fused(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Return the same by torch's kernel."""
    return scaled_dot_product_attention(query, key, value, attn_mask=mask)


def milliseconds(
    attention: Callable[..., Tensor], tokens: int, dtype: torch.dtype, *, backward: bool
) -> float:
    """Return the milliseconds of one call."""
    inputs = [
        torch.randn(SEQUENCES, HEADS, tokens, COLUMNS, dtype=dtype, requires_grad=backward)
        for _ in range(3)
    ]
    mask = torch.ones(SEQUENCES, 1, tokens, tokens, dtype=torch.bool)
    began = time.perf_counter()
    result = attention(*inputs, mask)
    if backward:
        result.backward(torch.ones_like(result))
    return 1000 * (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    print(
        "| tokens | dtype | forward: fused | plain | with backward: fused | plain"
        " |\n|---|---|---|---|---|---|"
    )
    for tokens in (16, 24, 40, 80, 128, 256):
        for dtype in (torch.bfloat16, torch.float32):
            cells = []
            for backward in (False, True):
                runs = [
                    [milliseconds(way, tokens, dtype, backward=backward) for way in (fused, plain)]
                    for _ in range(options.repeats)
                ]
                cells += [f"{min(column):.1f}" for column in zip(*runs, strict=True)]
            print(
                f"| {tokens} | {str(dtype).removeprefix('torch.')} | {' | '.join(cells)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
