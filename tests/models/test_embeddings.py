"""Packed embeddings: laws of the arithmetic, bitsandbytes' own codes, and a layer that decodes what
is asked for.
"""

import math
from types import SimpleNamespace

import bitsandbytes
import pytest
import torch
from torch import Tensor, nn

from minnow.errors import MinnowError
from minnow.models import embeddings
from minnow.models.embeddings import (
    CODE_BOOK,
    SCHEMES,
    QuantizedEmbedding,
    dequantize_rows,
    quantize_rows,
)

INT8, NF4 = SCHEMES["int8"], SCHEMES["nf4"]
# Multiples of a block, shorter than one, ragged, odd; one row, and more rows than are quantized at
# once.
SHAPES = [
    (50, 128),
    (3, 64),
    (1, 768),
    (7, 100),
    (5, 33),
    (4, 63),
    (1, 1),
    (embeddings.ROWS_AT_ONCE + 3, 17),
]
BOOK = torch.tensor(CODE_BOOK)


def table(rows: int, width: int) -> Tensor:
    """Return weights whose blocks differ in size by orders of magnitude."""
    return (
        torch.randn(rows, width)
        * torch.logspace(-3, 1, width)
        * (1 + torch.arange(rows)[:, None] % 5)
    )


def absmax_of(weight: Tensor, block: int) -> Tensor:
    """Return the largest absolute value of the block that each weight stands in, worked out row by
    row.
    """
    found = torch.empty_like(weight)
    for first in range(0, weight.shape[1], block):
        part = weight[:, first : first + block]
        found[:, first : first + block] = part.abs().max(dim=1, keepdim=True)[0]
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SCHEMES)
def test_packing_what_was_unpacked_gives_the_same_bytes(name: str, shape: tuple[int, int]) -> None:
    scheme = SCHEMES[name]
    packed = quantize_rows(table(*shape), scheme)
    assert packed.shape == (shape[0], embeddings.row_bytes(shape[1], scheme))
    assert packed.dtype == torch.uint8
    again = dequantize_rows(packed, shape[1], scheme)
    assert again.dtype == torch.float32
    assert torch.equal(quantize_rows(again, scheme), packed)


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_bits_are_off_by_half_a_step_at_most(shape: tuple[int, int]) -> None:
    weight = table(*shape)
    restored = dequantize_rows(quantize_rows(weight, INT8), shape[1], INT8)
    half_step = absmax_of(weight, shape[1]).half().float() / 127 / 2
    assert ((restored - weight).abs() <= half_step * (1 + 1e-5)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_four_bits_are_off_by_half_the_widest_gap_at_most(shape: tuple[int, int]) -> None:
    weight = table(*shape)
    restored = dequantize_rows(quantize_rows(weight, NF4), shape[1], NF4)
    absmax = absmax_of(weight, 64)
    # float16 holds 11 bits of absmax: half a unit of the last one comes on top
    bound = absmax * (float((BOOK[1:] - BOOK[:-1]).max()) / 2 + 2**-11)
    assert ((restored - weight).abs() <= bound).all()
    nearest = (weight / absmax).unsqueeze(-1).sub(BOOK).abs().amin(-1) * absmax
    assert ((restored - weight).abs() <= nearest + absmax * (2**-11 + 1e-6)).all(), (
        "no other code is nearer"
    )


def test_values_worked_by_hand() -> None:
    """absmax 2: 2 → 127, −1 → −63.5, to even −64, 0.5 → 31.75 → 32; 4 bits: 1 is code 15, −0.5 is
    2, 0.25 is 10.
    """
    weight = torch.tensor([[2.0, -1.0, 0.5]])
    eight = quantize_rows(weight, INT8)
    assert eight.view(torch.int8).tolist() == [[127, -64, 32, 0x00, 0x40]], (
        "and 2 in float16 is 0x4000"
    )
    assert dequantize_rows(eight, 3, INT8).tolist() == [pytest.approx([2.0, -128 / 127, 64 / 127])]
    four = quantize_rows(weight, NF4)
    assert four.tolist() == [[0xF2, 0xA7, 0x00, 0x40]], (
        "the last half byte is unused and holds zero's code"
    )
    assert dequantize_rows(four, 3, NF4).tolist() == [
        pytest.approx([2.0, 2 * CODE_BOOK[2], 2 * CODE_BOOK[10]])
    ]


def test_bytes_of_a_row() -> None:
    """128 weights: 128 codes and one float16; 64 bytes of codes and two float16. 33: 17 bytes and
    one.
    """
    assert [embeddings.row_bytes(width, INT8) for width in (128, 33)] == [130, 35]
    assert [embeddings.row_bytes(width, NF4) for width in (128, 33)] == [68, 19]


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-38])
def test_zeros_stay_zeros_and_what_float16_cannot_hold_becomes_zero(name: str, size: float) -> None:
    scheme, weight = SCHEMES[name], torch.full((3, 70), size)
    weight[1] = torch.linspace(-1, 1, 70)
    weight[1, 3] = 0.0
    packed = quantize_rows(weight, scheme)
    restored = dequantize_rows(packed, 70, scheme)
    assert torch.equal(restored[[0, 2]], torch.zeros(2, 70))
    assert restored[1, 3] == 0.0
    assert restored[1].abs().max() == 1.0
    assert torch.equal(quantize_rows(restored, scheme), packed)


