"""teacher_unlabelled: run the teacher once over texts without labels, a file's and altered copies.

Validation and test are read for one purpose, to leave out what stands there or shares a registered domain with them.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from minnow import store
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout
from minnow.params import RuntimeParams, StageParams
from minnow.stages.prepare import DataParams, watched
from minnow.unlabelled_params import UnlabelledParams

if TYPE_CHECKING:
    from minnow.unlabelled import Unlabelled

KEY = "distill.unlabelled"


class Params(StageParams):
    """What `teacher_unlabelled` reads of params.yaml."""

    wanted: Annotated[UnlabelledParams, "distill"]
    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path) -> None:
    """Write texts, the teacher's logits of them, and `report.json`; no rows where nothing is asked for."""
    params, layout = Params.load(root), Layout(root)
    found = gathered(params, layout)
    with store.replacing(layout.unlabelled) as folder:
        logits = folder / layout.unlabelled_logits.name
        if found.rows.is_empty():
            store.write_logits(logits, [], np.zeros((0, 2), np.float32))
        else:
            from minnow import runtime
            from minnow.logits import store_logits

            store_logits(layout.model("teacher"), folder, {logits.stem: found.rows}, runtime.start(params.runtime))
        store.write_table(folder / layout.unlabelled_texts.name, found.rows)
        store.write_json(folder / layout.unlabelled_report.name, found.report)


def gathered(params: Params, layout: Layout) -> "Unlabelled":
    """Return the rows that params ask for.

    Raises:
        MinnowError: names the key, and why the file cannot be used.
    """
    from minnow import sources, unlabelled

    wanted = params.wanted
    if not wanted.more_text:
        return unlabelled.nothing()
    splits = {name: store.read_table(layout.split(name)) for name in SPLITS}
    path = None if wanted.unlabelled is None else watched(wanted.unlabelled, KEY, layout, params.preset)
    try:
        found = unlabelled.gathered(
            # Generated data have no column; theirs is then called as that of prepared splits.
            None if path is None else sources.load_texts(path, params.data.text_column or "text"),
            splits,
            move_scheme=params.data.move_scheme,
            copies=wanted.augmentation.copies,
            seed=wanted.augmentation.seed,
        )
    except MinnowError as error:
        told = str(error)
        raise MinnowError(f"{KEY}: {told}" if path and not told.startswith("distill.") else told) from None
    if path is None:
        return found
    name = path.relative_to(os.path.normpath(layout.root)).as_posix()
    return unlabelled.Unlabelled(found.rows, {**found.report, "file": {"name": name, **found.report["file"]}})
