"""Matrix products that give the same bytes on every x86-64 CPU with AVX2.

What differs from CPU to CPU is which kernels libraries choose for it. ATen, oneDNN and numpy can
be held to AVX2 by variables. MKL, which torch multiplies matrices with, has one set of kernels that
is the same for Intel and AMD, and it is half as fast. So with `runtime.kernels: portable` torch's
matrix products are numpy's: its OpenBLAS has AVX2 kernels whose sums go in one order, whatever the
sizes of the caches. What torch still asks of MKL is left to that common set.

bfloat16 products are sums in float32 of exact products, rounded at the end, as bfloat16 hardware
has it.
"""

import os
import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.core import params
from minnow.errors import MinnowError, warn

if TYPE_CHECKING:
    from torch import Tensor

# To be set before torch and numpy are imported, which read them once.
VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"
    " AVX512_SPR",
}
X86_64 = ("x86_64", "AMD64")
# What a process has installed already: torch keeps a kernel as long as its library lives.
_installed: list[Any] = []


def prepare_kernels(root: Path) -> None:
    """Set the variables that portable kernels need, if params.yaml asks for them.

    A params.yaml that cannot be read sets nothing: the stage itself says what is wrong with it.
    """
    try:
        document = params.read_params(root / "params.yaml")
        preset = params.active_preset(document)
        chosen = params.pick(document, f"presets.{preset}.runtime.kernels")
    except MinnowError:
        return
    if chosen == "portable" and platform.machine() in X86_64:
        os.environ.update(VARIABLES)


def install(threads: int | None) -> None:
    """Take torch's matrix products on the CPU over, for the rest of this process.

    Raises:
        MinnowError: torch or numpy was imported before the variables were set.
    """
    if platform.machine() not in X86_64:
        warn(
            "runtime.kernels: portable is the same on every x86-64 CPU; this is"
            f" {platform.machine()}, whose results are its own"
        )
        return
    if any(os.environ.get(name) != value for name, value in VARIABLES.items()):
        raise MinnowError(
            "runtime.kernels 'portable' needs variables that must stand before torch is imported;"
            " run `python src/stage.py STAGE`, or set runtime.kernels to native"
        )
    if _installed:
        return
    import torch
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads, user_api="blas")
    # The fused attention kernels multiply on their own; what they are made of is taken over.
    torch.backends.cuda.enable_flash_sdp(False)
    torch.backends.cuda.enable_mem_efficient_sdp(False)
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="(?s).*verriding a previously registered kernel")
        for name in ("mm", "bmm"):
            library.impl(name, product, "CPU", allow_override=True)
        for name in ("addmm", "baddbmm"):
            library.impl(name, sum_with_product, "CPU", allow_override=True)
    _installed.append(library)


def product(left: "Tensor", right: "Tensor") -> "Tensor":
    """Return left @ right, of (m, k) and (k, n), or of (batch, m, k) and (batch, k, n)."""
    return _product(left, right).to(left.dtype)


def sum_with_product(
    added: "Tensor", left: "Tensor", right: "Tensor", *, beta: float = 1, alpha: float = 1
) -> "Tensor":
    """Return beta · added + alpha · left @ right, rounded once."""
    result = _product(left, right)
    if alpha != 1:
        result *= alpha
    if beta != 0:
        result += added if beta == 1 else beta * added
    return result.to(left.dtype)


def _product(left: "Tensor", right: "Tensor") -> "Tensor":
    import numpy as np
    import torch

    exact = (torch.float32, torch.float64)
    arrays = [
        (factor if factor.dtype in exact else factor.float()).detach().numpy()
        for factor in (left, right)
    ]
    return torch.from_numpy(np.matmul(*arrays))


def hold_back(model: Any) -> None:
    """Let 4-bit layers dequantize and multiply on every CPU, also where bitsandbytes has a kernel
    of its own for AVX512-BF16.
    """
    if _installed:
        for module in model.modules():
            if hasattr(module, "support_avx512bf16_for_cpu"):
                module.support_avx512bf16_for_cpu = False
