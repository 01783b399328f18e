"""Quantize a student, and prove that what was saved is what ran."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from minnow.core.files import EMBEDDINGS_KEY
from minnow.core.runtime import Runtime
from minnow.errors import MinnowError, listed
from minnow.models import embeddings, folders, heads
from minnow.models.anatomy import is_position_table, rows_before_texts
from minnow.models.batching import Encoded
from minnow.models.inference import predict_logits
from minnow.models.packed import check_layers, plain_config
from minnow.models.schemes import FLOAT, Scheme, fits_four_bits, misfit

# Texts that the quantized model is run on before and after saving: the logits must be equal to the
# bit.
PROBE_ROWS = 1_000


@dataclass(frozen=True)
class Recipe:
    """What of a student is stored how: linear layers by `scheme`, embeddings by `tables`, which is
    one for all or each table's by name.

    `keep_float` names modules by one part of their dotted name, `precious` single layers whole:
    both stay bfloat16, as do tables without a scheme.
    """

    scheme: Scheme
    keep_float: Sequence[str]
    tables: embeddings.Scheme | Mapping[str, embeddings.Scheme] | None = None
    precious: Collection[str] = ()

    def table_schemes(self, model: nn.Module) -> Mapping[str, embeddings.Scheme]:
        """Return the scheme of each of the model's tables that get packed."""
        if isinstance(self.tables, Mapping):
            return self.tables
        return {} if self.tables is None else dict.fromkeys(embeddings.tables(model), self.tables)


@dataclass(frozen=True)
class Quantized:
    """A quantized student in memory, the names of its quantized layers, and where it was saved."""

    model: PreTrainedModel
    layers: Sequence[str]
    folder: Path


def layers_to_quantize(
    model: PreTrainedModel,
    scheme: Scheme,
    keep_float: Sequence[str],
    *,
    precious: Collection[str] = (),
) -> tuple[list[str], list[str]]:
    """Return the names of the linear layers that get quantized and of those that stay float.

    `keep_float` names modules by one part of their dotted name; what lies below them stays float
    too. The layer with an output per label must be among them: two outputs cannot be packed, and
    bitsandbytes' CPU kernel dies on them. `precious` names single layers, whole, that a budget
    keeps; it may keep all of them. transformers also leaves out what begins or ends with the name
    of a layer that stays: DistilBERT's pre_classifier for its classifier.

    Raises:
        MinnowError: the classification layer is not kept, or a layer does not divide into the
        blocks of 4-bit schemes.
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    named = [
        name
        for name in linear
        if name in precious or any(part in keep_float for part in name.split("."))
    ]
    kept = [
        name
        for name in linear
        if any(name.startswith(other) or name.endswith(other) for other in named)
    ]
    quantized = [name for name in linear if name not in kept]
    check_quantizable(model, scheme, quantized)
    if not quantized and not precious:
        raise MinnowError(
            f"quantize.keep_float ({listed(keep_float)}) leaves no linear layer to quantize"
        )
    return quantized, kept


def check_quantizable(model: PreTrainedModel, scheme: Scheme, layers: Sequence[str]) -> None:
    """Refuse the classification layer, and layers that a scheme of 4 bits cannot hold."""
    last = heads.classification_layer(model)
    for name in layers:
        layer, part = model.get_submodule(name), name.split(".")[-1]
        assert isinstance(layer, nn.Linear), "layers_to_quantize names no others"
        if layer is last:
            raise MinnowError(
                f"quantize.keep_float must name the classification layer: add {part!r} to the list"
            )
        if scheme.bits == 4 and not fits_four_bits(layer):
            together = sum(part in other.split(".") for other in layers)
            raise MinnowError(
                f"{misfit(name, layer)}: choose another width for the student, take scheme int8,"
                f" or add {part!r} to quantize.keep_float, which leaves {together} layers in"
                " bfloat16"
            )


def load_quantized(
    folder: Path, scheme: Scheme, kept: Sequence[str], *, device: torch.device
) -> PreTrainedModel:
    """Return the float model in `folder` with its linear layers quantized and the remainder in
    bfloat16.
    """
    return folders.load_model(
        folder,
        quantization_config=scheme.config(kept),
        dtype=torch.bfloat16,
        device_map={"": device},
    )


def cut_positions(model: PreTrainedModel, longest: int) -> None:
    """Take off the position embeddings that no text of `longest` tokens reaches, and say so in the
    config.

    Where positions are counted from the padding's own on, as many rows more are kept. DeBERTa sizes
    its table of distances by the same number of the config, and keeps all.
    """
    for name, table in embeddings.tables(model).items():
        if (
            not is_position_table(name)
            or table.num_embeddings != model.config.max_position_embeddings
        ):
            continue
        rows = longest + rows_before_texts(table)
        if rows >= table.num_embeddings or sized_by_positions(model.config, rows) != {
            f"{name}.weight"
        }:
            continue
        parent = model.get_submodule(name.rpartition(".")[0])
        for key, buffer in dict(parent.named_buffers(recurse=False)).items():
            if (
                buffer.shape[-1] == table.num_embeddings
            ):  # position_ids and token_type_ids, of shape (1, positions)
                setattr(parent, key, buffer[..., :rows].clone())
        table.weight = nn.Parameter(
            table.weight.detach()[:rows].clone(), requires_grad=table.weight.requires_grad
        )
        table.num_embeddings = model.config.max_position_embeddings = rows


def sized_by_positions(config: PreTrainedConfig, rows: int) -> set[str]:
    """Return the names of the weights that have another shape where the config gives this number of
    positions.
    """
    shapes = []
    for positions in (config.max_position_embeddings, rows):
        plain = plain_config(config)
        plain.max_position_embeddings = positions
        with torch.device("meta"):
            shapes.append(
                {name: weight.shape for name, weight in heads.from_config(plain).named_parameters()}
            )
    return {name for name, shape in shapes[0].items() if shapes[1].get(name) != shape}


def pack_embeddings(
    model: PreTrainedModel, original: PreTrainedModel, schemes: Mapping[str, embeddings.Scheme]
) -> None:
    """Replace tables of the model by packed ones of the original's float32 weights, and say so in
    the config.
    """
    for name, layer in embeddings.make_room_for_tables(model, schemes).items():
        weight = original.get_parameter(f"{name}.weight")[: layer.rows]
        layer.weight = embeddings.quantize_rows(weight, layer.scheme).to(layer.weight.device)
    if schemes:
        setattr(model.config, EMBEDDINGS_KEY, embeddings.described_tables(schemes))


def formats(
    model: PreTrainedModel,
    scheme: Scheme,
    quantized: Collection[str],
    packed: Mapping[str, embeddings.Scheme],
) -> dict[str, str]:
    """Return what each linear layer and each table of a model is stored in, by name."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    tables = {
        name: packed[name].name if name in packed else FLOAT for name in embeddings.tables(model)
    }
    return {name: scheme.name if name in quantized else FLOAT for name in linear} | tables


