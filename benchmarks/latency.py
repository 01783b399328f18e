"""Latency, memory and bytes of teacher, student and quantized student, side by side.

    python benchmarks/latency.py                   # the public original's shapes, randomly
    initialised python benchmarks/latency.py --models models   # the models that the pipeline built
    here

Each variant classifies one URL and batches of 32 URLs; the variants take turns, call by call, in
one process, so that all see the same machine. Resident memory is measured in a process per variant:
after loading, and after 20 calls, less what the process held before loading. Loaded weights are
mapped from the file, so that only what has been used once is resident: the second figure is the one
to plan with. Bytes are those of everything in the folder that the model needs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import psutil
import torch
from transformers import PreTrainedModel

from minnow.core.files import read_json
from minnow.core.params import RuntimeParams
from minnow.core.runtime import Runtime, machine, start
from minnow.data.synthetic import generate
from minnow.models import building, folders, schemes
from minnow.models.batching import Encoded, encode
from minnow.models.params import BuildParams
from minnow.quantization.quantize import Recipe, quantize

SHAPES = {
    "teacher": BuildParams(
        architecture="bert",
        layers=12,
        heads=12,
        hidden_size=768,
        intermediate_size=3072,
        dropout=0.1,
    ),
    "student": BuildParams(
        architecture="distilbert",
        layers=4,
        heads=8,
        hidden_size=768,
        intermediate_size=3072,
        dropout=0.1,
    ),
}
VOCABULARY = 30_522
BATCH = 32
MEMORY_CALLS = 20


@dataclass(frozen=True)
class Variant:
    """A model folder and the dtype that it is run in; a quantized one brings its own."""

    name: str
    folder: Path
    dtype: str


def variants(folder: Path) -> Iterator[Variant]:
    """Yield every model of `folder` in the dtypes worth comparing."""
    for name in ("teacher", "student"):
        for dtype in ("float32", "bfloat16"):
            yield Variant(f"{name}, {dtype}", folder / name, dtype)
    for path in sorted(folder.glob("quantized*")):
        scheme = json.loads((path / "config.json").read_text())["quantization_config"]
        yield Variant(
            f"quantized, {scheme['bnb_4bit_quant_type'] if scheme['load_in_4bit'] else 'int8'}",
            path,
            "bfloat16",
        )


def build(folder: Path, device: torch.device) -> None:
    """Write the public original's shapes with random weights, and the student quantized to nf4 and
    int8.
    """
    urls, _ = generate(5_000, seed=0, label_noise=0.0)
    tokenizer = building.train_tokenizer(urls, vocabulary=4_096, max_length=128)
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        model = building.build(shape, tokenizer)
        model.resize_token_embeddings(VOCABULARY)
        folders.save(model, tokenizer, folder / name)
    probe = encode(tokenizer, urls[:64])
    for scheme in (schemes.FourBit("nf4", double_quantization=True), schemes.EightBit()):
        out = folder / f"quantized{scheme.bits}"
        recipe = Recipe(scheme, ["classifier", "pre_classifier"])
        quantize(folder / "student", out, recipe, probe=probe, device=device)


def load(variant: Variant, device: torch.device) -> PreTrainedModel:
    """Return a variant, ready to run."""
    return folders.load_for_inference(
        variant.folder, Runtime(device, getattr(torch, variant.dtype))
    )


def batch_of(
    encoded: Encoded, first: int, rows: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return `rows` encoded URLs from `first` on, around the end."""
    return encoded.batch((torch.arange(rows) + first) % len(encoded), device)


