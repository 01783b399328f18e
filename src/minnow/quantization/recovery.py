"""Recovery: what a quantized student learns after quantization, to make up for what that cost.

Its packed weights stay frozen. Low-rank adapters learn beside them, and so does all that is float
already but the embeddings: biases, norms and the classification head. A float copy of the student
is trained, whose frozen weights are exactly the numbers that the packed ones stand for, because
bitsandbytes' CPU kernel repacks 4-bit weights when it runs them; and what decides is always the
score of the model as it will be saved.
"""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel

from minnow.core.files import ADAPTERS_KEY, MANIFEST, read_json, write_json, write_manifest
from minnow.core.runtime import Runtime
from minnow.core.selection import Score, Selection
from minnow.errors import MinnowError, tell
from minnow.models import adapters, heads
from minnow.models.adapters import LayerAdapters
from minnow.models.batching import Encoded, encode
from minnow.models.folders import (
    bytes_by_part,
    count_parameters,
    folder_bytes,
    load_for_inference,
    load_tokenizer,
)
from minnow.models.inference import predict_logits
from minnow.quantization.quantize import check_same
from minnow.quantization.rebuilding import (
    Adapters,
    Folders,
    learnt,
    load_packed,
    rebuilt,
    trainable,
)
from minnow.training.curves import curve_of
from minnow.training.fitting import Tables, fit_tables
from minnow.training.history import scores_by_part
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.targets import Loss


@dataclass(frozen=True)
class Judge:
    """What decides: the score on validation of packed models, computed where and as they are
    used. The last `extra` rows are validation's extra part.
    """

    encoded: Encoded
    labels: np.typing.NDArray[np.int64]
    device: torch.device
    selection: Selection
    extra: int

    def logits(self, packed: PreTrainedModel) -> Tensor:
        """Return the logits (rows, labels) that a packed model gives."""
        model = heads.with_float32_logits(packed)
        return predict_logits(model, self.encoded, device=self.device)

    def score(self, logits: Tensor) -> Score:
        """Return what logits (rows, labels) are worth."""
        return self.selection.score(logits, self.labels, self.extra)

    @property
    def decides(self) -> str:
        """What the score is, in words."""
        name = "F1" if self.selection.by == "f1" else self.selection.by
        return (
            f"mean {name} of validation and its extra part" if self.extra else f"validation {name}"
        )


@dataclass(frozen=True)
class Recovered:
    """A recovered model, and its weights before it ran."""

    model: PreTrainedModel
    state: Mapping[str, Tensor]


@dataclass(frozen=True)
class Attempt:
    """A recovered model, its logits (rows, labels), and its validation score before and after."""

    recovered: Recovered
    logits: Tensor
    before: Score
    after: Score

    @property
    def better(self) -> bool:
        """Whether the number that chooses rose; an average precision alone keeps nothing."""
        return self.after.value > self.before.value


def recover_student(
    folders: Folders, tables: Tables, adapted: Adapters, loss: Loss, schedule: Schedule, job: Job
) -> pl.DataFrame:
    """Write the recovered student, or the unrecovered one if its score on validation did not rise;
    return the curve.

    The curve begins with epoch 0, the student as it was. `manifest.json` says under `recovery` what
    came of it. A student that was quantized within a budget stays within it, or is not kept.
    Adapters are drawn from torch's generator, so seed it.

    Raises:
        MinnowError: there is no 4-bit layer to adapt, a budget has no room for adapters, or what
            was saved is not what ran.
    """
    judge = judge_of(folders.packed, tables, job.runtime.device, schedule.selection)
    before = judge.score(judge.logits(load_packed(folders.packed, judge.device)))
    model = trainable(load_packed(folders.packed, torch.device("cpu")), adapted)
    budget = budget_bytes(folders.packed)
    if budget is not None and adapted.shipped:
        check_room(folders.packed, adapters.layer_adapters(model), budget)

    def as_saved(trained: PreTrainedModel) -> PreTrainedModel:
        return rebuilt(folders, learnt(trained), shipped=adapted.shipped, device=judge.device)

    objective = Objective(loss, validate=lambda trained: judge.logits(as_saved(trained)))
    tokenizer = load_tokenizer(folders.packed)
    curve = fit_tables(model, tokenizer, tables, objective, schedule, job)
    attempt = attempt_of(as_saved(model), judge, before)
    facts = {**_kind(adapted), "epochs": schedule.params.epochs}
    if write_better(attempt, folders, facts, budget):
        saved = load_for_inference(folders.out, Runtime(judge.device, torch.bfloat16))
        check_same(attempt.logits, predict_logits(saved, judge.encoded, device=judge.device))
    start = {"epoch": 0, "loss": None, "validation_f1": before.f1, **scores_by_part(before)}
    return pl.concat([curve_of([start]), curve])


