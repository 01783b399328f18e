"""What stored parts stand for: values worked by hand, and those of torch to the bit."""

import numpy as np
import pytest
import torch
from onnx import helper

from helpers.graphs import Session
from minnow.export import decoding
from minnow.export.nodes import FLOAT, INT64, Nodes
from minnow.export.packed import NF4
from minnow.export.parts import (
    AdapterPair,
    DoubleScales,
    EightBitRows,
    EightBits,
    FloatPart,
    FourBitRows,
    FourBits,
    Linear,
    Table,
    part_numbers,
    scales_of,
    weight_of,
)
from minnow.models import embeddings

BOOK = np.arange(16, dtype=np.float32)


def bits(values: list[float]) -> FloatPart:
    """Return numbers as bfloat16, which holds these without rounding."""
    return FloatPart((np.array(values, np.float32).view(np.uint32) >> 16).astype(np.uint16))


def random_rows(scheme: str, width: int) -> Table:
    """Return a packed table of 7 rows as torch packs it."""
    packed = embeddings.quantize_rows(torch.randn(7, width), embeddings.SCHEMES[scheme]).numpy()
    code_bytes = embeddings.SCHEMES[scheme].code_bytes(width)
    absmax = np.ascontiguousarray(packed[:, code_bytes:]).view(np.float16)
    codes = np.ascontiguousarray(packed[:, :code_bytes])
    if scheme == "nf4":
        return FourBitRows(codes, NF4, 64, absmax, width)
    return EightBitRows(codes.view(np.int8), absmax)


def decoded(part: Table | FourBits | EightBits) -> np.ndarray:
    """Return what onnxruntime makes of a part's nodes."""
    nodes = Nodes()
    ids = helper.make_tensor_value_info("input_ids", INT64, ["batch", "tokens"])
    mask = helper.make_tensor_value_info("attention_mask", INT64, ["batch", "tokens"])
    if isinstance(part, FourBits | EightBits):
        found, axes = decoding.decoded_weight(nodes, part), 2
    else:
        found, axes = decoding.decoded_rows(nodes, part, "input_ids"), 3
    logits = helper.make_tensor_value_info("logits", FLOAT, [*"abc"[:axes]])
    nodes.op_named("Identity", found, output="logits")
    every = np.arange(part.shape[0])[None]
    result = Session(nodes.model([ids, mask], [logits])).batch(every, every)
    return result.reshape(part.shape)


def random_four_bits(outputs: int, inputs: int, *, group: int | None) -> FourBits:
    draw = np.random.default_rng(0)
    codes = draw.integers(0, 256, (outputs, inputs // 2), dtype=np.uint8)
    blocks = outputs * inputs // 64
    absmax = draw.random(blocks, dtype=np.float32)
    if group is None:
        return FourBits(codes, NF4, 64, absmax)
    scales = DoubleScales(
        draw.integers(0, 256, blocks, dtype=np.uint8),
        draw.normal(size=256).astype(np.float32),
        draw.random(-(-blocks // group), dtype=np.float32),
        group,
        np.float32(0.3),
    )
    return FourBits(codes, NF4, 64, scales)


def test_the_first_of_two_codes_lies_in_the_high_half() -> None:
    part = FourBits(np.array([[0x12], [0xF0]], np.uint8), BOOK, 2, np.array([1, 2], np.float32))
    assert part_numbers(part).tolist() == [[1, 2], [30, 0]]


def test_double_quantized_scales_take_their_groups_absmax_and_the_offset() -> None:
    scales = DoubleScales(
        np.array([1, 2, 3], np.uint8),
        np.arange(256, dtype=np.float32),
        np.array([10, 100], np.float32),
        2,
        np.float32(0.5),
    )
    assert scales_of(scales).tolist() == [10.5, 20.5, 300.5]


def test_eight_bits_are_127ths_of_a_rows_absmax() -> None:
    part = EightBits(np.array([[127, -127], [0, 127]], np.int8), np.array([2, 4], np.float32))
    assert part_numbers(part).tolist() == [[2, -2], [0, 4]]


def test_bfloat16_is_the_upper_half_of_float32() -> None:
    assert part_numbers(bits([1.0, -0.5, 3.0])).tolist() == [1.0, -0.5, 3.0]


def test_an_adapter_is_added_to_the_weight() -> None:
    adapter = AdapterPair(
        FloatPart(bits([1.0, 2.0]).values.reshape(1, 2)),
        FloatPart(bits([3.0, 4.0]).values.reshape(2, 1)),
        np.float32(0.5),
    )
    weight = FloatPart(bits([1.0, 1.0, 1.0, 1.0]).values.reshape(2, 2))
    assert weight_of(Linear(weight, bits([0.0, 0.0]), adapter)).tolist() == [[2.5, 4], [3, 5]]


@pytest.mark.parametrize("scheme", ["nf4", "int8"])
@pytest.mark.parametrize("width", [64, 128, 96, 65, 40])
def test_rows_are_torchs_and_the_graphs(scheme: str, width: int) -> None:
    table = random_rows(scheme, width)
    weight = torch.from_numpy(part_numbers(table))
    again = embeddings.quantize_rows(weight, embeddings.SCHEMES[scheme])
    torchs = embeddings.dequantize_rows(again, width, embeddings.SCHEMES[scheme])
    torch.testing.assert_close(weight, torchs, rtol=1e-3, atol=1e-3)
    assert np.array_equal(decoded(table), part_numbers(table))


@pytest.mark.parametrize("group", [None, 256, 5])
def test_four_bits_are_the_graphs_to_the_bit(group: int | None) -> None:
    part = random_four_bits(32, 192, group=group)
    assert np.array_equal(decoded(part), part_numbers(part))


def test_eight_bits_are_the_graphs_to_the_bit() -> None:
    draw = np.random.default_rng(0)
    codes = draw.integers(-127, 128, (8, 24), dtype=np.int8)
    part = EightBits(codes, draw.random(8, dtype=np.float32))
    assert np.array_equal(decoded(part), part_numbers(part))


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint16])
def test_float_tables_are_the_graphs_to_the_bit(kind: type) -> None:
    values = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    stored = values.view(np.uint32) >> 16 if kind is np.uint16 else values
    part = FloatPart(stored.astype(kind))
    assert np.array_equal(decoded(part), part_numbers(part))
