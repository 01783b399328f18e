"""Seeds, precision and device."""

import random
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from minnow.core import runtime
from minnow.core.params import Precision, RuntimeParams
from minnow.core.runtime import Runtime, choose_dtype, random_state, restore_random_state, start
from minnow.errors import MinnowError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _global_state() -> object:
    """Put back what `start` changes."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def params(**changes: object) -> RuntimeParams:
    return RuntimeParams.model_validate(
        {"device": "cpu", "precision": "float32", "threads": 1, "kernels": "native", **changes}
    )


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_start_seeds_every_generator_with_0_too() -> None:
    def seeded(seed: int) -> tuple[float, float, float]:
        start(params(), seed=seed)
        return draws()

    assert seeded(0) == seeded(0)
    assert all(a != b for a, b in zip(seeded(0), seeded(1), strict=True))


def test_on_a_gpu_no_fused_attention_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them has a backward pass that gives other bytes from run to run."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    flags = torch.backends.cuda
    switches = (flags.enable_flash_sdp, flags.enable_mem_efficient_sdp, flags.enable_cudnn_sdp)
    try:
        assert start(params(device="auto")).device.type == "cuda"
        assert flags.math_sdp_enabled()
        enabled = flags.flash_sdp_enabled, flags.mem_efficient_sdp_enabled, flags.cudnn_sdp_enabled
        assert not any(call() for call in enabled)
    finally:
        for switch in switches:
            switch(True)


def test_start_sets_threads_and_determinism() -> None:
    torch.use_deterministic_algorithms(False)
    assert start(params(threads=1)) == Runtime(CPU, torch.float32)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    start(params(threads=2))
    start(params(threads=None))
    assert torch.get_num_threads() == 2, "null leaves the number alone"


def test_cuda_without_a_gpu_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MinnowError, match=r"torch sees no GPU; use 'auto' or 'cpu'"):
        start(params(device="cuda"))
    assert start(params(device="auto")).device == CPU


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[torch.dtype, list[float]]]:
    """What the trials of a dtype measure, one after the other."""
    measured: dict[torch.dtype, list[float]] = {}
    monkeypatch.setattr(runtime, "product_rate", lambda dtype: measured[dtype].pop(0))
    runtime.faster_dtype.cache_clear()
    yield measured
    runtime.faster_dtype.cache_clear()


@pytest.mark.parametrize(
    ("float32", "bfloat16", "dtype"),
    [
        ([100.0, 100.0], [300.0, 300.0], torch.bfloat16),
        ([100.0, 100.0], [120.0, 90.0], torch.bfloat16),  # the better of two trials counts
        ([100.0, 100.0], [119.0, 119.0], torch.float32),  # not clearly faster
        ([320.0, 273.0], [165.0, 165.0], torch.float32),  # an Intel Xeon with AVX512-BF16
        ([100.0, 100.0], [100.0, 100.0], torch.float32),
    ],
)
def test_auto_takes_what_is_clearly_faster(
    float32: list[float],
    bfloat16: list[float],
    dtype: torch.dtype,
    rates: dict[torch.dtype, list[float]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    rates |= {torch.float32: float32, torch.bfloat16: bfloat16}
    assert choose_dtype("auto", CPU) == dtype
    said = capsys.readouterr().err
    assert f"precision auto: {str(dtype).removeprefix('torch.')}" in said
    assert choose_dtype("auto", CPU) == dtype, "measured once a process"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((6, 1), torch.float32), ((7, 5), torch.float16), ((8, 0), torch.bfloat16)],
    ids=["P40", "T4", "A100"],
)
def test_of_a_gpu_its_generation_decides(
    capability: tuple[int, int],
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
    rates: dict[torch.dtype, list[float]],
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: capability >= (8, 0)
    )
    assert choose_dtype("auto", torch.device("cuda")) == dtype


def test_float16_on_a_cpu_is_one_clear_error() -> None:
    assert choose_dtype("float16", torch.device("cuda")) == torch.float16
    assert Runtime(CPU, torch.float16).mixed
    with pytest.raises(MinnowError, match=r"'float16' and the device is a CPU, .*; use 'float32'"):
        start(params(precision="float16"))


@pytest.mark.parametrize(("precision", "mixed"), [("float32", False), ("bfloat16", True)])
def test_a_precision_that_is_asked_for_is_not_measured(
    precision: Precision, mixed: bool, rates: dict[torch.dtype, list[float]]
) -> None:
    chosen = start(params(precision=precision))
    assert chosen.mixed == mixed
    assert chosen.facts == {}


def test_a_measured_precision_stands_in_the_manifest(rates: dict[torch.dtype, list[float]]) -> None:
    rates |= {torch.float32: [1.0, 1.0], torch.bfloat16: [2.0, 2.0]}
    assert start(params(precision="auto")).facts == {"precision": "bfloat16"}


def test_a_trial_ends_in_time_and_gives_a_rate() -> None:
    began = time.perf_counter()
    assert runtime.product_rate(torch.float32) > 0.1
    assert time.perf_counter() - began < 20


def test_random_state_goes_back_to_where_it_was() -> None:
    state = random_state()
    first = torch.nn.functional.dropout(torch.ones(100))
    restore_random_state(state)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(100)), first)
    assert not torch.equal(torch.nn.functional.dropout(torch.ones(100)), first)


def test_versions_name_the_libraries_that_decide_the_numbers() -> None:
    assert runtime.versions()["torch"] == torch.__version__
