"""A quantized model as one ONNX file, of standard operators alone.

Inputs are `input_ids` and `attention_mask`, int64 of shape (batch, tokens), padded on the right;
the output `logits` is float32 of shape (batch, labels). The numbers stay packed on disk; a runtime
decodes them when it loads the file (`decoding.py`).

`exact` computes in float32. `fast` rounds packed layers to int8 when it is loaded and multiplies
integers: a text's activations then share one scale with all of its batch, so that texts must be
run one by one (`products.py`).
"""

import math
from typing import Literal

import numpy as np
from onnx import helper

from minnow.export import decoding
from minnow.export.classifiers import Encoder, Layer
from minnow.export.nodes import FLOAT, INT64, Nodes
from minnow.export.parts import Norm
from minnow.export.products import Product, exact_product, fast_product

Mode = Literal["exact", "fast"]
IDS, MASK, LOGITS = "input_ids", "attention_mask", "logits"
# What takes padding out of a softmax: exp of it is 0, and it is finite in every number format.
NEVER = -1e9


def onnx_file(encoder: Encoder, mode: Mode) -> bytes:
    """Return the ONNX file of a classifier, the same bytes for the same one."""
    nodes = Nodes()
    graph = _Graph(nodes, encoder, {"exact": exact_product, "fast": fast_product}[mode])
    nodes.op_named("Identity", graph.logits(), output=LOGITS)
    inputs = [
        helper.make_tensor_value_info(name, INT64, ["batch", "tokens"]) for name in (IDS, MASK)
    ]
    output = helper.make_tensor_value_info(LOGITS, FLOAT, ["batch", encoder.labels])
    return nodes.model(inputs, [output])


