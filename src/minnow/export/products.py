"""What a linear layer does in a graph: in float32, or in integers.

Layers that read the same states are computed in one product, their weights one below the other.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from minnow.export import decoding
from minnow.export.nodes import FLOAT, INT8, Nodes
from minnow.export.parts import FloatPart, Linear

# What int8 weights reach, of 127. Processors that add two products of bytes in 16 bits, as those
# with AVX2 alone do, would cut off sums beyond 32,767: 255 · 63 · 2 stays below, so that all of
# them give the same integers.
REACH = 63
# Keeps the scale of a row of zeros above 0.
LEAST = np.float32(1e-30)


class Product(Protocol):
    """Adds nodes that compute some layers of the same states, and returns each one's output."""

    def __call__(self, nodes: Nodes, states: str, layers: Sequence[Linear]) -> list[str]: ...


def exact_product(nodes: Nodes, states: str, layers: Sequence[Linear]) -> list[str]:
    """Multiply in float32."""
    weight = nodes.op("Transpose", _stacked_weight(nodes, layers), perm=[1, 0])
    return _with_bias(nodes, nodes.op("MatMul", states, weight), layers)


def fast_product(nodes: Nodes, states: str, layers: Sequence[Linear]) -> list[str]:
    """Multiply int8 weights, with a scale for each output, by uint8 activations, with one scale for
    all; layers that are stored as floats, because they matter most, are multiplied as such.
    """
    if any(isinstance(layer.weight, FloatPart) for layer in layers):
        return [_alone(nodes, states, layer) for layer in layers]
    codes, steps = _rounded(nodes, _stacked_weight(nodes, layers))
    read, step, zero = nodes.ops("DynamicQuantizeLinear", states, outputs=3)
    whole = nodes.op("MatMulInteger", read, codes, zero)
    scaled = nodes.op("Mul", nodes.op("Cast", whole, to=FLOAT), nodes.op("Mul", step, steps))
    return _with_bias(nodes, scaled, layers)


def _alone(nodes: Nodes, states: str, layer: Linear) -> str:
    product = exact_product if isinstance(layer.weight, FloatPart) else fast_product
    return product(nodes, states, [layer])[0]


def _rounded(nodes: Nodes, weight: str) -> tuple[str, str]:
    """Return a weight (outputs, inputs) as int8 codes (inputs, outputs) and steps (outputs,)."""
    largest = nodes.op("ReduceMax", nodes.op("Abs", weight), axes=[1], keepdims=1)
    above = nodes.op("Max", largest, nodes.constant(LEAST))
    steps = nodes.op("Div", above, nodes.constant(float(REACH)))
    codes = nodes.op("Cast", nodes.op("Round", nodes.op("Div", weight, steps)), to=INT8)
    flat = nodes.op("Reshape", steps, nodes.constant([-1]))
    return nodes.op("Transpose", codes, perm=[1, 0]), flat


def _stacked_weight(nodes: Nodes, layers: Sequence[Linear]) -> str:
    return _stacked(nodes, [decoding.whole_weight(nodes, layer) for layer in layers])


def _stacked(nodes: Nodes, values: Sequence[str]) -> str:
    return values[0] if len(values) == 1 else nodes.op("Concat", *values, axis=0)


def _with_bias(nodes: Nodes, product: str, layers: Sequence[Linear]) -> list[str]:
    """Add the biases, and return each layer's part."""
    bias = _stacked(nodes, [decoding.decoded_floats(nodes, layer.bias) for layer in layers])
    whole = nodes.op("Add", product, bias)
    if len(layers) == 1:
        return [whole]
    sizes = nodes.constant([layer.weight.shape[0] for layer in layers])
    return nodes.ops("Split", whole, sizes, outputs=len(layers), axis=-1)
