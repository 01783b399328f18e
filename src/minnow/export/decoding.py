"""Stored parts as nodes that decode them: what is on disk in 4 bits is in the graph in 4 bits, and
a runtime computes the float32 numbers when it loads the graph.

Each function computes what `parts.py` does for the same part, in the same steps.
"""

import numpy as np

from minnow.export.nodes import FLOAT, INT32, Nodes
from minnow.export.parts import (
    STEPS,
    Array,
    DoubleScales,
    EightBitRows,
    EightBits,
    FloatPart,
    FourBitRows,
    FourBits,
    Linear,
    Table,
    pairs_of,
)

# The code of zero in NF4, twice: what a row is filled up with to whole blocks.
ZEROS = 0x77


def decoded_floats(nodes: Nodes, part: FloatPart) -> str:
    """Return stored floats as float32."""
    if part.values.dtype == np.float32:
        return nodes.constant(part.values)
    bits = part.values.dtype == np.uint16
    stored = nodes.bfloat16(part.values) if bits else nodes.constant(part.values)
    return nodes.op("Cast", stored, to=FLOAT)


def whole_weight(nodes: Nodes, layer: Linear) -> str:
    """Return a layer's whole weight, (outputs, inputs), its adapter added."""
    plain = decoded_weight(nodes, layer.weight)
    if layer.adapter is None:
        return plain
    b, a = decoded_floats(nodes, layer.adapter.b), decoded_floats(nodes, layer.adapter.a)
    added = nodes.op("Mul", nodes.op("MatMul", b, a), nodes.constant(layer.adapter.scale))
    return nodes.op("Add", plain, added)


def decoded_weight(nodes: Nodes, part: FloatPart | FourBits | EightBits) -> str:
    """Return the float32 numbers that a layer's weight stands for."""
    match part:
        case FloatPart():
            return decoded_floats(nodes, part)
        case FourBits():
            return _four_bits(nodes, part)
        case EightBits():
            codes = nodes.op("Cast", nodes.constant(part.codes), to=FLOAT)
            steps = (part.absmax / np.float32(STEPS))[:, None]
            return nodes.op("Mul", codes, nodes.constant(steps))


def _four_bits(nodes: Nodes, part: FourBits) -> str:
    pairs = _pairs(nodes, nodes.constant(part.codes), part.book)
    blocks = nodes.op("Reshape", pairs, nodes.constant([-1, part.block]))
    scales = nodes.op("Reshape", _scales(nodes, part.scales), nodes.constant([-1, 1]))
    return nodes.op("Reshape", nodes.op("Mul", blocks, scales), nodes.constant(part.shape))


def _pairs(nodes: Nodes, codes: str, book: Array) -> str:
    """Return the two numbers of each byte of `codes`, along a last axis of their own."""
    places = nodes.op("Cast", codes, to=INT32)
    return nodes.op("Gather", nodes.constant(pairs_of(book)), places)


def _scales(nodes: Nodes, scales: Array | DoubleScales) -> str:
    if not isinstance(scales, DoubleScales):
        return nodes.constant(scales)
    places = nodes.op("Cast", nodes.constant(scales.codes), to=INT32)
    plain = nodes.op("Gather", nodes.constant(scales.book), places)
    each = nodes.constant([len(scales.absmax), scales.group])
    absmax = nodes.op("Expand", nodes.constant(scales.absmax[:, None]), each)
    repeated = nodes.op("Reshape", absmax, nodes.constant([-1]))
    cut = [nodes.constant([end]) for end in (0, len(scales.codes))]
    scaled = nodes.op("Mul", plain, nodes.op("Slice", repeated, *cut))
    return nodes.op("Add", scaled, nodes.constant(scales.offset))


def decoded_rows(nodes: Nodes, table: Table, ids: str) -> str:
    """Return the rows of `ids` (...), shape (..., width): looked up packed, and then decoded."""
    match table:
        case FloatPart():
            return _looked_up(nodes, table, ids)
        case EightBitRows():
            codes, absmax = (
                nodes.op("Cast", nodes.op("Gather", nodes.constant(each), ids), to=FLOAT)
                for each in (table.codes, table.absmax)
            )
            return nodes.op("Mul", codes, nodes.op("Div", absmax, nodes.constant(float(STEPS))))
        case FourBitRows():
            return _four_bit_rows(nodes, table, ids)


def _looked_up(nodes: Nodes, table: FloatPart, ids: str) -> str:
    """Cast what was looked up, and not the whole table, where it is in 16 bits."""
    if table.values.dtype == np.float32:
        return nodes.op("Gather", nodes.constant(table.values), ids)
    bits = table.values.dtype == np.uint16
    stored = nodes.bfloat16(table.values) if bits else nodes.constant(table.values)
    return nodes.op("Cast", nodes.op("Gather", stored, ids), to=FLOAT)


def _four_bit_rows(nodes: Nodes, table: FourBitRows, ids: str) -> str:
    """Rows whose last block is shorter are stored with zeros behind them, which are cut off."""
    blocks = table.scales.shape[1]
    spare = blocks * table.block // 2 - table.codes.shape[1]
    codes = np.pad(table.codes, ((0, 0), (0, spare)), constant_values=ZEROS)
    pairs = _pairs(nodes, nodes.op("Gather", nodes.constant(codes), ids), table.book)
    shape = nodes.constant([0, 0, blocks, table.block])
    scales = nodes.op("Cast", nodes.op("Gather", nodes.constant(table.scales), ids), to=FLOAT)
    scaled = nodes.op(
        "Mul",
        nodes.op("Reshape", pairs, shape),
        nodes.op("Unsqueeze", scales, nodes.constant([-1])),
    )
    flat = nodes.op("Reshape", scaled, nodes.constant([0, 0, blocks * table.block]))
    if blocks * table.block == table.width:
        return flat
    cut = [nodes.constant([end]) for end in (0, table.width, -1)]
    return nodes.op("Slice", flat, *cut)
