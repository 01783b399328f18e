"""What a linear layer can be packed into: 4 bits or 8, by bitsandbytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig

# A 4-bit layer's inputs are cut into blocks with a scale each, and its outputs into blocks of
# bitsandbytes' CPU kernel.
INPUT_BLOCK, OUTPUT_BLOCK = 64, 32


@dataclass(frozen=True)
class FourBit:
    """4 bits a weight: `nf4` (Dettmers et al. 2023, arXiv 2305.14314) or `fp4`, computed in
    bfloat16.
    """

    code: Literal["nf4", "fp4"]
    double_quantization: bool

    bits = 4

    @property
    def name(self) -> str:
        """As params.yaml calls it."""
        return self.code

    def config(self, keep_float: Sequence[str]) -> BitsAndBytesConfig:
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.code,
            bnb_4bit_use_double_quant=self.double_quantization,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=list(keep_float),
        )


@dataclass(frozen=True)
class EightBit:
    """8 bits a weight, outlier columns in 16 (Dettmers et al. 2022, arXiv 2208.07339)."""

    bits = 8
    name = "int8"

    def config(self, keep_float: Sequence[str]) -> BitsAndBytesConfig:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=list(keep_float))


Scheme = FourBit | EightBit
FLOAT = "bfloat16"


def scheme(name: Literal["nf4", "fp4", "int8"], *, double_quantization: bool) -> Scheme:
    """Return the record of a scheme by its name."""
    return EightBit() if name == "int8" else FourBit(name, double_quantization)


def fits_four_bits(layer: nn.Linear) -> bool:
    """Return whether a layer divides into the blocks of 4-bit schemes."""
    return layer.in_features % INPUT_BLOCK == 0 and layer.out_features % OUTPUT_BLOCK == 0


def misfit(name: str, layer: nn.Linear) -> str:
    """Return what to say of a layer that does not divide into the blocks of 4-bit schemes."""
    return (
        f"{name} has {layer.in_features} inputs and {layer.out_features} outputs, and 4 bits need"
        f" multiples of {INPUT_BLOCK} and {OUTPUT_BLOCK}"
    )