def call(model: PreTrainedModel, batch: dict[str, torch.Tensor], device: torch.device) -> float:
    """Run one batch and return its seconds."""
    began = time.perf_counter()
    with torch.inference_mode():
        model(**batch).logits.float().cpu()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def latencies(
    loaded: dict[str, PreTrainedModel],
    encoded: dict[str, Encoded],
    *,
    rows: int,
    calls: int,
    device: torch.device,
) -> dict[str, list[float]]:
    """Return each model's seconds a call on the same URLs, the models taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in loaded}
    for turn in range(calls + 3):
        for name, model in loaded.items():
            took = call(model, batch_of(encoded[name], turn * rows, rows, device), device)
            if turn >= 3:
                seconds[name].append(took)
    return seconds


def resident_bytes(variant: Variant, threads: int) -> dict[str, int]:
    """Return the resident bytes that loading and running the variant add, measured in a process of
    its own.
    """
    request = json.dumps(
        {
            "name": variant.name,
            "folder": str(variant.folder),
            "dtype": variant.dtype,
            "threads": threads,
        }
    )
    child = subprocess.run(
        [sys.executable, __file__, "--child", request], check=True, capture_output=True, text=True
    )
    result: dict[str, int] = json.loads(child.stdout.splitlines()[-1])
    return result


def child(request: str) -> None:
    """Print the resident bytes of one variant as JSON."""
    asked = json.loads(request)
    variant = Variant(asked["name"], Path(asked["folder"]), asked["dtype"])
    run = start(
        RuntimeParams(
            device="auto", precision="float32", threads=asked["threads"], kernels="native"
        )
    )
    import bitsandbytes  # noqa: F401  # counted before loading for every variant, so that it weighs on none

    process = psutil.Process()
    before = process.memory_info().rss
    model = load(variant, run.device)
    loaded = process.memory_info().rss - before
    encoded = encode(
        folders.load_tokenizer(variant.folder), generate(64, seed=1, label_noise=0.0)[0]
    )
    for turn in range(MEMORY_CALLS):
        call(model, batch_of(encoded, turn, 1, run.device), run.device)
    print(json.dumps({"loaded": loaded, "after": process.memory_info().rss - before}))


def milliseconds(seconds: list[float]) -> str:
    """Return `p50 / p95` in milliseconds."""
    cuts = quantiles(seconds, n=20, method="inclusive")
    return f"{1000 * cuts[9]:.1f} / {1000 * cuts[18]:.1f}"


def disk_bytes(folder: Path) -> int:
    """Return the bytes of all that the model needs."""
    return sum(int(file["bytes"]) for file in read_json(folder / "manifest.json")["files"].values())


def table(folder: Path, *, calls: int, threads: int, device: torch.device) -> None:
    """Measure and print."""
    urls, _ = generate(2_000, seed=1, label_noise=0.0)
    chosen = list(variants(folder))
    loaded = {variant.name: load(variant, device) for variant in chosen}
    encoded = {
        variant.name: encode(folders.load_tokenizer(variant.folder), urls) for variant in chosen
    }
    one = latencies(loaded, encoded, rows=1, calls=calls, device=device)
    many = latencies(loaded, encoded, rows=BATCH, calls=max(20, calls // 10), device=device)
    del loaded
    print(machine())
    print(f"{encoded[chosen[0].name].lengths.float().mean():.1f} tokens a URL on average")
    print(
        "| model | 1 URL, ms p50 / p95 | 32 URLs, ms p50 / p95 | MB on disk | MB resident after"
        " load | after 20 calls |"
    )
    print("|---|---|---|---|---|---|")
    for variant in chosen:
        memory = resident_bytes(variant, threads)
        times = f"{milliseconds(one[variant.name])} | {milliseconds(many[variant.name])}"
        sizes = (
            f"{disk_bytes(variant.folder) / 1e6:.1f} | {memory['loaded'] / 1e6:.0f} |"
            f" {memory['after'] / 1e6:.0f}"
        )
        print(f"| {variant.name} | {times} | {sizes} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models",
        type=Path,
        help="folder with teacher, student and quantized; default: random weights",
    )
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    run = start(
        RuntimeParams(
            device="auto",
            precision="float32",
            threads=options.threads,
            kernels="native",
        )
    )
    if options.models is not None:
        table(options.models, calls=options.calls, threads=options.threads, device=run.device)
        return
    with tempfile.TemporaryDirectory() as name:
        build(Path(name), run.device)
        table(Path(name), calls=options.calls, threads=options.threads, device=run.device)


if __name__ == "__main__":
    main()
