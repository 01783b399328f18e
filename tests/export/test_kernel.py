"""The page's kernel: WebAssembly and native code give the same bits, and those are a quantized
model's numbers.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from helpers.quantized import quantized_folder, student, with_adapters
from helpers.v8 import V8
from minnow.export.classifiers import Encoder, encoder_of
from minnow.export.packed import read_packed
from minnow.export.page import weights
from minnow.export.page.building import HERE, KERNEL
from minnow.export.reference import Reference

LONGEST = 32
SOURCE = HERE / "kernel.c"
# One order for each sum, as in build_kernel.sh.
NATIVE = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC")
PROCESSORS = ("x86-64", "x86-64-v3")
STORED: dict[str, dict[str, Any]] = {
    "nf4": {},
    "nf4 with plain scales": {"double": False},
    "fp4, tables int8": {"scheme": "fp4", "tables": "int8"},
    "int8, float tables": {"scheme": "int8", "tables": "none"},
}
Make = Callable[..., Encoder]


def tool(*names: str) -> str:
    """Return a compiler's path; skip the test without all of these, or fail it where they are
    demanded.
    """
    if missing := [name for name in names if shutil.which(name) is None]:
        demanded = os.environ.get("MINNOW_REQUIRE_CLANG")
        say = f"{', '.join(missing)} missing: apt-get install clang lld gcc"
        (pytest.fail if demanded else pytest.skip)(say)
    return str(shutil.which(names[0]))


@pytest.fixture(scope="module")
def make(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what makes a quantized model of a kind."""
    root = tmp_path_factory.mktemp("models")

    def model(kind: str, *, adapted: bool = False, **stored: Any) -> Encoder:
        torch.manual_seed(0)
        name = root / f"{kind}{len(list(root.iterdir()))}"
        source = student(kind, tokenizer, root / f"{name}_student")
        folder = quantized_folder(source, root / f"{name}_packed", **stored)
        if adapted:
            folder = with_adapters(folder, source, root / f"{name}_adapted")
        return encoder_of(read_packed(folder))

    return model


def drawn_texts(encoder: Encoder, *, rows: int = 12) -> list[list[int]]:
    """Return token ids of every length from one token to the longest, padding among them."""
    random, words = np.random.default_rng(0), encoder.words.shape[0]
    lengths = [1, 2, 3, 4, 5, LONGEST, *random.integers(1, LONGEST + 1, rows - 6)]
    return [random.integers(0, words, length).tolist() for length in lengths]


class Native:
    """kernel.c as this machine's own code."""

    def __init__(self, library: Path, packed: bytes) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.need.restype = self.library.setup.restype = ctypes.c_long
        self.packed = np.frombuffer(packed, np.uint8).copy()
        self.room = np.zeros(max(1, self.library.need(_at(self.packed))), np.float32)
        self.read = self.library.setup(_at(self.packed), _at(self.room))

    def logits(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        out = np.zeros((len(texts), 2), np.float32)
        for row, text in zip(out, texts, strict=True):
            ids = np.array(text, np.int32)
            assert self.library.run(_at(ids), len(ids), _at(row)) == 0
        return out


def _at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Native]:
    """Return what makes the kernel for one of PROCESSORS; each is compiled once."""
    folder = tmp_path_factory.mktemp("native")

    def kernel(packed: bytes, processor: str = PROCESSORS[0]) -> Native:
        out = folder / f"{processor}.so"
        command = [tool("gcc"), *NATIVE, f"-march={processor}", "-o", str(out), str(SOURCE)]
        if not out.exists():
            subprocess.run(command, check=True)
        alone = shutil.copy(out, folder / f"{len(list(folder.iterdir()))}.so")  # state of its own
        return Native(Path(alone), packed)

    return kernel


def wasm_logits(encoder: Encoder, texts: Sequence[Sequence[int]]) -> np.ndarray:
    engine = V8()
    engine.load_kernel(weights.kernel_bytes(encoder, longest=LONGEST), LONGEST)
    return engine.logits(texts)


def largest_error(found: np.ndarray, encoder: Encoder, texts: Sequence[Sequence[int]]) -> float:
    """Return the largest |logit − float64| / max(1, |float64|)."""
    reference = Reference(encoder)
    exact = np.array([reference.logits(np.array(ids)) for ids in texts])
    return float((np.abs(found - exact) / np.maximum(1, np.abs(exact))).max())


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_the_kernel_computes_the_numbers_of_every_architecture(make: Make, kind: str) -> None:
    encoder = make(kind)
    texts = drawn_texts(encoder)
    found = wasm_logits(encoder, texts)
    assert largest_error(found, encoder, texts) <= 1e-5
    assert np.ptp(found) > 0.1, "the texts must differ"


@pytest.mark.parametrize("stored", STORED)
def test_the_kernel_reads_every_format(make: Make, stored: str) -> None:
    encoder = make("bert", **STORED[stored])
    texts = drawn_texts(encoder)
    assert largest_error(wasm_logits(encoder, texts), encoder, texts) <= 1e-5