def judge_of(packed: Path, tables: Tables, device: torch.device, selection: Selection) -> Judge:
    """Return what decides about models with this folder's tokenizer."""
    rows = tables.choosing
    encoded = encode(load_tokenizer(packed), rows["text"].to_list())
    return Judge(encoded, rows["label"].to_numpy(), device, selection, tables.extra)


def budget_bytes(packed: Path) -> int | None:
    """Return the bytes within which a student was quantized, None where there is no budget."""
    budget = read_json(packed / MANIFEST).get("budget")
    return int(budget["bytes"]) if budget else None


def attempt_of(model: PreTrainedModel, judge: Judge, before: Score) -> Attempt:
    """Run the recovered model for the first time, and tell what it is worth."""
    recovered = recovered_as(model)
    logits = judge.logits(model)
    attempt = Attempt(recovered, logits, before, judge.score(logits))
    tell(
        f"recovery: {judge.decides} {before.value:.4f} before, {attempt.after.value:.4f} after,"
        f" {'kept' if attempt.better else 'not kept'}"
    )
    return attempt


def recovered_as(model: PreTrainedModel) -> Recovered:
    """Return a rebuilt model, which has never run, with its weights as they are now."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    return Recovered(model, state)


def write_better(
    attempt: Attempt, folders: Folders, facts: Mapping[str, Any], budget: int | None
) -> bool:
    """Write the better student within the budget, and return whether it is the recovered one.

    `facts` are what the manifest says of the recovery beside its F1.
    """
    out, kept = folders.out, attempt.better
    facts = {
        **facts,
        "validation_f1_before": round(attempt.before.f1, 6),
        "validation_f1_after": round(attempt.after.f1, 6),
        **_parts(attempt.before, "before"),
        **_parts(attempt.after, "after"),
        "kept": kept,
    }
    write_recovered(folders, attempt.recovered if kept else None, facts)
    # Scales written as text take a few bytes more.
    if kept and budget is not None and folder_bytes(out) > budget:
        tell(f"recovery: {folder_bytes(out):,} bytes, above quantize.budget_mb: not kept")
        kept = False
        shutil.rmtree(out)
        write_recovered(folders, None, {**facts, "kept": kept})
    return kept


def _parts(score: Score, when: str) -> dict[str, float | None]:
    """Return the score's parts as JSON, None for that of a model that overflowed."""
    return {
        f"{name}_{when}": round(value, 6) if math.isfinite(value) else None
        for name, value in scores_by_part(score).items()
    }


def check_room(packed: Path, adapted: LayerAdapters, budget: int) -> None:
    """Refuse adapters that would take a folder above its budget of bytes, before they are trained.

    Raises:
        MinnowError: they would.
    """
    numbers = sum(adapter.a.numel() + adapter.b.numel() for adapter in adapted.values())
    more, present = numbers * adapters.DTYPE.itemsize, folder_bytes(packed)
    if present + more > budget:
        raise MinnowError(
            f"recover.adapters is shipped, and adapters would take {more / 1e6:.3f} MB beside the"
            f" {present / 1e6:.3f} MB that quantize.budget_mb, {budget / 1e6:g}, was spent on: set"
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


def write_recovered(
    folders: Folders, recovered: Recovered | None, facts: Mapping[str, Any]
) -> None:
    """Write the folder of a recovered model, or the packed one's where there is none, with `facts`
    in its manifest.

    The weights are written as they are: save_pretrained refuses a 4-bit model that was loaded.
    """
    out = folders.out
    shutil.copytree(folders.packed, out, copy_function=shutil.copyfile)
    manifest = {key: value for key, value in read_json(out / MANIFEST).items() if key != "files"}
    if recovered is not None:
        model = recovered.model
        (weights,) = out.glob("*.safetensors")
        weights.unlink()
        config = read_json(out / "config.json")
        if hasattr(model.config, ADAPTERS_KEY):
            weights = out / adapters.WEIGHTS
            write_json(
                out / "config.json", {**config, ADAPTERS_KEY: getattr(model.config, ADAPTERS_KEY)}
            )
        save_file(dict(recovered.state), weights, metadata={"format": "pt"})
        weights.chmod((out / "config.json").stat().st_mode)
        manifest |= {
            "parameters": count_parameters(model),
            "bytes_by_part": bytes_by_part(model, out),
        }
    write_manifest(out, {**manifest, "recovery": facts})
