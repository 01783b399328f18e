"""Tiny quantized models of every kind that can be exported, and the float64 numbers of torch that
they are held against.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from helpers.models import classifier
from minnow.models import adapters, embeddings, folders, heads, schemes
from minnow.models.adapters import Adapter
from minnow.models.heads import name_labels
from minnow.models.packed import packed_layers, plain_config
from minnow.quantization import quantize, recovery
from minnow.quantization.quantize import Recipe
from minnow.quantization.rebuilding import Folders, load_packed

CPU = torch.device("cpu")
KEEP = ["classifier", "pre_classifier"]
# Four of `hidden_size`'s, so that double-quantized scales come in more than one group.
NEURONS = 320


def shape_of(kind: str, width: int) -> dict[str, Any]:
    """Return the sizes of a tiny model as its config calls them."""
    if kind == "distilbert":
        return {"dim": width, "hidden_dim": NEURONS}
    options = {"hidden_size": width, "intermediate_size": NEURONS}
    return {**options, "pad_token_id": 1} if kind == "roberta" else options


def student(
    kind: str, tokenizer: PreTrainedTokenizerBase, out: Path, *, width: int = 64, **options: Any
) -> Path:
    """Write a student whose weights lie far from their first values."""
    model = classifier(kind, **(shape_of(kind, width) | {"vocab_size": len(tokenizer)} | options))
    if model.config.num_labels == 2:
        name_labels(model.config)
    folders.save(model, tokenizer, out)
    return out


def quantized_folder(
    source: Path,
    out: Path,
    scheme: Literal["nf4", "fp4", "int8"] = "nf4",
    *,
    double: bool = True,
    tables: str | dict[str, str] = "nf4",
    precious: Sequence[str] = (),
) -> Path:
    """Write a student as quantized; `precious` layers stay bfloat16."""
    record = schemes.scheme(scheme, double_quantization=double and scheme != "int8")
    packed: Any = (
        embeddings.SCHEMES.get(tables)
        if isinstance(tables, str)
        else {name: embeddings.SCHEMES[its] for name, its in tables.items()}
    )
    recipe = Recipe(record, KEEP, packed, precious)
    quantize.write_quantized(source, out, recipe, device=CPU)
    return out


def with_adapters(packed: Path, source: Path, out: Path, *, rank: int = 4) -> Path:
    """Write a quantized student with random adapters shipped beside all of its 4-bit layers."""
    model = load_packed(packed, CPU)
    made = {
        name: Adapter(
            0.2 * torch.randn(rank, layer.in_features),
            0.2 * torch.randn(layer.out_features, rank),
            2.0,
        )
        for name, layer in packed_layers(model, bits=4).items()
    }
    adapters.attach(model, made)
    recovery.write_recovered(Folders(packed, source, out), recovery.recovered_as(model), {})
    return out


def float64_model(folder: Path) -> PreTrainedModel:
    """Return a torch model of the numbers that a quantized one stands for, in float64, by torch's
    and bitsandbytes' own code.
    """
    packed = folders.load_model(folder, device_map={"": CPU})
    model = heads.from_config(plain_config(packed.config)).double()
    state = {**dict(packed.named_parameters()), **dict(packed.named_buffers())}
    for name, layer in packed_layers(packed).items():
        state[f"{name}.weight"] = _float_weight(layer) + _adapter_product(packed, name)
    for name, module in packed.named_modules():
        if isinstance(module, embeddings.QuantizedEmbedding):
            whole = torch.arange(module.rows)
            state[f"{name}.weight"] = embeddings.dequantize_rows(
                module.weight[whole], module.width, module.scheme
            )
    model.load_state_dict({name: state[name].detach().double() for name in model.state_dict()})
    return model.eval()


def _float_weight(layer: Any) -> Tensor:
    from bitsandbytes.functional import dequantize_4bit

    if layer.weight.dtype == torch.int8:
        scales = layer.weight.SCB if layer.weight.SCB is not None else layer.state.SCB
        return layer.weight.data.double() * scales.double()[:, None] / 127
    layer.weight.quant_state.dtype = torch.float32  # else rounded to bfloat16
    weight: Tensor = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
    return weight.double()


def _adapter_product(model: PreTrainedModel, name: str) -> Tensor | float:
    described = adapters.adapters_of_config(model.config)
    if described is None:
        return 0.0
    room = model.get_submodule("minnow_adapters")
    a, b = (room.get_parameter(adapters.parameter_name(name, each)).double() for each in ("a", "b"))
    return described.scale * (b @ a)


def float64_logits(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> Tensor:
    """Return the logits (rows, labels) of token ids, one text at a time."""
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([list(ids)])).logits for ids in texts]
    return torch.cat(rows)
