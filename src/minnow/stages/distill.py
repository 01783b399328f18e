"""distill: train the student on the teacher's stored logits and the labels."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow.core.files import read_json, replacing
from minnow.core.made import Made
from minnow.core.params import RuntimeParams, Select, StageParams, ThresholdParams
from minnow.core.tables import read_logits, read_table, write_table
from minnow.distill.params import DistillParams, check_teacher_rows
from minnow.layout import Layout
from minnow.student.params import StudentParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from minnow.distill.whitebox import Pupil

# What dvc.yaml lists of the package, on which the name of a checkpoint depends.
CODE = ("core", "models", "training", "student", "distill", "stages/distill.py")


class Params(StageParams):
    """What `distill` reads of params.yaml."""

    student: Annotated[StudentParams, "presets.*.student"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    distill: Annotated[DistillParams, "distill"]
    select: Annotated[Select, "select"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]


def main(root: Path) -> None:
    """Write the student's folder and its training curve."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.runtime import start

    distill = params.distill
    more = read_table(layout.unlabelled_texts)
    stored = bool(read_json(layout.teacher_states_index)["layers"])
    check_teacher_rows(distill, more_texts=not more.is_empty(), stored_states=stored)
    run = start(params.runtime, seed=distill.seed)
    from minnow.core.selection import Selection
    from minnow.distill import whitebox
    from minnow.models import folders
    from minnow.student import layers
    from minnow.student.origin import student_origin
    from minnow.training import checkpoints, fitting
    from minnow.training.objective import Job, Objective, Schedule

    train, validation = (read_table(layout.split(name)) for name in ("train", "validation"))
    teacher_logits = read_logits(layout.logits_of("teacher", "train"), train["id"].to_list())
    tables = fitting.Tables(train, validation, teacher_logits, read_table(layout.validation_extra))
    texts = train["text"].to_list()
    labels = train["label"].to_list()
    model, tokenizer, facts = student_origin(
        params.student, layout.model("teacher"), layout.base(params.preset), texts, labels
    )
    layers.check_blocks(model)
    inputs = [
        layout.split("train"),
        layout.split("validation"),
        layout.validation_extra,
        layout.logits_of("teacher", "train"),
    ]
    if not more.is_empty():
        more_logits = read_logits(layout.unlabelled_logits, more["id"].to_list())
        tables = tables.with_unlabelled(more["text"].to_list(), more_logits)
        inputs += [layout.unlabelled_texts, layout.unlabelled_logits]
    guide = None
    if distill.any:
        pupil = pupil_of(params, model, tokenizer, layout.model("teacher"))
        teacher = whitebox.TeacherFolders(
            layout.model("teacher"), layout.teacher_states if stored else None
        )
        guide = whitebox.white_box(distill, pupil, teacher, tables.train, run)
        inputs += [layout.manifest("teacher")]
    checkpoint = checkpoints.checkpoint_of(
        layout, "student", params.model_dump_json(), inputs, CODE
    )
    curve = fitting.fit_tables(
        model,
        tokenizer,
        tables,
        Objective(distill.logit_loss, guide),
        Schedule(
            params.student.training,
            distill.seed,
            Selection(params.select.root, params.threshold),
        ),
        Job("student", run, checkpoint),
    )
    with replacing(layout.model("student")) as out:
        facts_of_it = {**facts, **run.facts, "made": asdict(made_by(params))}
        folders.save(model, tokenizer, out, facts=facts_of_it)
    write_table(layout.plot("student_training"), curve)
    checkpoints.discard_checkpoints(layout, "student")


def made_by(params: Params) -> Made:
    """Return what of the params later steps may want to know."""
    student, distill = params.student, params.distill
    return Made(
        loss=distill.loss_name,
        temperature=distill.temperature,
        soft_weight=distill.soft_weight,
        init=student.init,
        vocabulary=student.vocabulary.method,
        narrowing=student.narrowing,
        whitebox=distill.any,
    )


def pupil_of(
    params: Params, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", teacher: Path
) -> "Pupil":
    """Return the student with the teacher's layers that params name for it, and those that its own
    were copied from.
    """
    from minnow.distill.whitebox import Pupil
    from minnow.models import folders
    from minnow.student import layers

    student, copied = params.student, None
    if student.init == "teacher" and student.layers is not None:
        total = folders.load_config(teacher).num_hidden_layers
        copied = layers.chosen_layers(student.layers, total, student.copy_layers)
    return Pupil(model, tokenizer, params.distill.layer_map, copied)
