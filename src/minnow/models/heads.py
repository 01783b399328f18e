"""The two labels, and the layer that gives a logit for each."""

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel

from minnow.errors import MinnowError

LABELS = {0: "safe", 1: "phishing"}


def name_labels(config: PreTrainedConfig) -> None:
    """Write Minnow's names of the two labels into a config."""
    config.id2label = dict(LABELS)
    config.label2id = {name: index for index, name in LABELS.items()}


def from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a float32 classifier with weights drawn from torch's generator."""
    model: PreTrainedModel = AutoModelForSequenceClassification.from_config(
        config, dtype=torch.float32, trust_remote_code=False
    )
    return model


def classification_layer(model: PreTrainedModel) -> nn.Linear:
    """Return the last linear layer of the head, the one with an output per label."""
    layers = [m for m in head_modules(model).values() if m.out_features == len(LABELS)]
    if not layers:
        raise MinnowError(
            f"{type(model).__name__} has no linear layer with {len(LABELS)} outputs for a head"
        )
    return layers[-1]


def head_modules(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Return the linear layers outside the model's body, by name."""
    prefix = f"{model.base_model_prefix}."
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(prefix)
    }


def with_float32_logits(model: PreTrainedModel) -> PreTrainedModel:
    """Let the classification layer compute in float32, whatever dtype the model has, and return the
    model.

    A bfloat16 logit has 8 significant bits: of 4,483 rows a quantized student then gave 647
    different margins, and a threshold for few false positives fell between rows that it could not
    tell apart.
    """
    layer = classification_layer(model)
    if layer.weight.dtype != torch.float32:
        nn.Module.to(layer, torch.float32)
        layer.register_forward_pre_hook(_to_float32)
    return model


def _to_float32(layer: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].float(),)
