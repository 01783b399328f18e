"""A quantized model as the bytes that kernel.c reads: the very codes and scales, one part behind
another, each padded to four bytes.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from minnow.export.classifiers import Encoder, Layer
from minnow.export.parts import (
    Array,
    DoubleScales,
    EightBitRows,
    EightBits,
    FloatPart,
    FourBitRows,
    FourBits,
    Linear,
    Norm,
    Part,
)

MAGIC = 0x31574E4D
MOST_LAYERS = 48
LABELS = 2
# Outputs that the kernel computes side by side, and numbers of a vector.
PANEL, LANES = 8, 4
# The numbers of the formats in kernel.c.
FLOATS = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.uint16): 2}
FOUR, FOUR_DOUBLE, EIGHT, FOUR_ROWS, EIGHT_ROWS = range(3, 8)
SHAPE = struct.Struct("<11if")


def misfit_of_kernel(encoder: Encoder) -> str:
    """Return what the kernel cannot compute of a model, or nothing where it can."""
    neurons = encoder.layers[0].up.weight.shape[0] if encoder.layers else PANEL
    sizes = (encoder.width, neurons)
    if encoder.labels != LABELS:
        return f"it has {encoder.labels} labels, and the page knows {LABELS}"
    if len(encoder.layers) > MOST_LAYERS:
        return f"it has {len(encoder.layers)} layers, and the page takes {MOST_LAYERS}"
    if any(size % PANEL for size in sizes) or encoder.width // encoder.heads % LANES:
        return (
            f"its {encoder.width} dimensions, {encoder.heads} heads and {neurons} neurons must give"
            f" multiples of {PANEL}, and {LANES} a head"
        )
    return _odd_books(encoder) or _odd_adapter(encoder)


def _odd_books(encoder: Encoder) -> str:
    """Return what to say where parts differ in a code book, of which the kernel holds one."""
    for books in (four_bit_books(encoder), scale_books(encoder)):
        if any(not np.array_equal(book, books[0]) for book in books):
            return "its layers have different code books, and the page holds one"
    return ""


def _odd_adapter(encoder: Encoder) -> str:
    ranks = [len(each.adapter.a.values) for each in linear_layers(encoder) if each.adapter]
    if max(ranks, default=0) <= encoder.width:
        return ""
    return f"its adapters have rank {max(ranks)}, and the page takes {encoder.width}"


def linear_layers(encoder: Encoder) -> list[Linear]:
    """Return all linear layers of a model, in the kernel's order."""
    inner = [each for layer in encoder.layers for each in _linear_of(layer)]
    return [*inner, encoder.hidden, encoder.head]


def _linear_of(layer: Layer) -> Iterator[Linear]:
    yield from (layer.query, layer.key, layer.value, layer.context, layer.up, layer.down)


def four_bit_books(encoder: Encoder) -> list[Array]:
    """Return the 16 numbers of each part in 4 bits."""
    parts = [encoder.words, encoder.positions, *(each.weight for each in linear_layers(encoder))]
    return [part.book for part in parts if isinstance(part, FourBitRows | FourBits)]


def scale_books(encoder: Encoder) -> list[Array]:
    """Return the 256 numbers of each part whose scales are quantized too."""
    weights = [each.weight for each in linear_layers(encoder)]
    scales = [weight.scales for weight in weights if isinstance(weight, FourBits)]
    return [each.book for each in scales if isinstance(each, DoubleScales)]


def kernel_bytes(encoder: Encoder, *, longest: int) -> bytes:
    """Return a model that `misfit_of_kernel` finds nothing wrong with as the kernel reads it.

    `longest` is the number of tokens that texts are cut at.
    """
    pieces = [_header(encoder, longest), _part(encoder.words), _part(encoder.positions)]
    pieces += [_int(0)] if encoder.types is None else [_int(1), _first_row(encoder.types)]
    pieces += [_norm(encoder.normed), *map(_layer, encoder.layers)]
    return b"".join([*pieces, _linear(encoder.hidden), _linear(encoder.head)])


def _header(encoder: Encoder, longest: int) -> bytes:
    neurons = encoder.layers[0].up.weight.shape[0] if encoder.layers else PANEL
    shape = SHAPE.pack(
        *(MAGIC, encoder.width, encoder.heads, len(encoder.layers), neurons),
        *(encoder.words.shape[0], encoder.positions.shape[0], longest),
        -1 if encoder.padding is None else encoder.padding,
        *(encoder.activation == "relu", encoder.hidden_activation == "Relu", encoder.epsilon),
    )
    return shape + _book(four_bit_books(encoder), 16) + _book(scale_books(encoder), 256)


def _book(books: Sequence[Array], size: int) -> bytes:
    return _raw(books[0] if books else np.zeros(size, np.float32))


def _layer(layer: Layer) -> bytes:
    attention = (layer.query, layer.key, layer.value, layer.context)
    within = [*map(_linear, attention), _norm(layer.attended)]
    return b"".join([*within, _linear(layer.up), _linear(layer.down), _norm(layer.normed)])


def _norm(norm: Norm) -> bytes:
    return _part(norm.weight) + _part(norm.bias)


def _linear(layer: Linear) -> bytes:
    plain = _part(layer.weight) + _part(layer.bias)
    if layer.adapter is None:
        return plain + _int(0)
    a, b, scale = layer.adapter.a, layer.adapter.b, _raw(layer.adapter.scale)
    return plain + _int(len(a.values)) + scale + _part(a) + _part(b)


def _first_row(part: FloatPart) -> bytes:
    """Return the first of the token types, which every token has."""
    return _part(FloatPart(part.values[0]))


def _part(part: Part) -> bytes:
    """Return a part: its format, then what the format needs."""
    match part:
        case FloatPart(values):
            return _int(FLOATS[values.dtype]) + _raw(values)
        case EightBits(codes, absmax):
            return _int(EIGHT) + _raw(codes) + _raw(absmax)
        case FourBitRows(codes, _, block, scales):
            return _int(FOUR_ROWS) + _int(block) + _raw(codes) + _raw(scales)
        case EightBitRows(codes, absmax):
            return _int(EIGHT_ROWS) + _int(codes.shape[1]) + _raw(codes) + _raw(absmax)
        case FourBits():
            return _four_bits(part)


def _four_bits(part: FourBits) -> bytes:
    scales = part.scales
    if not isinstance(scales, DoubleScales):
        return _int(FOUR) + _int(part.block) + _raw(part.codes) + _raw(scales)
    numbers = _int(part.block) + _int(scales.group) + _raw(scales.offset)
    return (
        _int(FOUR_DOUBLE) + numbers + b"".join(map(_raw, (part.codes, scales.codes, scales.absmax)))
    )


def _int(value: int) -> bytes:
    return struct.pack("<i", value)


def _raw(values: Array | np.float32) -> bytes:
    """Return the bytes of an array, little end first, padded to four."""
    array = np.asarray(values)
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    return raw + bytes(-len(raw) % 4)