class _Graph:
    """The classifier's steps, each as nodes; `product` is what a linear layer of the body does."""

    def __init__(self, nodes: Nodes, encoder: Encoder, product: Product) -> None:
        self.nodes, self.encoder, self.product = nodes, encoder, product

    def logits(self) -> str:
        """Add all nodes, and return the logits (batch, labels)."""
        nodes, encoder = self.nodes, self.encoder
        states, padding = self.embedded(), self.padding()
        for place, layer in enumerate(encoder.layers):
            last = place == len(encoder.layers) - 1
            states = self.layer(layer, states, padding, last=last)
        first = nodes.op("Reshape", states, nodes.constant([-1, encoder.width]))
        (hidden,) = exact_product(nodes, first, [encoder.hidden])
        active = nodes.op(encoder.hidden_activation, hidden)
        (logits,) = exact_product(nodes, active, [encoder.head])
        return logits

    def embedded(self) -> str:
        """Return the normed sum of the embeddings, (batch, tokens, width)."""
        nodes, encoder = self.nodes, self.encoder
        words = decoding.decoded_rows(nodes, encoder.words, IDS)
        return self.norm(nodes.op("Add", words, self.position_rows()), encoder.normed)

    def position_rows(self) -> str:
        """Return each token's row of the table of positions, (1 or batch, tokens, width), with the
        row of token types that all have in it.
        """
        nodes, encoder, table = self.nodes, self.encoder, self.position_table()
        if encoder.padding is not None:
            flat = nodes.op("Squeeze", table, nodes.constant([0]))
            return nodes.op("Gather", flat, self.counted_positions(encoder.padding))
        tokens = nodes.op("Slice", nodes.op("Shape", IDS), *map(nodes.constant, ([1], [2])))
        return nodes.op("Slice", table, nodes.constant([0]), tokens, nodes.constant([1]))

    def position_table(self) -> str:
        """Return the table of positions, (1, rows, width). It is small: it is decoded as a whole
        when the graph is loaded.
        """
        nodes, encoder = self.nodes, self.encoder
        every = nodes.constant(np.arange(encoder.positions.shape[0])[None])
        table = decoding.decoded_rows(nodes, encoder.positions, every)
        if encoder.types is None:
            return table
        types = decoding.decoded_floats(nodes, encoder.types)
        return nodes.op("Add", table, nodes.op("Gather", types, nodes.constant(np.int64(0))))

    def counted_positions(self, padding: int) -> str:
        """Return RoBERTa's positions, counted behind the padding token's id, which padding itself
        keeps.
        """
        nodes, start = self.nodes, self.nodes.constant(np.int64(padding))
        real = nodes.op("Cast", nodes.op("Not", nodes.op("Equal", IDS, start)), to=INT64)
        counted = nodes.op("CumSum", real, nodes.constant(np.int64(1)))
        return nodes.op("Add", nodes.op("Mul", counted, real), start)

    def padding(self) -> str:
        """Return what is added to attention scores, (batch, 1, 1, tokens): 0, or NEVER."""
        nodes = self.nodes
        absent = nodes.op("Sub", nodes.constant(1.0), nodes.op("Cast", MASK, to=FLOAT))
        scores = nodes.op("Mul", absent, nodes.constant(NEVER))
        return nodes.op("Unsqueeze", scores, nodes.constant([1, 2]))

    def layer(self, layer: Layer, states: str, padding: str, *, last: bool) -> str:
        """Return a layer's output; of the last one the first token's alone, which the head
        reads.
        """
        nodes = self.nodes
        asking = self.first_token(states) if last else states
        (context,) = self.product(
            nodes, self.attention(layer, states, asking, padding), [layer.context]
        )
        states = self.norm(nodes.op("Add", context, asking), layer.attended)
        (inner,) = self.product(nodes, states, [layer.up])
        (outer,) = self.product(nodes, self.activated(inner), [layer.down])
        return self.norm(nodes.op("Add", outer, states), layer.normed)

    def first_token(self, states: str) -> str:
        first = (self.nodes.constant([end]) for end in (0, 1, 1))
        return self.nodes.op("Slice", states, *first)

    def attention(self, layer: Layer, states: str, asking: str, padding: str) -> str:
        """Return what each token of `asking` gets of the values, (batch, its tokens, width)."""
        nodes = self.nodes
        if asking == states:
            three = self.product(nodes, states, [layer.query, layer.key, layer.value])
        else:
            three = self.product(nodes, asking, [layer.query])
            three = [*three, *self.product(nodes, states, [layer.key, layer.value])]
        orders = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        query, key, value = map(self.by_head, three, orders)
        scale = nodes.constant(1 / math.sqrt(self.encoder.width // self.encoder.heads))
        scores = nodes.op("Mul", nodes.op("MatMul", query, key), scale)
        shares = nodes.op("Softmax", nodes.op("Add", scores, padding), axis=-1)
        mixed = nodes.op("Transpose", nodes.op("MatMul", shares, value), perm=[0, 2, 1, 3])
        return nodes.op("Reshape", mixed, nodes.constant([0, 0, self.encoder.width]))

    def by_head(self, states: str, order: list[int]) -> str:
        """Return (batch, tokens, width) as (batch, tokens, heads, width of one), in an order."""
        heads = self.encoder.heads
        shape = self.nodes.constant([0, 0, heads, self.encoder.width // heads])
        return self.nodes.op("Transpose", self.nodes.op("Reshape", states, shape), perm=order)

    def activated(self, inner: str) -> str:
        """Return GELU by the error function, or ReLU."""
        nodes = self.nodes
        if self.encoder.activation == "relu":
            return nodes.op("Relu", inner)
        scaled = nodes.op("Div", inner, nodes.constant(math.sqrt(2)))
        share = nodes.op("Add", nodes.op("Erf", scaled), nodes.constant(1.0))
        return nodes.op("Mul", nodes.op("Mul", inner, share), nodes.constant(0.5))

    def norm(self, states: str, norm: Norm) -> str:
        parts = (decoding.decoded_floats(self.nodes, each) for each in (norm.weight, norm.bias))
        return self.nodes.op(
            "LayerNormalization", states, *parts, axis=-1, epsilon=self.encoder.epsilon
        )
