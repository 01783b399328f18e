"""control: the pipeline again with one thing changed, in a checkout of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow.controls import definitions
from minnow.controls.scratch import Step, changed_params, keep, require_carved, run, scratch_of
from minnow.core.files import read_json, replacing, write_json
from minnow.core.params import RuntimeParams, Select, StageParams, ThresholdParams
from minnow.core.tables import read_table
from minnow.data.params import DataParams, ExtraParams, FileOrNone
from minnow.distill.params import DistillParams
from minnow.layout import SPLITS, Layout
from minnow.stages import distill as distill_module
from minnow.stages import predict, prepare, teacher_logits, teacher_states, teacher_unlabelled
from minnow.stages import teacher as teacher_module
from minnow.student.params import StudentParams
from minnow.teacher.params import TeacherParams

if TYPE_CHECKING:
    import polars as pl


class Params(StageParams):
    """What the stages of every control read of params.yaml."""

    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    teacher: Annotated[TeacherParams, "presets.*.teacher"]
    student: Annotated[StudentParams, "presets.*.student"]
    teacher_states: Annotated[teacher_states.TeacherStatesParams, "teacher_states"]
    teacher_unlabelled: Annotated[teacher_unlabelled.TeacherUnlabelledParams, "teacher_unlabelled"]
    distill: Annotated[DistillParams, "distill"]
    select: Annotated[Select, "select"]
    threshold: Annotated[ThresholdParams, "evaluate.threshold"]
    validation_extra: Annotated[FileOrNone, "evaluate.validation_extra"]
    extra: Annotated[ExtraParams, "extra"]


def predict_student(root: Path) -> None:
    """Write the student's logits."""
    predict.main(root, "student")


STEPS: dict[str, list[Step]] = {
    "no_teacher": [
        teacher_states.main,
        teacher_unlabelled.main,
        distill_module.main,
        predict_student,
    ],
    "random_split": [
        prepare.main,
        require_carved,
        teacher_module.main,
        teacher_logits.main,
        teacher_states.main,
        teacher_unlabelled.main,
        distill_module.main,
        predict_student,
    ],
}


def main(root: Path, name: str = "") -> None:
    """Run one control and write its logits, labels and facts; one that params.yaml does not ask
    for leaves a note that it did not run.
    """
    definitions.named(name)
    params, layout = Params.load(root), Layout(root)
    if not asked_for(layout, name):
        with replacing(layout.control(name)) as folder:
            write_json(folder / definitions.FACTS, {"control": name, "asked": False})
        return
    scratch = scratch_of(layout, name, params.model_dump_json())
    run(scratch, STEPS[name])
    from minnow.data.splits import leak

    tables, ours = splits(scratch), splits(layout)
    keep(
        layout,
        name,
        {
            "control": name,
            "changed": changed_params(layout, name),
            "rows": {split: table.height for split, table in tables.items()},
            "leak": round(leak(tables["train"], tables["test"]), 4),
            "pipeline_leak": round(leak(ours["train"], ours["test"]), 4),
        },
    )


def asked_for(layout: Layout, name: str) -> bool:
    """Return whether params.yaml asks for a control, as the stage `validate` wrote it down."""
    return bool(read_json(layout.asked(name)) == {"asked": True})


def splits(layout: Layout) -> "dict[str, pl.DataFrame]":
    """Return the prepared tables by split."""
    return {name: read_table(layout.split(name)) for name in SPLITS}
