"""What `runtime.kernels: portable` costs, and that its bytes do not depend on the CPU.

    python benchmarks/portable_kernels.py                  # native and portable here, in turn
    python benchmarks/portable_kernels.py Haswell EPYC     # also on CPUs that QEMU pretends to be

Trains a small BERT from a seed and prints a digest of its weights. Emulated CPUs need `qemu-x86_64`
7.2 or later (Debian: qemu-user) and train two steps instead of sixty; compare like with like.
"""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src"
sys.path.insert(0, str(SRC))

from minnow.core import kernels  # noqa: E402

FULL, SHORT = "60", "2"
ROUNDS = 3


def train(kind: str, steps: int) -> None:
    """Train, and print the seconds that it took and the digest of the weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    if kind == "portable":
        kernels.install(2)
    torch.set_num_threads(2)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=2048,
        intermediate_size=512,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
    )
    model = BertForSequenceClassification(config).train()
    model.set_attn_implementation("eager")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(1)
    began = time.perf_counter()
    for step in range(steps):
        shape_of_batch = (64 if steps > 2 else 8, 16 + step % 24)
        ids = torch.randint(0, 2048, shape_of_batch, generator=generator)
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids).logits, ids[:, 0] % 2)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - began
    weights = b"".join(weight.detach().numpy().tobytes() for weight in model.parameters())
    print(f"{seconds:6.1f} s  {hashlib.sha256(weights).hexdigest()[:16]}")


def run(kind: str, steps: str, cpu: str | None = None) -> str:
    """Return what `train` prints in a process of its own, on an emulated CPU if one is named."""
    variables = kernels.VARIABLES if kind == "portable" else {}
    python, packages = sys.executable, os.pathsep.join(path for path in sys.path if path)
    emulator = ["qemu-x86_64", "-cpu", cpu, os.path.realpath(python)] if cpu else [python]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **variables, "PYTHONPATH": packages}
    command = [*emulator, "-W", "ignore", __file__, "train", kind, steps]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()[-300:]


def main(cpus: list[str]) -> None:
    """Print a line for each run."""
    for _ in range(ROUNDS):
        for kind in ("native", "portable"):
            print(f"{FULL} steps, {kind:9} here      {run(kind, FULL)}", flush=True)
    for cpu in [None, *cpus] if cpus else []:
        for kind in ("native", "portable"):
            line = run(kind, SHORT, cpu)
            print(f"{SHORT:>2} steps, {kind:9} {cpu or 'here':9} {line}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(sys.argv[2], int(sys.argv[3]))
    else:
        main(sys.argv[1:])
