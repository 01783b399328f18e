"""Portable kernels: what they compute, where they may not be had, and that nobody else changes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
import yaml

from helpers.paths import ROOT, SRC
from minnow.core import kernels
from minnow.core.params import RuntimeParams, validated
from minnow.errors import MinnowError

COMPARE = """
import torch
generator = torch.Generator().manual_seed(0)
def draw(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=generator).to(dtype)
shapes = [((7, 64), (64, 5)), ((1, 3), (3, 1)), ((4, 7, 16), (4, 16, 9)), ((0, 3), (3, 2))]
pairs = [(draw(*a, dtype=d), draw(*b, dtype=d)) for a, b in shapes
         for d in (torch.float32, torch.float64, torch.bfloat16)]
pairs += [(b.transpose(-1, -2), a.transpose(-1, -2)) for a, b in pairs]
def results():
    found = [a @ b for a, b in pairs]
    for a, b in pairs:
        add = torch.baddbmm if a.dim() == 3 else torch.addmm
        bias = torch.ones(b.shape[-1], dtype=a.dtype)
        found += [add(bias, a, b), add(bias, a, b, beta=0.5, alpha=2.0), add(bias, a, b, beta=0)]
    layer = torch.nn.Linear(64, 5)
    with torch.no_grad():
        layer.weight.fill_(0.5), layer.bias.fill_(1.0)
    value = layer(pairs[0][0]).square().sum()
    value.backward()
    return found + [value.detach(), layer.weight.grad, layer.bias.grad]
import numpy
calls, matmul = [], numpy.matmul
numpy.matmul = lambda *arrays: calls.append(len(arrays)) or matmul(*arrays)
before = results()
assert not calls
from minnow.core import kernels
kernels.install(2), kernels.install(2)
after = results()
# the products and sums above, and the layer's: once forwards, once backwards
assert len(calls) == 4 * len(pairs) + 2, (len(calls), len(pairs))
for old, new in zip(before, after, strict=True):
    assert old.dtype == new.dtype and old.shape == new.shape, (old, new)
    near = 1e-2 if old.dtype == torch.bfloat16 else 1e-5
    assert torch.allclose(old.float(), new.float(), rtol=near, atol=near), (old, new)
print("same")
"""


def test_the_products_are_the_same_but_for_rounding() -> None:
    """Of vectors, matrices and batches, transposed or not, with what is added, and backwards."""
    environment = {**os.environ, **kernels.VARIABLES, "PYTHONPATH": str(SRC)}
    done = subprocess.run(
        [sys.executable, "-c", COMPARE], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "same\n", "")


@pytest.mark.parametrize("installed", [True, False])
def test_four_bit_layers_take_no_way_of_their_own(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bitsandbytes marks layers for a kernel that only some CPUs have."""
    monkeypatch.setattr(kernels, "_installed", ["library"] if installed else [])
    layer = bitsandbytes.nn.Linear4bit(64, 32)
    layer.support_avx512bf16_for_cpu = True
    kernels.hold_back(torch.nn.Sequential(layer, torch.nn.LayerNorm(32)))
    assert layer.support_avx512bf16_for_cpu != installed


def test_without_its_variables_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    with pytest.raises(MinnowError, match=r"python src/stage\.py STAGE.*kernels to native"):
        kernels.install(1)


def test_another_architecture_is_told_and_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    kernels.install(1)
    assert "this is aarch64, whose results are its own" in capsys.readouterr().err


@pytest.mark.parametrize(("chosen", "wanted"), [("portable", True), ("native", False)])
def test_variables_are_set_for_the_preset_that_asks(
    chosen: str, wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["presets"]["embedded"]["runtime"]["kernels"] = chosen
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    kernels.prepare_kernels(tmp_path)
    assert environment == (kernels.VARIABLES if wanted else {})


@pytest.mark.parametrize("text", [None, "a: [", "preset: nowhere"])
def test_params_that_cannot_be_read_set_nothing(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "params.yaml").write_text(text)
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    kernels.prepare_kernels(tmp_path)
    assert environment == {}


def test_portable_kernels_are_for_cpus() -> None:
    block: dict[str, Any] = {"precision": "float32", "threads": 2, "kernels": "portable"}
    for device in ("cpu", "auto"):
        validated(RuntimeParams, {"device": device, **block}, "runtime")
    with pytest.raises(MinnowError, match="kernels 'portable' are for CPUs"):
        validated(RuntimeParams, {"device": "cuda", **block}, "runtime")