@pytest.mark.parametrize("shape", [(50, 128), (3, 64), (1, 768), (300, 192)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_codes_are_those_of_bitsandbytes(shape: tuple[int, int], dtype: torch.dtype) -> None:
    weight = table(*shape).to(dtype)
    data, state = bitsandbytes.functional.quantize_4bit(
        weight, quant_type="nf4", compress_statistics=False
    )
    packed = quantize_rows(weight, NF4)
    codes = packed[:, : shape[1] // 2]
    assert torch.equal(codes.reshape(-1, 1), data)
    absmax = packed[:, shape[1] // 2 :].clone().view(torch.float16)
    assert torch.equal(absmax.flatten(), state.absmax.half())
    assert torch.equal(state.code, BOOK)
    theirs = bitsandbytes.functional.dequantize_4bit(data, state).float()
    ours = dequantize_rows(packed, shape[1], NF4)
    rounding = {torch.float32: 2**-11, torch.float16: 2**-10, torch.bfloat16: 2**-8}[dtype]
    assert ((ours - theirs).abs() <= theirs.abs() * (rounding + 1e-6)).all()


@pytest.mark.parametrize("width", [33, 63, 100, 130, 1])
def test_ragged_rows_have_the_codes_that_bitsandbytes_gives_each_row(width: int) -> None:
    weight = table(6, width)
    packed = quantize_rows(weight, NF4)
    for row in range(len(weight)):
        data, _ = bitsandbytes.functional.quantize_4bit(
            weight[row], quant_type="nf4", compress_statistics=False
        )
        assert torch.equal(packed[row, : math.ceil(width / 2)], data.flatten())


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e5])
def test_weights_that_no_scale_holds_are_refused(name: str, wrong: float) -> None:
    weight = torch.ones(2, 70)
    weight[1, 69] = wrong
    with pytest.raises(
        MinnowError,
        match=f"beyond 65504, and {name} cannot hold them: .* quantize.embeddings to none",
    ):
        quantize_rows(weight, SCHEMES[name])


# --- The layer ------------------------------------------------------------------------------------


def layer_of(weight: Tensor, name: str, dtype: torch.dtype) -> QuantizedEmbedding:
    layer = QuantizedEmbedding(*weight.shape, SCHEMES[name], dtype=dtype)
    layer.weight = quantize_rows(weight, SCHEMES[name])
    return layer


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("width", [64, 100, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_look_up_gives_the_rows_of_the_whole_table(
    name: str, width: int, dtype: torch.dtype
) -> None:
    weight = table(20, width)
    weight[0] = 0.0  # padding
    layer = layer_of(weight, name, dtype)
    whole = dequantize_rows(layer.weight, width, SCHEMES[name])
    for ids in (
        torch.tensor([[0, 3, 19], [3, 3, 0]]),
        torch.tensor([7]),
        torch.tensor(5),
        torch.zeros(2, 0).long(),
    ):
        found = layer(ids)
        assert (found.shape, found.dtype) == ((*ids.shape, width), dtype)
        assert torch.equal(found, nn.functional.embedding(ids, whole).to(dtype))
    assert torch.equal(layer(torch.tensor([0])), torch.zeros(1, width, dtype=dtype))


@pytest.mark.parametrize("name", SCHEMES)
def test_only_bytes_are_held_and_a_cast_changes_what_comes_out_not_them(name: str) -> None:
    layer = layer_of(table(20, 100), name, torch.float32)
    before = layer.weight.clone()
    held = [*layer.parameters(), *layer.buffers()]
    assert (
        sum(each.nbytes for each in held)
        == before.nbytes
        == 20 * embeddings.row_bytes(100, SCHEMES[name])
    )
    exact = layer(torch.arange(20))
    half = nn.Sequential(layer).to(torch.bfloat16)
    assert torch.equal(layer.weight, before)
    assert torch.equal(half(torch.arange(20)), exact.bfloat16())
    assert torch.equal(half.float()(torch.arange(20)), exact)


def test_a_look_up_in_inference_mode_first_can_be_trained_behind_later() -> None:
    """Tensors made in inference mode cannot be used in a backward pass; the pairs are kept between
    calls.
    """
    layer = layer_of(table(4, 64), "nf4", torch.float32)
    embeddings._pairs.cache_clear()
    with torch.inference_mode():
        layer(torch.tensor([1]))
    after = nn.Linear(64, 1)
    after(layer(torch.tensor([1]))).sum().backward()
    assert after.weight.grad is not None


def test_small_tables_stay_float() -> None:
    model = nn.ModuleDict(
        {
            "words": nn.Embedding(300, 64),
            "types": nn.Embedding(2, 64),
            "narrow": nn.Embedding(300, 4),
            "least": nn.Embedding(16, 16),
            "fifteen": nn.Embedding(15, 16),
            "thin": nn.Embedding(16, 15),
        }
    )
    assert list(embeddings.tables(model)) == ["words", "least"]


def test_a_table_that_deberta_multiplies_stays_float_however_deep_it_stands() -> None:
    inner = nn.ModuleDict({"rel_embeddings": nn.Embedding(300, 64), "words": nn.Embedding(300, 64)})
    model = nn.ModuleDict({"encoder": nn.ModuleDict({"deep": inner})})
    assert list(embeddings.tables(model)) == ["encoder.deep.words"]


def test_an_empty_layer_has_room_for_the_rows_alone() -> None:
    layer = embeddings.QuantizedEmbedding(20, 100, SCHEMES["nf4"], dtype=torch.float32)
    assert {name: (each.shape, each.dtype) for name, each in layer.state_dict().items()} == {
        "weight": ((20, embeddings.row_bytes(100, SCHEMES["nf4"])), torch.uint8)
    }


def test_tables_that_do_more_than_look_up_stay_float() -> None:
    """Gemma multiplies its rows, OPT counts its positions from 2: packed, they would be rows and no
    more.
    """
    from transformers.models.gemma3.modeling_gemma3 import Gemma3TextScaledWordEmbedding
    from transformers.models.opt.modeling_opt import OPTLearnedPositionalEmbedding

    model = nn.ModuleDict(
        {
            "scaled": Gemma3TextScaledWordEmbedding(300, 64, 0, embed_scale=8.0),
            "counted": OPTLearnedPositionalEmbedding(300, 64),
            "plain": nn.Embedding(300, 64),
        }
    )
    assert list(embeddings.tables(model)) == ["plain"]


@pytest.mark.parametrize("name", SCHEMES)
def test_the_config_says_what_is_in_the_file(name: str) -> None:
    said = embeddings.described_tables(dict.fromkeys(["b", "a"], SCHEMES[name]))
    assert (said["scheme"], said["tables"], said["absmax"]) == (name, ["a", "b"], "float16")
    assert said["block"] == (64 if name == "nf4" else None)
    assert said["row"] == "codes, absmax"
    assert embeddings.tables_of_config(SimpleNamespace(minnow_embeddings=said)) == dict.fromkeys(
        ["a", "b"], SCHEMES[name]
    )
    assert embeddings.tables_of_config(SimpleNamespace()) is None
    for wrong in (
        {**said, "block": 128},
        {**said, "scheme": "nf3"},
        {**said, "more": 1},
        {},
        "nf4",
    ):
        with pytest.raises(
            MinnowError, match="this Minnow cannot read: install the one that wrote it"
        ):
            embeddings.tables_of_config(SimpleNamespace(minnow_embeddings=wrong))


@pytest.mark.parametrize(
    "loader",
    ["minnow.models.load_for_inference", "minnow.models.folders.load_for_inference", None],
)
def test_a_folder_loads_whichever_function_it_names_as_its_loader(loader: str | None) -> None:
    """Folders made before minnow.load name what was to be called then."""
    schemes = {"a": SCHEMES["nf4"], "b": SCHEMES["int8"]}
    said = embeddings.described_tables(schemes)
    assert isinstance(said, list)
    assert {block["load_with"] for block in said} == {"minnow.load"}
    old = [{**block, "load_with": loader} for block in said]
    assert embeddings.tables_of_config(SimpleNamespace(minnow_embeddings=old)) == schemes
    assert embeddings.tables_of_config(SimpleNamespace(minnow_embeddings=old[0])) == {
        "b": SCHEMES["int8"]
    }
    for wrong in ([*old, "nf4"], [{**old[0], "block": 128}], [{**old[0], "more": 1}]):
        with pytest.raises(MinnowError, match="this Minnow cannot read"):
            embeddings.tables_of_config(SimpleNamespace(minnow_embeddings=wrong))
