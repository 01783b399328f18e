"""Seeds, threads, device and precision: the only module that touches global state."""

import functools
import logging
import platform
import random
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minnow.core import kernels
from minnow.core.params import Precision, RuntimeParams
from minnow.errors import MinnowError, tell

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# A product of the size that a batch of texts has in a model of BERT's width.
PRODUCT = (512, 768, 768)
# For how long each dtype is tried, twice.
TRIAL_SECONDS = 0.05
# How many times as fast bfloat16 must be: it costs digits, and timings are noisy.
CLEARLY = 1.2


@dataclass(frozen=True)
class Runtime:
    """The device that models run on and the dtype that they compute in."""

    device: torch.device
    dtype: torch.dtype
    measured: bool = False  # whether the dtype was chosen here, for its speed

    @property
    def mixed(self) -> bool:
        """Whether weights are kept in float32 beside a working copy in 16 bits."""
        return self.dtype != torch.float32

    @property
    def facts(self) -> dict[str, str]:
        """What a manifest must say of how its model was computed: a dtype that nobody asked for."""
        return {"precision": str(self.dtype).removeprefix("torch.")} if self.measured else {}


def start(params: RuntimeParams, *, seed: int = 0) -> Runtime:
    """Seed every generator, set threads and determinism, quieten libraries, and choose device and
    dtype.

    Raises:
        MinnowError: CUDA is asked for and there is none, or float16 and there is only a CPU.
    """
    if params.device == "cuda" and not torch.cuda.is_available():
        raise MinnowError(
            "runtime.device is 'cuda' and torch sees no GPU; use 'auto' or 'cpu', or install a CUDA"
            " build"
        )
    cuda = params.device != "cpu" and params.kernels == "native" and torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    if params.precision == "float16" and not cuda:
        raise MinnowError(
            "runtime.precision is 'float16' and the device is a CPU, which has no fast float16; use"
            " 'float32', 'bfloat16' or 'auto', or a GPU with kernels 'native'"
        )
    _quieten()
    if params.kernels == "portable":
        kernels.install(params.threads)
    if params.threads is not None:
        torch.set_num_threads(params.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    random.seed(seed)
    np.random.seed(seed)  # libraries read the global generator
    torch.manual_seed(seed)
    if cuda:
        # Under `warn_only` the fused kernels' backward passes stay non-deterministic. cuDNN's takes
        # half a second as well for each new length of a batch (measured on an H100).
        torch.backends.cuda.enable_cudnn_sdp(False)
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
    return Runtime(device, choose_dtype(params.precision, device), params.precision == "auto")


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype that `precision` asks for; `auto` takes the one that is clearly faster."""
    if precision == "auto":
        return faster_dtype(device.type)
    return DTYPES[precision]


@functools.cache
def faster_dtype(device_type: str) -> torch.dtype:
    """Return the dtype whose matrix products are clearly faster than float32's, if there is one.

    A CPU is tried, since one that has bfloat16 instructions may still be slower with them than
    CLEARLY. Of a GPU the generation decides: bfloat16 where it has it (compute capability 8.0 and
    later), else float16 where it is fast (7.0 and later).
    """
    if device_type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        fast = torch.cuda.get_device_capability() >= (7, 0)
        return torch.float16 if fast else torch.float32
    dtypes = (torch.float32, torch.bfloat16)
    rates = [max(pair) for pair in zip(*(map(product_rate, dtypes) for _ in range(2)), strict=True)]
    chosen = torch.bfloat16 if rates[1] >= CLEARLY * rates[0] else torch.float32
    tell(
        f"precision auto: {str(chosen).removeprefix('torch.')} (matrix products here:"
        f" {rates[0]:.0f} GFLOP/s in float32, {rates[1]:.0f} in bfloat16)"
    )
    return chosen


def product_rate(dtype: torch.dtype) -> float:
    """Return how fast this CPU multiplies two matrices of PRODUCT's sizes, in GFLOP/s."""
    rows, inner, columns = PRODUCT
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(inner, columns, dtype=dtype)
    torch.mm(left, right)  # the first one pays for what is set up once
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < TRIAL_SECONDS or not done:
        torch.mm(left, right)
        done += 1
    took = time.perf_counter() - began
    return 2e-9 * rows * inner * columns * done / took


def cpu_features() -> dict[str, bool]:
    """Return which of the instruction sets that decide our speed this CPU has."""
    return {
        "avx2": torch.cpu._is_avx2_supported(),
        "avx512": torch.cpu._is_avx512_supported(),
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
    }


def machine() -> str:
    """Return in one line what a timing was measured on: processor, threads, instruction sets, GPU,
    torch.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    features = [name for name, present in cpu_features().items() if present]
    gpu = [torch.cuda.get_device_name()] if torch.cuda.is_available() else []
    threads = f"{torch.get_num_threads()} threads"
    return ", ".join(
        [
            names[0] if names else platform.machine(),
            threads,
            *features,
            *gpu,
            f"torch {torch.__version__}",
        ]
    )


def random_state() -> dict[str, torch.Tensor]:
    """Return the state of the generators that dropout draws from, for a checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, torch.Tensor]) -> None:
    """Put the generators back where `random_state` saw them."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _quieten() -> None:
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in ("httpx", "huggingface_hub", "bitsandbytes"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # bitsandbytes warns once per layer and call that it casts to float16: int8 asks for just that.
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    # deterministic algorithms: what has none on CUDA is named in the documents, not on every call
    warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")


def versions() -> dict[str, Any]:
    """Return the versions of the libraries that decide the numbers."""
    import bitsandbytes
    import transformers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "bitsandbytes": bitsandbytes.__version__,
    }
