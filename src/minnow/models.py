"""Classifiers as Minnow saves them: two labels, safetensors, a manifest; and the parts that they have."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from minnow import store
from minnow.errors import MinnowError
from minnow.runtime import Runtime

LABELS = {0: "safe", 1: "phishing"}
# Keys that differ between runs or machines without changing the model.
VARYING_KEYS = ("local_files_only", "name_or_path", "_name_or_path", "is_local", "_commit_hash")


def name_labels(config: PreTrainedConfig) -> None:
    """Write Minnow's names of the two labels into a config."""
    config.id2label = dict(LABELS)
    config.label2id = {name: index for index, name in LABELS.items()}


def from_config(config: PreTrainedConfig) -> PreTrainedModel:
    """Return a float32 classifier with weights drawn from torch's generator."""
    return AutoModelForSequenceClassification.from_config(config, dtype=torch.float32, trust_remote_code=False)


def classification_layer(model: PreTrainedModel) -> nn.Linear:
    """Return the last linear layer of the head, the one with an output per label."""
    layers = [m for m in head_modules(model).values() if m.out_features == len(LABELS)]
    if not layers:
        raise MinnowError(f"{type(model).__name__} has no linear layer with {len(LABELS)} outputs for a head")
    return layers[-1]


def head_modules(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Return the linear layers outside the model's body, by name."""
    prefix = f"{model.base_model_prefix}."
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not name.startswith(prefix)
    }


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a Hugging Face folder that is the same bytes for the same model, with `manifest.json` beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    strip_varying_keys(folder)
    store.write_manifest(folder, {"parameters": count_parameters(model), "bytes_by_part": bytes_by_part(model, folder)})


def strip_varying_keys(folder: Path) -> None:
    """Remove from the JSON files what differs between runs or machines, such as the path loaded from."""
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text(encoding="utf-8"))
        kept = {key: value for key, value in content.items() if key not in VARYING_KEYS}
        if kept != content:
            file.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def load_model(folder: Path, **options: Any) -> PreTrainedModel:
    """Return the model of a folder that `save` wrote, in eval mode; `options` go to `from_pretrained`."""
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, **options
    )
    return model.eval()


def load_for_inference(folder: Path, run: Runtime) -> PreTrainedModel:
    """Return the model on the run's device: in the run's dtype, or as it was quantized."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "quantization_config", None) is not None:
        return load_model(folder, device_map={"": run.device})
    return load_model(folder, dtype=run.dtype).to(run.device)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a folder that `save` wrote."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


def count_parameters(model: PreTrainedModel) -> int:
    """Return the number of weights, those packed into 4 bits counted singly."""
    return int(model.num_parameters())


def bytes_by_part(model: PreTrainedModel, folder: Path) -> dict[str, int]:
    """Return the bytes of a saved model by part: `embeddings`, `body`, `head` (weights) and `other` (all other files)."""
    from safetensors import safe_open

    prefix = f"{model.base_model_prefix}."
    parts = {"embeddings": 0, "body": 0, "head": 0}
    files = sorted(folder.glob("*.safetensors"))
    for file in files:
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118  # no mapping, it only has keys()
                tensor = weights.get_tensor(name)
                parts[part_of(name, prefix)] += tensor.numel() * tensor.element_size()
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != store.MANIFEST)
    return {**parts, "other": total - sum(parts.values())}


def part_of(name: str, prefix: str) -> str:
    """Return which part a weight belongs to, by its name and the prefix of the body's names."""
    if not name.startswith(prefix):
        return "head"
    return "embeddings" if "embeddings." in name else "body"
