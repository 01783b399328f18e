"""Tiny models of the architectures that Minnow takes, and folders of them."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

VOCABULARY, WIDTH, POSITIONS = 300, 64, 66
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
}
DISTILBERT = {
    "vocab_size": VOCABULARY,
    "dim": WIDTH,
    "n_heads": 2,
    "hidden_dim": 96,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
}
EXTRA = {
    "electra": {"embedding_size": WIDTH},
    "modernbert": dict.fromkeys(("bos_token_id", "cls_token_id"), 1),
}
EXTRA["modernbert"] |= dict.fromkeys(("eos_token_id", "sep_token_id"), 2)
EXTRA["deberta-v2"] = {
    "relative_attention": True,
    "position_buckets": 16,
    "pos_att_type": ["p2c", "c2p"],
}


def classifier(kind: str = "bert", *, layers: int = 2, **options: Any) -> PreTrainedModel:
    """Return a classifier whose weights, norms and biases too, are far from their first values."""
    config = _config(kind, layers, options)
    return _shaken(AutoModelForSequenceClassification.from_config(config))


def body(kind: str = "bert", *, layers: int = 2, **options: Any) -> PreTrainedModel:
    """Return the same without a head."""
    return _shaken(AutoModel.from_config(_config(kind, layers, options)))


def _config(kind: str, layers: int, options: dict[str, Any]) -> Any:
    shape = (
        DISTILBERT | {"n_layers": layers}
        if kind == "distilbert"
        else SHAPE | {"num_hidden_layers": layers}
    )
    return AutoConfig.for_model(kind, **(shape | EXTRA.get(kind, {}) | options))


def _shaken(model: Any) -> PreTrainedModel:
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    model.eval()
    return model


def padded_batch() -> dict[str, Tensor]:
    """Return three texts of different lengths."""
    ids = torch.randint(5, VOCABULARY, (3, 12))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    mask[2, 3:] = 0
    return {"input_ids": ids.masked_fill(mask == 0, 0), "attention_mask": mask}


def logits(model: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    """Return a model's logits in eval mode."""
    with torch.inference_mode():
        output: Tensor = model.eval()(**batch).logits
    return output


def saved(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> Path:
    """Write a base model as others publish it."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def named(model: PreTrainedModel, zero: str, one: str) -> PreTrainedModel:
    """Return the model with other names for its labels."""
    model.config.id2label = {0: zero, 1: one}
    model.config.label2id = {zero: 0, one: 1}
    return model