def test_the_kernel_adds_adapters(make: Make) -> None:
    encoder = make("bert", adapted=True)
    plain = replace(encoder, layers=tuple(_without_adapters(each) for each in encoder.layers))
    texts = drawn_texts(encoder)
    found = wasm_logits(encoder, texts)
    assert largest_error(found, encoder, texts) <= 1e-5
    assert np.abs(found - wasm_logits(plain, texts)).max() > 1e-3


def _without_adapters(layer: Any) -> Any:
    names = ("query", "key", "value", "context", "up", "down")
    return replace(layer, **{name: replace(getattr(layer, name), adapter=None) for name in names})


def test_relu_in_place_of_gelu(make: Make) -> None:
    encoder = replace(make("bert"), activation="relu")
    texts = drawn_texts(encoder)
    assert largest_error(wasm_logits(encoder, texts), encoder, texts) <= 1e-5


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta"])
def test_native_code_and_webassembly_give_the_same_bits(
    make: Make, kind: str, native: Callable[..., Native]
) -> None:
    encoder = make(kind)
    texts = drawn_texts(encoder, rows=40)
    packed, expected = weights.kernel_bytes(encoder, longest=LONGEST), wasm_logits(encoder, texts)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    for processor in PROCESSORS if "avx2" in flags and "fma" in flags else PROCESSORS[:1]:
        kernel = native(packed, processor)
        assert kernel.read == len(packed)
        assert kernel.logits(texts).tobytes() == expected.tobytes(), processor


def test_the_committed_bytes_are_those_of_the_source(make: Make, tmp_path: Path) -> None:
    compiler = tool("clang", "wasm-ld")
    built = tmp_path / KERNEL
    subprocess.run([str(HERE / "build_kernel.sh"), str(built)], check=True)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    if re.search(r"\b14\.", version):
        assert built.read_bytes() == (HERE / KERNEL).read_bytes(), "run build_kernel.sh"
    encoder = make("distilbert")
    texts = drawn_texts(encoder)
    engine = V8()
    packed = weights.kernel_bytes(encoder, longest=LONGEST)
    engine.load_kernel(packed, LONGEST, built.read_bytes())
    assert engine.logits(texts).tobytes() == wasm_logits(encoder, texts).tobytes()


def test_the_digest_beside_the_kernel_is_its_own() -> None:
    digest, name = (HERE / f"{KERNEL}.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256((HERE / KERNEL).read_bytes()).hexdigest(), KERNEL)
    assert (HERE / KERNEL).stat().st_size < 25_000


def test_the_kernel_refuses_what_it_cannot_read(make: Make, native: Callable[..., Native]) -> None:
    encoder = make("bert")
    packed = weights.kernel_bytes(encoder, longest=LONGEST)
    library = native(packed).library
    out = np.zeros(2, np.float32)
    for ids in ([], [0] * (LONGEST + 1), [encoder.words.shape[0]], [-1]):
        array = np.array(ids, np.int32)
        assert library.run(_at(array), len(ids), _at(out)) == -1, ids
    for damage in (b"\0\0\0\0" + packed[4:], packed[:4] + b"\x01\0\0\0" + packed[8:]):
        wrong = np.frombuffer(damage, np.uint8).copy()
        assert library.need(_at(wrong)) == library.setup(_at(wrong), None) == -1


def test_weights_that_are_cut_off_are_named(make: Make) -> None:
    packed = weights.kernel_bytes(make("bert"), longest=LONGEST)
    with pytest.raises(Exception, match="weights in this page are damaged"):
        V8().load_kernel(packed + bytes(4), LONGEST)


# --- What the kernel's functions are near ---------------------------------------------------------

PROBE = """
#include "{source}"
EXPORT void probe(const float *x, float *y, int count, int which) {{
  for (int i = 0; i < count; i += 4) {{
    v4 a = *(const v4 *)(x + i);
    *(v4 *)(y + i) = which == 0 ? exponential(a) : which == 1 ? error_function(a)
                                                              : hyperbolic_tangent(a);
  }}
}}
EXPORT float half(unsigned short bits) {{ return from_half(bits); }}
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.c").write_text(PROBE.format(source=SOURCE))
    out = folder / "probe.so"
    command = [tool("gcc"), *NATIVE, "-o", str(out), str(folder / "probe.c")]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(out))


def test_exponential_error_function_and_tangent(probe: ctypes.CDLL) -> None:
    from scipy.special import erf

    x = np.linspace(-12, 12, 400_000, dtype=np.float32)
    for which, exact, limit in ((0, np.exp, 2e-7), (1, erf, 1.5e-7), (2, np.tanh, 1.5e-7)):
        asked = -np.abs(x) * 7 if which == 0 else x
        found = np.zeros_like(x)
        probe.probe(_at(asked), _at(found), len(x), which)
        wanted = exact(asked.astype(np.float64))
        scale = wanted if which == 0 else 1
        assert np.abs((found - wanted) / scale).max() <= limit, which


def test_every_half_is_read(probe: ctypes.CDLL) -> None:
    probe.half.restype = ctypes.c_float
    bits = np.arange(1 << 16, dtype=np.uint16)
    halves = bits.view(np.float16)
    finite = np.isfinite(halves)
    found = np.array([probe.half(int(each)) for each in bits[finite]], np.float32)
    assert found.tobytes() == halves[finite].astype(np.float32).tobytes()
