"""teacher: fine-tune a sequence classifier, or take over a ready-made one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow.core.files import replacing
from minnow.core.params import RuntimeParams, Select, StageParams, ThresholdParams
from minnow.core.tables import read_table, write_table
from minnow.layout import Layout
from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    import polars as pl
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Rows of validation that tell whether the labels stand the right way round.
LABELLED_ROWS = 2_000
# What dvc.yaml lists of the package, on which the name of a checkpoint depends.
CODE = ("core", "models", "training", "teacher", "stages/teacher.py")


class Params(StageParams):
    """What `teacher` reads of params.yaml."""

    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    select: Annotated[Select, "select"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write the teacher's folder and its training curve."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start

    teacher = params.teacher
    run = start(params.runtime, seed=teacher.seed)
    from minnow.core.selection import Selection
    from minnow.models import folders
    from minnow.teacher.origin import teacher_origin
    from minnow.training import checkpoints, fitting
    from minnow.training.curves import curve_of
    from minnow.training.objective import Job, Objective, Schedule
    from minnow.training.targets import hard_loss

    selection = Selection(params.select.root, params.threshold)
    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    model, tokenizer, facts = teacher_origin(
        teacher, train["text"].to_list(), layout.base(params.preset), run
    )
    checkpoint = checkpoints.checkpoint_of(
        layout,
        "teacher",
        params.model_dump_json(),
        [layout.split("train"), layout.split("validation"), layout.validation_extra],
        CODE,
    )
    if teacher.method == "none":  # what is trained here learns which label is which
        check_labels(model, tokenizer, validation, teacher.phishing_label, run.device)
        curve = curve_of([])
    else:
        curve = fitting.fit_tables(
            model,
            tokenizer,
            fitting.Tables(train, validation, validation_extra=read_table(layout.validation_extra)),
            Objective(hard_loss),
            Schedule(teacher.training, teacher.seed, selection),
            Job("teacher", run, checkpoint),
        )
    if teacher.method == "qlora":
        from minnow.teacher import qlora

        model = qlora.merged(model)
    with replacing(layout.model("teacher")) as out:
        folders.save(model, tokenizer, out, facts={**facts, **run.facts})
    write_table(layout.plot("teacher_training"), curve)
    checkpoints.discard_checkpoints(layout, "teacher")


def check_labels(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    validation: "pl.DataFrame",
    phishing_label: str | None,
    device: "torch.device",
) -> None:
    """Refuse a teacher that takes phishing for safe, by its first rows of validation."""
    from minnow.models.batching import encode
    from minnow.models.inference import predict_logits
    from minnow.teacher.labels import check_not_reversed

    rows = validation.head(LABELLED_ROWS)
    logits = predict_logits(model, encode(tokenizer, rows["text"].to_list()), device=device)
    check_not_reversed(logits, rows["label"].to_list(), phishing_label)
