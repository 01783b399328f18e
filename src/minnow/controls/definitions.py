"""What each control changes, and what is kept of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table
from minnow.errors import choice
from minnow.layout import Layout

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

FACTS = "facts.json"
KEPT_SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Control:
    """What a control changes, by place in params.yaml (`*` is the active preset), and which models
    it makes anew.
    """

    changes: Mapping[str, Any]
    models: Sequence[str]
    shared: Callable[[Layout], Sequence[Path]]


CONTROLS = {
    "no_teacher": Control(
        # Rows that only the teacher labelled are its gift too.
        {
            "distill.soft_weight": 0.0,
            "distill.hidden_weight": 0.0,
            "distill.attention_weight": 0.0,
            "distill.relation_weight": 0.0,
            "teacher_unlabelled.file": None,
            "teacher_unlabelled.copies": 0,
            "teacher_states.layers": None,
        },
        ("student",),
        lambda layout: (layout.prepared, layout.model("teacher"), layout.logits("teacher")),
    ),
    "random_split": Control(
        {"presets.*.data.split": "random"}, ("teacher", "student"), lambda layout: ()
    ),
}


@dataclass(frozen=True)
class Finished:
    """What a control left: facts; by split its rows, with id, label and domain; by model and split
    logits (rows, labels), in the order of the rows.
    """

    facts: Mapping[str, Any]
    rows: "Mapping[str, pl.DataFrame]"
    logits: "Mapping[str, Mapping[str, np.ndarray[Any, Any]]]"


def named(name: str) -> Control:
    """Return the control of that name; a MinnowError lists them all."""
    return CONTROLS[choice("control", name, CONTROLS)]


def read_control(layout: Layout, name: str) -> Finished:
    """Return what a control left; a MinnowError names the file that is missing or belongs to other
    rows.
    """
    folder, models = layout.control(name), named(name).models
    tables = {split: read_table(labels_file(folder, split)) for split in KEPT_SPLITS}
    return Finished(
        facts=read_json(folder / FACTS),
        rows=tables,
        logits={
            model: {
                split: read_logits(logits_file(folder, model, split), table["id"].to_list())
                for split, table in tables.items()
            }
            for model in models
        },
    )


def labels_file(folder: Path, split: str) -> Path:
    """Return where a control's folder keeps ids and labels of a split."""
    return folder / Layout(folder).prepared.name / Layout(folder).split(split).name


def logits_file(folder: Path, model: str, split: str) -> Path:
    """Return where a control's folder keeps a model's logits of a split."""
    return folder / model / Layout(folder).logits_of(model, split).name
