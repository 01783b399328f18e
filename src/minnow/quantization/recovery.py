"""Recovery: what a quantized student learns after quantization, to make up for what that cost.

Its packed weights stay frozen. Low-rank adapters learn beside them, and so does all that is float
already but the embeddings: biases, norms and the classification head. A float copy of the student
is trained, whose frozen weights are exactly the numbers that the packed ones stand for, because
bitsandbytes' CPU kernel repacks 4-bit weights when it runs them; and what decides is always the
score of the model as it will be saved.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from minnow.core.files import ADAPTERS_KEY, MANIFEST, read_json, write_json, write_manifest
from minnow.core.runtime import Runtime
from minnow.core.selection import validation_f1
from minnow.errors import MinnowError, tell
from minnow.models import adapters, heads
from minnow.models.adapters import Pair
from minnow.models.batching import Encoded, encode
from minnow.models.folders import (
    bytes_by_part,
    count_parameters,
    folder_bytes,
    load_for_inference,
    load_model,
    load_tokenizer,
)
from minnow.models.inference import predict_logits
from minnow.models.packed import float_copy, packed_layers
from minnow.quantization.quantize import check_same
from minnow.training.curves import curve_of
from minnow.training.fitting import fit_tables
from minnow.training.params import TrainingParams
from minnow.training.targets import Loss


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
    pairs: Mapping[str, Pair]


@dataclass(frozen=True)
class Folders:
    """The student as quantized, which recovery begins with, and the float student that it was
    quantized from.
    """

    packed: Path
    student: Path


def recover(
    folders: Folders,
    out: Path,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    teacher_logits: Any,
    loss: Loss,
    training: TrainingParams,
    adapted: Adapters,
    run: Runtime,
    seed: int,
    checkpoint: Path,
) -> pl.DataFrame:
    """Write to `out` the recovered student, or the unrecovered one if validation F1 did not rise;
    return the curve.

    The curve begins with epoch 0, the student as it was. `manifest.json` says under `recovery` what
    came of it. A student that was quantized within a budget stays within it, or is not kept.
    Adapters are drawn from torch's generator, so seed it. `teacher_logits` has shape (rows of
    train, labels).

    Raises:
        MinnowError: there is no 4-bit layer to adapt, a budget has no room for adapters, or what
            was saved is not what ran.
    """
    encoded = encode(load_tokenizer(folders.packed), validation["text"].to_list())
    labels = validation["label"].to_numpy()
    budget = read_json(folders.packed / MANIFEST).get("budget")
    before = validation_f1(logits_of(load_packed(folders.packed, run.device), encoded, run), labels)
    model = trainable(load_packed(folders.packed, torch.device("cpu")), adapted)
    if budget and adapted.shipped:
        check_room(folders.packed, adapters.pairs(model), budget["bytes"])

    def as_saved(trained: PreTrainedModel) -> PreTrainedModel:
        return rebuilt(folders, learnt(trained), shipped=adapted.shipped, device=run.device)

    curve = fit_tables(
        model,
        load_tokenizer(folders.packed),
        train,
        validation,
        teacher_logits=teacher_logits,
        loss=loss,
        params=training,
        run=run,
        seed=seed,
        desc="recovery",
        checkpoint=checkpoint,
        validate=lambda trained: logits_of(as_saved(trained), encoded, run),
    )
    result = as_saved(model)
    state = {name: tensor.cpu().contiguous() for name, tensor in result.state_dict().items()}
    logits = logits_of(result, encoded, run)
    after = validation_f1(logits, labels)
    kept = after > before
    tell(
        f"recovery: validation F1 {before:.4f} before, {after:.4f} after,"
        f" {'kept' if kept else 'not kept'}"
    )
    facts = {
        **_kind(adapted),
        "epochs": training.epochs,
        "validation_f1_before": round(before, 6),
        "validation_f1_after": round(after, 6),
        "kept": kept,
    }
    write(folders.packed, out, result if kept else None, state, facts)
    if (
        kept and budget and folder_bytes(out) > budget["bytes"]
    ):  # scales written as text take a few bytes more
        tell(f"recovery: {folder_bytes(out):,} bytes, above quantize.budget_mb: not kept")
        kept = False
        shutil.rmtree(out)
        write(folders.packed, out, None, state, {**facts, "kept": kept})
    if kept:
        saved = load_for_inference(out, Runtime(run.device, torch.bfloat16))
        check_same(logits, predict_logits(saved, encoded, device=run.device))
    return pl.concat([curve_of([{"epoch": 0, "loss": None, "validation_f1": before}]), curve])


def check_room(packed: Path, pairs: adapters.Pairs, budget: int) -> None:
    """Refuse adapters that would take a folder above its budget of bytes, before they are trained.

    Raises:
        MinnowError: they would.
    """
    more = sum(pair.a.numel() + pair.b.numel() for pair in pairs.values()) * adapters.DTYPE.itemsize
    there = folder_bytes(packed)
    if there + more > budget:
        raise MinnowError(
            f"recover.adapters is shipped, and adapters would take {more / 1e6:.3f} MB beside the"
            f" {there / 1e6:.3f} MB that quantize.budget_mb, {budget / 1e6:g}, was spent on: set"
            " recover.adapters to merged, recover.lora to null, or quantize.budget_mb to null"
        )


def _kind(adapted: Adapters) -> dict[str, Any]:
    if adapted.rank == 0:
        return {"adapters": "none"}
    return {
        "adapters": "shipped" if adapted.shipped else "merged",
        "rank": adapted.rank,
        "alpha": adapted.alpha,
    }


def logits_of(model: PreTrainedModel, encoded: Encoded, run: Runtime) -> Tensor:
    """Return the logits (rows, labels) that a packed model gives where it is used."""
    return predict_logits(heads.with_float32_logits(model), encoded, device=run.device)


def load_packed(folder: Path, device: torch.device) -> PreTrainedModel:
    """Return a quantized student as it is saved, never run."""
    return load_model(folder, device_map={"": device})


# --- What is trained ------------------------------------------------------------------------------
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


# --- And back -------------------------------------------------------------------------------------
def learnt(model: PreTrainedModel) -> Learnt:
    """Return what a model of `trainable` has learnt so far."""
    floats = {
        adapters.plain_name(name): weight.detach()
        for name, weight in model.named_parameters()
        if weight.requires_grad and ".lora_" not in name
    }
    return Learnt(floats, adapters.pairs(model))


def rebuilt(
    folders: Folders, found: Learnt, *, shipped: bool, device: torch.device
) -> PreTrainedModel:
    """Return the packed model with what was learnt, as it will be saved; never run.

    Merged adapters are added to the float student's weights, and the sum is quantized as the layer
    was. Added to the packed weights, most would vanish: these lie on the steps of the code, and
    small changes are rounded back to them.
    """
    model = load_packed(folders.packed, device)
    with torch.no_grad():
        for name, value in found.floats.items():
            model.get_parameter(name).copy_(value)
    if shipped and found.pairs:
        adapters.attach(model, found.pairs)
    elif found.pairs:
        original = load_model(folders.student)
        for name, pair in found.pairs.items():
            requantize(
                model.get_submodule(name),
                original.get_parameter(f"{name}.weight").float() + pair.product.cpu(),
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


def write(
    packed: Path,
    out: Path,
    model: PreTrainedModel | None,
    state: Mapping[str, Tensor],
    facts: Mapping[str, Any],
) -> None:
    """Write the folder of a recovered model, or the packed one's where `model` is None, with
    `facts` in its manifest.

    `state` is the model's before it ran. It is written as it is: save_pretrained refuses a 4-bit
    model that was loaded.
    """
    shutil.copytree(packed, out, copy_function=shutil.copyfile)
    told = {key: value for key, value in read_json(packed / MANIFEST).items() if key != "files"}
    if model is not None:
        (weights,) = out.glob("*.safetensors")
        weights.unlink()
        config = read_json(out / "config.json")
        if hasattr(model.config, ADAPTERS_KEY):
            weights = out / adapters.WEIGHTS
            write_json(
                out / "config.json", {**config, ADAPTERS_KEY: getattr(model.config, ADAPTERS_KEY)}
            )
        save_file(dict(state), weights, metadata={"format": "pt"})
        weights.chmod((out / "config.json").stat().st_mode)
        told |= {"parameters": count_parameters(model), "bytes_by_part": bytes_by_part(model, out)}
    write_manifest(out, {**told, "recovery": facts})
