"""Seeds, precision and device."""

import random

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
        {"device": "cpu", "precision": "float32", "threads": 1, **changes}
    )


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_start_seeds_every_generator_with_0_too() -> None:
    def seeded(seed: int) -> tuple[float, float, float]:
        start(params(), seed=seed)
        return draws()

    assert seeded(0) == seeded(0)
    assert all(a != b for a, b in zip(seeded(0), seeded(1), strict=True))


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


@pytest.mark.parametrize(
    ("precision", "native", "dtype"),
    [
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
    ],
)
def test_precision(
    precision: Precision, native: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "has_bfloat16", lambda device: native)
    chosen = Runtime(CPU, choose_dtype(precision, CPU))
    assert chosen.dtype == dtype
    assert chosen.mixed == (dtype == torch.bfloat16)


@pytest.mark.parametrize(("avx512", "amx"), [(True, False), (False, True), (False, False)])
def test_bfloat16_needs_hardware(avx512: bool, amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert runtime.has_bfloat16(CPU) == (avx512 or amx)
    features = runtime.cpu_features()
    assert (features["avx512_bf16"], features["amx_bf16"]) == (avx512, amx)


def test_random_state_goes_back_to_where_it_was() -> None:
    state = random_state()
    first = torch.nn.functional.dropout(torch.ones(100))
    restore_random_state(state)
    assert torch.equal(torch.nn.functional.dropout(torch.ones(100)), first)
    assert not torch.equal(torch.nn.functional.dropout(torch.ones(100)), first)


def test_versions_name_the_libraries_that_decide_the_numbers() -> None:
    assert runtime.versions()["torch"] == torch.__version__
