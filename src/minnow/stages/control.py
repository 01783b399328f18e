"""control: the pipeline again with one thing changed, in a checkout of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow import controls, store
from minnow.layout import SPLITS, Layout
from minnow.params import RuntimeParams, StageParams
from minnow.stages import distill, predict, prepare, teacher, teacher_logits, teacher_states, teacher_unlabelled

if TYPE_CHECKING:
    import polars as pl


class Params(StageParams):
    """What the stages of every control read of params.yaml."""

    data: Annotated[prepare.DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]
    teacher: Annotated[teacher.TeacherParams, "presets.*.teacher"]
    student: Annotated[distill.StudentParams, "presets.*.student"]
    distill: Annotated[distill.DistillParams, "distill"]


def predict_student(root: Path) -> None:
    """Write the student's logits."""
    predict.main(root, "student")


STEPS: dict[str, list[controls.Step]] = {
    "no_teacher": [distill.main, predict_student],
    "random_split": [
        prepare.main,
        controls.require_carved,
        teacher.main,
        teacher_logits.main,
        teacher_states.main,
        teacher_unlabelled.main,
        distill.main,
        predict_student,
    ],
}


def main(root: Path, name: str = "") -> None:
    """Run one control and write its logits, labels and facts."""
    controls.named(name)
    params, layout = Params.load(root), Layout(root)
    scratch = controls.scratch_of(layout, name, params.model_dump_json())
    controls.run(scratch, STEPS[name])
    from minnow import data

    tables, ours = splits(scratch), splits(layout)
    controls.keep(
        layout,
        name,
        {
            "control": name,
            "changed": controls.changes(layout, name),
            "rows": {split: table.height for split, table in tables.items()},
            "leak": round(data.leak(tables["train"], tables["test"]), 4),
            "pipeline_leak": round(data.leak(ours["train"], ours["test"]), 4),
        },
    )


def splits(layout: Layout) -> "dict[str, pl.DataFrame]":
    """Return the prepared tables by split."""
    return {name: store.read_table(layout.split(name)) for name in SPLITS}
