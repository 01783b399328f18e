"""What recovery trains, a float copy of a packed student with adapters beside its 4-bit layers; and
the way back, from what was learnt to a packed student as it will be saved.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.errors import MinnowError
from minnow.models import adapters
from minnow.models.adapters import LayerAdapters
from minnow.models.folders import load_model
from minnow.models.packed import float_copy, packed_layers


@dataclass(frozen=True)
class Adapters:
    """Adapters of 4-bit layers, none at rank 0: shipped beside the weights, or merged into them."""

    rank: int
    alpha: float
    shipped: bool


@dataclass(frozen=True)
class Learnt:
    """What a recovery trained: float weights by their names in the student, and adapters by their
    layers.
    """

    floats: Mapping[str, Tensor]
    adapters: LayerAdapters


@dataclass(frozen=True)
class Folders:
    """The student as quantized, which recovery begins with; the float student that it was quantized
    from; and the folder to write.
    """

    packed: Path
    student: Path
    out: Path


def load_packed(folder: Path, device: torch.device) -> PreTrainedModel:
    """Return a quantized student as it is saved, never run."""
    return load_model(folder, device_map={"": device})


def trainable(packed: PreTrainedModel, adapted: Adapters) -> PreTrainedModel:
    """Return a float copy in which adapters are trained, and all that is float in the packed model
    but embeddings.

    Raises:
        MinnowError: adapters are asked for and no layer has 4 bits.
    """
    four_bit = list(packed_layers(packed, bits=4))
    if adapted.rank and not four_bit:
        remedy = (
            "set quantize.scheme to nf4 or fp4"
            if packed_layers(packed)
            else "give quantize.budget_mb less"
        )
        raise MinnowError(
            f"recover.lora has rank {adapted.rank} and the student has no 4-bit layer to adapt:"
            f" {remedy}, or set recover.lora to null, which trains what is float already"
        )
    model = float_copy(packed)
    tables = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    frozen = {f"{name}.weight" for name in (*packed_layers(packed), *tables)}
    if adapted.rank:
        adapters.inject(model, four_bit, rank=adapted.rank, alpha=adapted.alpha)
    for name, weight in model.named_parameters():
        weight.requires_grad = adapters.plain_name(name) not in frozen
    return model


def learnt(model: PreTrainedModel) -> Learnt:
    """Return what a model of `trainable` has learnt so far."""
    floats = {
        adapters.plain_name(name): weight.detach()
        for name, weight in model.named_parameters()
        if weight.requires_grad and ".lora_" not in name
    }
    return Learnt(floats, adapters.layer_adapters(model))


def rebuilt(
    folders: Folders, learned: Learnt, *, shipped: bool, device: torch.device
) -> PreTrainedModel:
    """Return the packed model with what was learnt, as it will be saved; never run.

    Merged adapters are added to the float student's weights, and the sum is quantized as the layer
    was. Added to the packed weights, most would vanish: these lie on the steps of the code, and
    small changes are rounded back to them.
    """
    model = load_packed(folders.packed, device)
    with torch.no_grad():
        for name, value in learned.floats.items():
            model.get_parameter(name).copy_(value)
    if shipped and learned.adapters:
        adapters.attach(model, learned.adapters)
    elif learned.adapters:
        original = load_model(folders.student)
        for name, adapter in learned.adapters.items():
            requantize(
                model.get_submodule(name),
                original.get_parameter(f"{name}.weight").float() + adapter.product.cpu(),
            )
    return model


def requantize(layer: Any, weight: Tensor) -> None:
    """Give a 4-bit layer another weight (outputs, inputs), quantized as its own was."""
    from bitsandbytes.nn import Params4bit  # type: ignore[attr-defined]  # imported there, not exported

    old = layer.weight
    fresh: Any = Params4bit(
        weight.to(old.quant_state.dtype),
        requires_grad=False,
        blocksize=old.blocksize,
        compress_statistics=old.compress_statistics,
        quant_type=old.quant_type,
        quant_storage=old.quant_storage,
        module=layer,
    )
    layer.weight = fresh.to(old.device)  # which quantizes it
