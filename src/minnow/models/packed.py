"""Packed layers: which ones there are, and the float numbers that they stand for."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from minnow.core.files import ADAPTERS_KEY, EMBEDDINGS_KEY
from minnow.errors import MinnowError, listed
from minnow.models import adapters, embeddings, heads
from minnow.models.schemes import Scheme


def packed_layers(model: nn.Module, *, bits: int | None = None) -> dict[str, Any]:
    """Return the packed linear layers by name: all of them, or those of so many bits."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt  # type: ignore[attr-defined]  # imported there, not exported

    kinds: Any = {4: Linear4bit, 8: Linear8bitLt, None: (Linear4bit, Linear8bitLt)}[bits]
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def dequantized(layer: Any) -> Tensor:
    """Return the float32 weight that a packed layer stands for, which has not run yet."""
    from bitsandbytes.functional import dequantize_4bit

    if layer.weight.dtype == torch.int8:
        scales = layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB
        weight: Tensor = layer.weight.data.float() * scales.float()[:, None] / 127
        return weight
    restored: Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return restored.float()


def plain_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the config of the float model that a packed one stands for."""
    plain = deepcopy(config)
    for key in ("quantization_config", EMBEDDINGS_KEY, ADAPTERS_KEY):
        if hasattr(plain, key):
            delattr(plain, key)
    return plain


def float_copy(packed: PreTrainedModel) -> PreTrainedModel:
    """Return a float32 model that holds the numbers which a packed model computes with, without
    adapters.
    """
    model = heads.from_config(plain_config(packed.config))
    held: dict[str, Any] = {**dict(packed.named_parameters()), **dict(packed.named_buffers())}
    state = {adapters.plain_name(name): value for name, value in held.items()}
    for name, layer in packed_layers(packed).items():
        state[adapters.plain_name(f"{name}.weight")] = dequantized(layer)
    for name, module in packed.named_modules():
        if isinstance(module, embeddings.QuantizedEmbedding):
            state[f"{name}.weight"] = module(torch.arange(module.rows, device=module.weight.device))
    model.load_state_dict({name: state[name].detach().float().cpu() for name in model.state_dict()})
    return model


def check_layers(model: PreTrainedModel, scheme: Scheme, quantized: Sequence[str]) -> None:
    """Make sure that exactly these layers hold packed integers.

    Raises:
        MinnowError: a layer was left in float, or one more was quantized.
    """
    from bitsandbytes.nn import Linear4bit, Linear8bitLt  # type: ignore[attr-defined]  # imported there, not exported

    kind: Any = Linear4bit if scheme.bits == 4 else Linear8bitLt
    dtype = torch.uint8 if scheme.bits == 4 else torch.int8
    packed = {
        name
        for name, module in model.named_modules()
        if isinstance(module, kind) and module.weight.dtype == dtype
    }
    if packed != set(quantized):
        differing = sorted(packed.symmetric_difference(quantized))
        raise MinnowError(
            f"{listed(differing, 3)}: not quantized as asked; this transformers or bitsandbytes is"
            " not supported"
        )
