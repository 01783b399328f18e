"""Embeddings in 8 or 4 bits: rows of numbers to rows of bytes and back, and a layer that decodes
what is asked for.

Every row of a table becomes one row of bytes, its codes and then its scales, so that a look-up
reads one place and no cast of the model can round a scale. A scale is the largest absolute value
(`absmax`) of its block, in float16.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from minnow.core.files import EMBEDDINGS_KEY, LOADER, LOADER_KEY, without_loader
from minnow.errors import MinnowError

# NF4: 8 quantiles of N(0, 1) below zero and 9 above, zero counted in both, so that it is exact;
# scaled to [−1, 1]. Dettmers et al. 2023, QLoRA, arXiv 2305.14314, appendix E. bitsandbytes holds
# the same numbers.
CODE_BOOK = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
STEPS = 127  # int8 holds −127..127; −128 stays unused, so that both signs reach as far
SCALE = torch.float16
# Tables below this stay float: they are a handful of bytes. In it lie word and position tables,
# never token types.
SMALLEST_ROWS = SMALLEST_WIDTH = 16
# Tables that a model multiplies with as they are, in place of looking rows up, stay float too:
# DeBERTa's distances.
MULTIPLIED = "rel_embeddings"
# Rows quantized at once: bounds the memory that the intermediate float32 and int32 numbers take.
ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Int8:
    """8 bits a weight: code = round(127 · weight / absmax), one absmax a row."""

    name = "int8"
    block = None

    def scales(self, width: int) -> int:
        """Return the scales of a row."""
        return 1

    def code_bytes(self, width: int) -> int:
        """Return the bytes that the codes of a row take."""
        return width

    def encode(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (rows, width) as uint8 and absmax (rows, 1) of float32 weights (rows,
        width).

        The codes belong to the stored, rounded absmax, so that a weight is off by absmax / 254 at
        most.
        """
        absmax = weight.abs().amax(dim=1, keepdim=True).to(SCALE)
        codes = (weight * (STEPS * _inverse(absmax))).round().clamp(-STEPS, STEPS)
        return codes.to(torch.int8).view(torch.uint8), absmax

    def decode(self, codes: Tensor, absmax: Tensor, width: int) -> Tensor:
        """Return float32 weights (..., width) of codes (..., width) and absmax (..., 1)."""
        return codes.view(torch.int8).float() * absmax.float() / STEPS


