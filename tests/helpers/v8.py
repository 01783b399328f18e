"""The page's own scripts and kernel in Python: V8, as in Chromium, without a browser."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from py_mini_racer import MiniRacer

from minnow.export.page.building import HERE, KERNEL, as_base64, library

RUN = """
const bits = (numbers) => Array.from(new Uint32Array(new Float32Array(numbers).buffer));
const instance = (wasm) => new WebAssembly.Instance(new WebAssembly.Module(wasm), {}).exports;
"""


class V8:
    """A JavaScript engine that has read the page's library."""

    def __init__(self) -> None:
        self.context = MiniRacer()
        self.context.eval(f"{library()}\n{RUN};0")

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        return json.loads(str(self.context.eval(f"JSON.stringify({script})")))

    def give(self, name: str, value: Any) -> None:
        """Make a value known to the scripts by a name."""
        self.context.eval(f"globalThis.{name} = {json.dumps(value)};0")

    def each(self, script: str, values: Sequence[Any]) -> list[Any]:
        """Return what a script, in which `x` is a value and `i` its place, makes of each."""
        found: list[Any] = self.run(f"({json.dumps(list(values))}).map((x, i) => {script})")
        return found

    def load_kernel(self, weights: bytes, longest: int, wasm: bytes | None = None) -> None:
        """Make the kernel with these weights, of the committed bytes or others."""
        wasm = (HERE / KERNEL).read_bytes() if wasm is None else wasm
        self.give("given", {"wasm": as_base64(wasm), "weights": as_base64(weights)})
        self.context.eval(
            "globalThis.kernel = new Kernel(instance(bytesOfBase64(given.wasm)),"
            f" bytesOfBase64(given.weights), {longest});0"
        )

    def logits(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Return the kernel's logits (rows, 2) of token ids, to the bit."""
        rows = self.each("bits(kernel.logits(x))", [list(map(int, ids)) for ids in texts])
        return np.array(rows, np.uint32).view(np.float32)
