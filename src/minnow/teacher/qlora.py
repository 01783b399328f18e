"""A base too large to be fine-tuned whole: its linear layers in nf4 with low-rank adapters, its
head trained as it is.

QLoRA, Dettmers et al. 2023, arXiv 2305.14314. What comes out is an ordinary model.
"""

from copy import deepcopy

import torch
from torch import nn
from transformers import PreTrainedModel

from minnow.errors import MinnowError
from minnow.models import adapters, pretrained
from minnow.models.heads import from_config, head_modules
from minnow.models.packed import check_layers, float_copy, packed_layers
from minnow.models.pretrained import Checkpoint
from minnow.models.schemes import FourBit, fits_four_bits

SCHEME = FourBit("nf4", double_quantization=True)


def load_nf4(
    checkpoint: Checkpoint, *, device: torch.device, rank: int, alpha: float
) -> PreTrainedModel:
    """Return the checkpoint as a classifier in nf4; adapters of its body's linear layers are
    trained, and its head.

    Layers that nf4 cannot hold stay bfloat16. Adapters and a new head are drawn from torch's
    generator.
    """
    heads, ragged, packed = layers(checkpoint)
    model = pretrained.load_classifier(
        checkpoint,
        dtype=torch.bfloat16,
        quantization_config=SCHEME.config([*heads, *ragged]),
        device_map={"": device},
    )
    check_layers(model, SCHEME, packed)
    for layer in packed_layers(model).values():
        # Otherwise the validation of each epoch would repack the weights and round their scales.
        layer.support_avx512bf16_for_cpu = False
    adapters.inject(model, [*packed, *ragged], rank=rank, alpha=alpha)
    for name in heads:
        model.get_submodule(name).requires_grad_(True)
    return model


def layers(checkpoint: Checkpoint) -> tuple[list[str], list[str], list[str]]:
    """Return the names of its linear layers: those of the head and of a pooler, too ragged for nf4,
    and the others.

    A pooler counts as head, since many bases come without one that was trained.

    Raises:
        MinnowError: there is none but the head: GPT-2's layers are of another kind.
    """
    with torch.device("meta"):
        model = from_config(deepcopy(pretrained.classifier_config(checkpoint)))
    heads = list(head_modules(model))
    ragged, packed = [], []
    for name, module in model.base_model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        full = f"{model.base_model_prefix}.{name}"
        if "pooler" in name.split("."):
            heads.append(full)
        elif not fits_four_bits(module):
            ragged.append(full)
        else:
            packed.append(full)
    if not packed and not ragged:
        raise MinnowError(
            f"{checkpoint.name} ({type(model).__name__}) has no linear layers that qlora could"
            " quantize: set teacher.method to full, or choose a base of another architecture"
        )
    return heads, ragged, packed


def merged(model: PreTrainedModel) -> PreTrainedModel:
    """Return an ordinary float32 model: what nf4 stands for plus what its adapters learned."""
    result = float_copy(model)
    with torch.no_grad():
        for name, adapter in adapters.layer_adapters(model).items():
            result.get_parameter(f"{name}.weight").add_(adapter.product.cpu())
    result.eval()
    return result
