"""A classifier with fewer layers."""

import copy
import re
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError, listed, warn
from minnow.models.heads import classification_layer, from_config
from minnow.models.schemes import fits_four_bits, misfit
from minnow.student.shapes import check_heads

# The number of a layer in a weight's name, in the ways that transformers' encoders spell it.
LAYER = re.compile(r"^(?P<before>.*?\b(?:layers?|h|block)\.)(?P<number>\d+)(?P<after>\..*)$")
# Lists in configs that have no entry per layer, however many they have: DeBERTa's kinds of
# attention are two.
OTHER_LISTS = ("architectures", "pos_att_type")


def shrink(
    source: PreTrainedModel,
    *,
    layers: int,
    heads: int | None,
    copy_layers: Sequence[int] | None,
    dropout: float | None,
) -> PreTrainedModel:
    """Return a classifier like `source` with fewer layers, each a copy of one of the source's.

    `copy_layers` names the source's layers, counted from 0; None takes evenly spaced ones, the last
    among them. `heads` None keeps the number of heads. Another number that divides the width
    re-cuts the same columns into other heads: it warns, since what the heads had learned is
    scrambled until training repairs it. `dropout` None keeps the source's rates.

    Raises:
        MinnowError: more layers than there are, a layer that does not exist, heads that do not
            divide the width, or an architecture whose layers are not alike.
    """
    config = copy.deepcopy(source.config)
    total, state = int(config.num_hidden_layers), source.state_dict()
    if {int(match["number"]) for match in map(LAYER.match, state) if match} != set(range(total)):
        raise MinnowError(
            f"the layers of a {config.model_type!r} model share their weights or stand in groups,"
            " so single ones cannot be copied; take a BERT-like base for the student, or init:"
            " scratch"
        )
    chosen = chosen_layers(layers, total, copy_layers)
    set_layers(config, chosen)
    if heads is not None and heads != config.num_attention_heads:
        check_heads(
            heads, config.hidden_size, size=config.hidden_size // config.num_attention_heads
        )
        config.num_attention_heads = heads
    if dropout is not None:
        set_dropout(config, dropout)
    student = from_config(config)
    try:
        student.load_state_dict(renumbered(state, chosen))
    except RuntimeError as error:
        raise MinnowError(
            f"layers {listed(chosen)} with {config.num_attention_heads} heads make no"
            f" {config.model_type!r} model ({' '.join(str(error).split())[:150]}); keep"
            " student.heads null, and layer 0 first in copy_layers"
        ) from None
    return student


def set_layers(config: PreTrainedConfig, chosen: Sequence[int]) -> None:
    """Describe a model that has only the chosen layers, in the config's lists with an entry per
    layer too.
    """
    total = config.num_hidden_layers
    config.num_hidden_layers = len(chosen)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == total and name not in OTHER_LISTS:
            setattr(config, name, [value[number] for number in chosen])


def set_dropout(config: PreTrainedConfig, dropout: float) -> None:
    """Set every dropout rate that the config has a number for."""
    for name, value in config.to_dict().items():
        if "dropout" in name and isinstance(value, int | float) and not isinstance(value, bool):
            setattr(config, name, dropout)


def chosen_layers(layers: int, total: int, copy_layers: Sequence[int] | None) -> list[int]:
    """Return which of `total` layers a student of `layers` copies."""
    if layers > total:
        raise MinnowError(
            f"student.layers is {layers}, but its source has only {total}; set it to {total} or"
            " fewer"
        )
    if copy_layers is None:
        return (
            [int(number) for number in np.linspace(0, total - 1, layers).round()]
            if layers > 1
            else [total - 1]
        )
    outside = [number for number in copy_layers if not 0 <= number < total]
    if outside:
        raise MinnowError(
            f"student.copy_layers names layer {listed(outside)}; the source has layers 0 to"
            f" {total - 1}"
        )
    return list(copy_layers)


def check_blocks(model: PreTrainedModel) -> None:
    """Warn of linear layers that 4-bit schemes will refuse, before a training is paid for.

    Raises:
        MinnowError: there is none at all to quantize: GPT-2's layers are of another kind.
    """
    last = classification_layer(model)
    if not any(isinstance(layer, nn.Linear) for layer in model.base_model.modules()):
        raise MinnowError(
            f"{type(model).__name__} has no linear layers that could be quantized: choose a base of"
            " another architecture"
        )
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear) or layer is last:
            continue
        if not fits_four_bits(layer):
            warn(
                f"the student's {misfit(name, layer)}: choose another width, or quantize.scheme"
                " int8"
            )
            return


def renumbered(state: Mapping[str, Tensor], chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return a state dict whose layer i is layer chosen[i] of `state`; what is in no layer
    stays.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = LAYER.match(name)
        if match is None:
            result[name] = tensor
            continue
        for new, old in enumerate(chosen):
            if int(match["number"]) == old:
                result[f"{match['before']}{new}{match['after']}"] = tensor
    return result
