"""How a quantized model stores its numbers, as records of numpy arrays, and the float32 numbers
that they stand for: `part_numbers`.

Every rule here is computed in float32, step by step as the graph computes it (`decoding.py`), so
that both give the same numbers to the bit. They are those of the code books: bitsandbytes itself
rounds them to bfloat16 when it computes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
# int8 holds −127..127, so that both signs reach as far.
STEPS = 127


@dataclass(frozen=True)
class FloatPart:
    """Floats as they lie on disk: float32, float16, or the upper half of float32 as uint16."""

    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)


@dataclass(frozen=True)
class DoubleScales:
    """Scales that are quantized themselves: `book[codes] · absmax of the group + offset`.

    `codes` (blocks,) uint8, `book` (256,), and `absmax` (groups,) of `group` scales each, of which
    the last group may hold fewer.
    """

    codes: Array
    book: Array
    absmax: Array
    group: int
    offset: np.float32


@dataclass(frozen=True)
class FourBits:
    """Pairs of 4-bit codes (outputs, inputs / 2), the first of two in the high half, of a `book`
    of 16 numbers; a scale for each `block` of codes along a row: (blocks,) or double.
    """

    codes: Array
    book: Array
    block: int
    scales: Array | DoubleScales

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.codes), 2 * self.codes.shape[1]


@dataclass(frozen=True)
class EightBits:
    """int8 codes (outputs, inputs) and a float32 absmax a row (outputs,)."""

    codes: Array
    absmax: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.codes.shape)


@dataclass(frozen=True)
class FourBitRows:
    """A table's rows: pairs of codes (rows, bytes), and a float16 scale for each `block` of codes
    of a row (rows, blocks), of which the last may be shorter; `width` numbers a row.
    """

    codes: Array
    book: Array
    block: int
    scales: Array
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.codes), self.width


@dataclass(frozen=True)
class EightBitRows:
    """A table's rows: int8 codes (rows, width) and a float16 absmax a row (rows, 1)."""

    codes: Array
    absmax: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.codes.shape)


Table = FloatPart | FourBitRows | EightBitRows
Part = Table | FourBits | EightBits


@dataclass(frozen=True)
class AdapterPair:
    """An adapter: `scale · b a` is added to the weight; `a` (rank, inputs), `b` (outputs, rank)."""

    a: FloatPart
    b: FloatPart
    scale: np.float32


@dataclass(frozen=True)
class Linear:
    """A layer `x weightᵀ + bias`, with the adapter that is added to its weight, if any."""

    weight: FloatPart | FourBits | EightBits
    bias: FloatPart
    adapter: AdapterPair | None = None


@dataclass(frozen=True)
class Norm:
    """The weight and the bias of a layer norm."""

    weight: FloatPart
    bias: FloatPart


def pairs_of(book: Array) -> Array:
    """Return the two numbers of each byte of codes, (256, 2)."""
    places = np.arange(256)
    return np.stack([book[places >> 4], book[places & 15]], axis=1)


def float_numbers(part: FloatPart) -> Array:
    """Return stored floats as float32."""
    if part.values.dtype == np.uint16:
        return (part.values.astype(np.uint32) << 16).view(np.float32)
    return part.values.astype(np.float32)


def scales_of(scales: Array | DoubleScales) -> Array:
    """Return the scales of 4-bit blocks in float32, (blocks,)."""
    if not isinstance(scales, DoubleScales):
        return scales
    absmax = np.repeat(scales.absmax, scales.group)[: len(scales.codes)]
    return np.asarray(scales.book[scales.codes] * absmax + scales.offset)


def part_numbers(part: Part) -> Array:
    """Return the float32 numbers that a part stands for, in its shape."""
    match part:
        case FloatPart():
            return float_numbers(part)
        case FourBits():
            blocks = pairs_of(part.book)[part.codes].reshape(-1, part.block)
            return np.asarray(blocks * scales_of(part.scales)[:, None]).reshape(part.shape)
        case EightBits():
            return np.asarray(part.codes * (part.absmax / np.float32(STEPS))[:, None])
        case FourBitRows():
            return _row_numbers(part)
        case EightBitRows():
            return np.asarray(part.codes * (part.absmax.astype(np.float32) / np.float32(STEPS)))


def _row_numbers(part: FourBitRows) -> Array:
    scales = np.repeat(part.scales.astype(np.float32), part.block, axis=1)[:, : part.width]
    flat = pairs_of(part.book)[part.codes].reshape(len(part.codes), -1)
    return np.asarray(flat[:, : part.width] * scales)


def weight_of(layer: Linear) -> Array:
    """Return a layer's whole weight in float64, (outputs, inputs), its adapter added."""
    weight = part_numbers(layer.weight).astype(np.float64)
    if layer.adapter is None:
        return weight
    a, b = (float_numbers(each).astype(np.float64) for each in (layer.adapter.a, layer.adapter.b))
    return np.asarray(weight + np.float64(layer.adapter.scale) * (b @ a))
