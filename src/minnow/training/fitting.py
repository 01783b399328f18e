"""From tables and a model to a trained model and its curve."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.files import require_space
from minnow.core.runtime import Runtime
from minnow.core.selection import validation_f1
from minnow.models.batching import encode
from minnow.models.folders import count_parameters
from minnow.training.curves import curve_of
from minnow.training.loop import Guide, fit
from minnow.training.params import TrainingParams
from minnow.training.targets import NO_LABEL, Loss, Targets

# Float32 copies on disk. Of what is trained: masters, best and two moments in a checkpoint, and its
# successor's too.
COPIES_IN_CHECKPOINTS = 8
# Of the whole model: the out, and DVC's copy of it.
COPIES_OF_OUT = 2


def fit_tables(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: pl.DataFrame,
    validation: pl.DataFrame,
    *,
    loss: Loss,
    params: TrainingParams,
    run: Runtime,
    seed: int,
    desc: str,
    checkpoint: Path,
    teacher_logits: Any = None,
    guide: Guide | None = None,
    validate: Callable[[PreTrainedModel], Tensor] | None = None,
) -> pl.DataFrame:
    """Train `model` in place on tables with `text` and `label`; return its curve, one row an epoch.

    `teacher_logits` has shape (rows of train, labels) and the order of train, whose rows `guide`
    knows by number. A label of train may be `NO_LABEL`, as `with_unlabelled` sets it. `validate` is
    `training.fit`'s.

    Raises:
        MinnowError: the disk has too little space for the weights.
    """
    require_space(checkpoint, bytes_on_disk(model, guide))
    soft = None if teacher_logits is None else torch.from_numpy(teacher_logits)
    labels = validation["label"].to_numpy()
    history = fit(
        model,
        encode(tokenizer, train["text"].to_list()),
        Targets(torch.tensor(train["label"].to_list()), soft),
        encode(tokenizer, validation["text"].to_list()),
        loss=loss,
        score=lambda logits: validation_f1(logits, labels),
        params=params,
        runtime=run,
        seed=seed,
        desc=desc,
        checkpoint=checkpoint,
        guide=guide,
        validate=validate,
    )
    return curve_of(history)


def with_unlabelled(
    train: pl.DataFrame, teacher_logits: Any, texts: Sequence[str], logits: Any
) -> tuple[pl.DataFrame, Any]:
    """Return train as `text` and `label`, and the teacher's logits (rows, labels), with the rows it
    alone labelled.
    """
    rows = train.select("text", "label")
    more = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
        label=pl.lit(NO_LABEL, rows["label"].dtype)
    )
    return pl.concat([rows, more]), np.concatenate([teacher_logits, logits])


def bytes_on_disk(model: PreTrainedModel, guide: Guide | None = None) -> int:
    """Return the bytes that a training may need on disk at most, checkpoints and DVC's copy of the
    model included.
    """
    weights = [*model.parameters(), *(guide.parameters() if guide else [])]
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return 4 * (COPIES_IN_CHECKPOINTS * trained + COPIES_OF_OUT * count_parameters(model))