@dataclass(frozen=True)
class Nf4:
    """4 bits a weight: the nearest of 16 numbers times absmax, one absmax for each 64 weights along
    a row.

    Codes are those of bitsandbytes, which packs the first of two weights into the high half of the
    byte.
    """

    name = "nf4"
    block = 64

    def scales(self, width: int) -> int:
        """Return the scales of a row; the last block may be shorter."""
        return math.ceil(width / self.block)

    def code_bytes(self, width: int) -> int:
        """Return the bytes that the codes of a row take; an odd one leaves half a byte unused."""
        return math.ceil(width / 2)

    def encode(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return packed codes (rows, code_bytes) as uint8 and absmax (rows, scales) of float32
        weights (rows, width).

        A weight is off by half the gap of the code book around it times absmax, and by what float16
        rounds off absmax.
        """
        rows, width = weight.shape
        padded = functional.pad(weight, (0, self.scales(width) * self.block - width))
        blocks = padded.view(rows, -1, self.block)
        absmax = blocks.abs().amax(dim=2)
        book = torch.tensor(CODE_BOOK, device=weight.device)
        scaled = blocks * _inverse(absmax)[:, :, None]
        codes = (
            torch.bucketize(scaled, (book[1:] + book[:-1]) / 2, out_int32=True)
            .to(torch.uint8)
            .view(rows, -1)
        )
        packed = codes[:, ::2] << 4 | codes[:, 1::2]
        return packed[:, : self.code_bytes(width)], absmax.to(SCALE)

    def decode(self, codes: Tensor, absmax: Tensor, width: int) -> Tensor:
        """Return float32 weights (..., width) of packed codes (..., code_bytes) and absmax (...,
        scales).
        """
        pairs = functional.embedding(codes.int(), _pairs(codes.device)).flatten(-2)[..., :width]
        return pairs * absmax.float().repeat_interleave(self.block, dim=-1)[..., :width]


Scheme = Int8 | Nf4
SCHEMES: dict[str, Scheme] = {each.name: each for each in (Int8(), Nf4())}


def _inverse(absmax: Tensor) -> Tensor:
    """Return 1 / absmax in float32, and 0 where float16 holds 0: such weights get the code of
    zero.
    """
    return torch.where(absmax.to(SCALE) > 0, 1 / absmax.float(), 0.0)


@cache
def _pairs(device: torch.device) -> Tensor:
    """Return the two numbers of each byte, shape (256, 2): one look-up instead of two."""
    with torch.inference_mode(False):
        book = torch.tensor(CODE_BOOK, device=device)
        codes = torch.arange(256, device=device)
        return torch.stack([book[codes >> 4], book[codes & 15]], dim=1)


def row_bytes(width: int, scheme: Scheme) -> int:
    """Return the bytes that a row of `width` weights takes."""
    return scheme.code_bytes(width) + SCALE.itemsize * scheme.scales(width)


def quantize_rows(weight: Tensor, scheme: Scheme) -> Tensor:
    """Return weights (rows, width) of any float type as uint8 of shape (rows, row_bytes).

    Raises:
        MinnowError: a weight is not finite, or larger than float16 holds.
    """
    packed = []
    for part in weight.detach().split(ROWS_AT_ONCE):
        codes, absmax = scheme.encode(part.float())
        if not absmax.isfinite().all():
            raise MinnowError(
                "an embedding holds weights that are not finite or beyond"
                f" {torch.finfo(SCALE).max:g}, and {scheme.name} cannot hold them: train the"
                " student anew, or set quantize.embeddings to none"
            )
        packed.append(torch.cat([codes, absmax.view(torch.uint8)], dim=1))
    return torch.cat(packed)


def dequantize_rows(packed: Tensor, width: int, scheme: Scheme) -> Tensor:
    """Return the float32 weights (..., width) of rows of bytes (..., row_bytes)."""
    codes, scales = packed.split(
        [scheme.code_bytes(width), row_bytes(width, scheme) - scheme.code_bytes(width)], -1
    )
    # A copy of its own: bytes that begin at an odd place cannot be read as float16.
    absmax = scales.clone(memory_format=torch.contiguous_format).view(SCALE)
    return scheme.decode(codes.contiguous(), absmax, width)


class QuantizedEmbedding(nn.Module):
    """A table of rows of bytes, `weight` (rows, row_bytes), of which a forward pass decodes those
    that are asked for.

    It gives numbers of the dtype that the table had, or that the model was cast to since.
    """

    weight: Tensor

    def __init__(self, rows: int, width: int, scheme: Scheme, *, dtype: torch.dtype) -> None:
        super().__init__()
        self.rows, self.width, self.scheme, self.dtype = rows, width, scheme, dtype
        self.register_buffer(
            "weight", torch.zeros(rows, row_bytes(width, scheme), dtype=torch.uint8)
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows of `ids` (...), shape (..., width)."""
        return dequantize_rows(functional.embedding(ids, self.weight), self.width, self.scheme).to(
            self.dtype
        )

    def extra_repr(self) -> str:
        """Return what `print(model)` shows."""
        return f"{self.rows}, {self.width}, {self.scheme.name}"

    def _apply(self, fn: Any, recurse: bool = True) -> "QuantizedEmbedding":
        """Follow a cast of the model, which leaves bytes as they are."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch left it without types
        self.dtype = fn(torch.zeros(1, dtype=self.dtype)).dtype
        return self


def tables(model: nn.Module) -> dict[str, nn.Embedding]:
    """Return the embeddings that rows are looked up in and that are large enough to matter, by
    name.

    Not those that do more, such as Gemma's, which multiply what they look up, or OPT's, which count
    positions anew.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        and type(module).forward is nn.Embedding.forward
        and module.num_embeddings >= SMALLEST_ROWS
        and module.embedding_dim >= SMALLEST_WIDTH
        and name.rpartition(".")[2] != MULTIPLIED
    }


def make_room_for_tables(
    model: nn.Module, schemes: Mapping[str, Scheme]
) -> dict[str, QuantizedEmbedding]:
    """Put a layer of zeros into the place of each table of these names, and return the new layers
    by name.
    """
    made = {}
    for name, scheme in schemes.items():
        weight = model.get_parameter(f"{name}.weight")
        rows, width = weight.shape
        made[name] = QuantizedEmbedding(rows, width, scheme, dtype=weight.dtype).to(weight.device)
        model.set_submodule(name, made[name])
    return made


def described_tables(schemes: Mapping[str, Scheme]) -> dict[str, Any] | list[dict[str, Any]]:
    """Return what config.json says of packed tables: a block, or a list of them where tables differ
    in their scheme.
    """
    blocks = [
        {
            "scheme": scheme.name,
            "block": scheme.block,
            "absmax": str(SCALE).removeprefix("torch."),
            "row": "codes, absmax",
            "tables": sorted(name for name, its in schemes.items() if its == scheme),
            LOADER_KEY: LOADER,
        }
        for scheme in SCHEMES.values()
        if scheme in schemes.values()
    ]
    return blocks[0] if len(blocks) == 1 else blocks


def tables_of_config(config: Any) -> dict[str, Scheme] | None:
    """Return the scheme of each table that a config says is packed; None if it says of none.

    Raises:
        MinnowError: they are packed in a way that is not known here.
    """
    said = getattr(config, EMBEDDINGS_KEY, None)
    if said is None:
        return None
    blocks = said if isinstance(said, list) else [said]
    schemes = {
        str(name): SCHEMES[block["scheme"]]
        for block in blocks
        if isinstance(block, dict)
        and block.get("scheme") in list(SCHEMES)
        and isinstance(block.get("tables"), list)
        for name in block["tables"]
    }
    if not schemes or without_loader(said) != without_loader(described_tables(schemes)):
        raise MinnowError(
            f"config.json says {EMBEDDINGS_KEY}: {said}, which this Minnow cannot read: install the"
            " one that wrote it"
        )
    return schemes