def check_same(before: torch.Tensor, after: torch.Tensor) -> None:
    """Make sure that the saved model computes bit for bit what the one in memory does; logits are
    (rows, labels).

    Raises:
        MinnowError: they differ.
    """
    if not torch.equal(before, after):
        worst = float((before - after).abs().max())
        raise MinnowError(
            f"the reloaded quantized model's logits differ by up to {worst:.2g}: what was saved is"
            " not what ran"
        )


def quantize(
    student: Path, out: Path, recipe: Recipe, *, probe: Encoded, device: torch.device
) -> None:
    """Write to `out` the student with its linear layers quantized, and check it against what is
    read back, by running both on the probe.

    Raises:
        MinnowError: a scheme does not fit the student, or what was saved is not what ran.
    """
    quantized = write_quantized(student, out, recipe, device=device)
    check_saved(quantized, recipe.scheme, probe=probe, device=device)


def check_saved(
    quantized: Quantized, scheme: Scheme, *, probe: Encoded, device: torch.device
) -> None:
    """Make sure that what was saved is what is in memory, by running both on the probe.

    Raises:
        MinnowError: it is not.
    """
    saved = folders.load_for_inference(quantized.folder, Runtime(device, torch.bfloat16))
    check_layers(saved, scheme, quantized.layers)
    model = heads.with_float32_logits(quantized.model)
    check_same(
        predict_logits(model, probe, device=device), predict_logits(saved, probe, device=device)
    )


def write_quantized(
    student: Path,
    out: Path,
    recipe: Recipe,
    *,
    device: torch.device,
    facts: Mapping[str, Any] | None = None,
) -> Quantized:
    """Write the quantized student and return it; `facts` go into its manifest.

    It is saved before the first forward pass, because bitsandbytes' CPU kernel repacks the weights
    then and drops the statistics of the double quantization.
    """
    original, tokenizer = folders.load_model(student), folders.load_tokenizer(student)
    names, kept = layers_to_quantize(
        original, recipe.scheme, recipe.keep_float, precious=recipe.precious
    )
    model = load_quantized(student, recipe.scheme, kept, device=device)
    cut_positions(model, tokenizer.model_max_length)
    tables = recipe.table_schemes(model)
    facts = {**(facts or {}), "formats": formats(original, recipe.scheme, names, tables)}
    pack_embeddings(model, original, tables)
    folders.save(model, tokenizer, out, facts=facts, compact=True)
    return Quantized(model, names, out)
