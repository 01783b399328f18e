"""From tables and a model to a trained model and its curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from minnow.core.files import require_space
from minnow.models.batching import encode
from minnow.models.folders import count_parameters
from minnow.training.curves import curve_of
from minnow.training.loop import fit
from minnow.training.memory import explaining_memory
from minnow.training.objective import Examples, Guide, Job, Objective, Schedule, Validation
from minnow.training.targets import NO_LABEL, Targets, class_weights

# Float32 copies on disk. Of what is trained: masters, best and two moments in a checkpoint, in the
# one before it, and in its successor.
COPIES_IN_CHECKPOINTS = 12
# Of the whole model: the out, and DVC's copy of it.
COPIES_OF_OUT = 2
Logits = np.typing.NDArray[np.float32]


@dataclass(frozen=True)
class Tables:
    """Rows with `text` and `label`; the teacher's logits of `train` (rows, labels), if there is a
    teacher; and validation's extra part, which has no rows where none was asked for.

    A label of train may be `NO_LABEL`, as `with_unlabelled` sets it.
    """

    train: pl.DataFrame
    validation: pl.DataFrame
    teacher_logits: Logits | None = None
    validation_extra: pl.DataFrame | None = None

    @property
    def extra(self) -> int:
        """The rows of validation's extra part."""
        return 0 if self.validation_extra is None else self.validation_extra.height

    @property
    def choosing(self) -> pl.DataFrame:
        """The rows that choose, as `text` and `label`: validation's, and then its extra part's."""
        rows = self.validation.select("text", "label")
        if not self.extra or self.validation_extra is None:
            return rows
        return pl.concat([rows, self.validation_extra.select("text", "label")])

    def with_unlabelled(self, texts: Sequence[str], logits: Logits) -> "Tables":
        """Return train as `text` and `label`, with the rows that the teacher alone labelled."""
        assert self.teacher_logits is not None, "only a teacher labels what nobody else did"
        rows = self.train.select("text", "label")
        more = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
            label=pl.lit(NO_LABEL, rows["label"].dtype)
        )
        return replace(
            self,
            train=pl.concat([rows, more]),
            teacher_logits=np.concatenate([self.teacher_logits, logits]),
        )


def fit_tables(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tables: Tables,
    objective: Objective,
    schedule: Schedule,
    job: Job,
) -> pl.DataFrame:
    """Train `model` in place, as `loop.fit` does, and return its curve, one row an epoch.

    The objective's guide knows the rows of train by number.

    Raises:
        MinnowError: the disk has too little space for the weights, memory runs out, or validation
            cannot serve the rule for the threshold.
    """
    if job.checkpoint is not None:
        require_space(job.checkpoint, bytes_on_disk(model, objective.guide))
    train, logits = tables.train, tables.teacher_logits
    soft = None if logits is None else torch.from_numpy(logits)
    chosen_by, selection = tables.choosing, schedule.selection
    selection.require(tables.validation["label"].to_numpy())
    labels = chosen_by["label"].to_numpy()
    aims, params = torch.tensor(train["label"].to_list()), schedule.params
    weights = class_weights(params.class_weight, aims)
    examples = Examples(
        encode(tokenizer, train["text"].to_list()),
        Targets(aims, soft, weights, params.label_smoothing),
    )
    validation = Validation(
        encode(tokenizer, chosen_by["text"].to_list()),
        lambda logits: selection.score(logits, labels, tables.extra),
        extra=tables.extra > 0,
    )
    with explaining_memory(model, examples.encoded, schedule.params):
        return curve_of(fit(model, examples, validation, objective, schedule, job))


def bytes_on_disk(model: PreTrainedModel, guide: Guide | None = None) -> int:
    """Return the bytes that a training may need on disk at most, checkpoints and DVC's copy of the
    model included.
    """
    weights = [*model.parameters(), *(guide.parameters() if guide else [])]
    trained = sum(weight.numel() for weight in weights if weight.requires_grad)
    return 4 * (COPIES_IN_CHECKPOINTS * trained + COPIES_OF_OUT * count_parameters(model))
