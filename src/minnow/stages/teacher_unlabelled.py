"""teacher_unlabelled: run the teacher once over texts without labels, a file's and altered copies.

Validation, its extra part and test are read for one purpose, to leave out what stands there or
shares a registered domain with them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from minnow.core.bounds import Copies, Place, Seed
from minnow.core.files import replacing, write_json
from minnow.core.params import Block, RuntimeParams, StageParams
from minnow.core.tables import read_table, write_logits, write_table
from minnow.data.params import DataParams
from minnow.data.sources import load_texts, project_name, raw_path
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout

if TYPE_CHECKING:
    from minnow.data.unlabelled import Unlabelled


KEY = "teacher_unlabelled.file"


class TeacherUnlabelledParams(Block):
    """A file of URLs without labels, and altered copies of the URLs that there are."""

    file: Place | None
    copies: Copies
    seed: Seed

    @property
    def any(self) -> bool:
        """Whether there is any text that the teacher alone labels."""
        return self.file is not None or self.copies > 0


class Params(StageParams):
    """What `teacher_unlabelled` reads of params.yaml."""

    teacher_unlabelled: Annotated[TeacherUnlabelledParams, "teacher_unlabelled"]
    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path) -> None:
    """Write texts, the teacher's logits of them, and `report.json`; no rows where nothing is asked
    for.
    """
    params, layout = Params.load(root), Layout(root)
    unlabelled = gathered(params, layout)
    with replacing(layout.unlabelled) as folder:
        logits = folder / layout.unlabelled_logits.name
        if unlabelled.rows.is_empty():
            write_logits(logits, [], np.zeros((0, 2), np.float32))
        else:
            from minnow.core.runtime import start
            from minnow.models.inference import store_logits

            tables = {logits.stem: unlabelled.rows}
            store_logits(layout.model("teacher"), folder, tables, start(params.runtime))
        write_table(folder / layout.unlabelled_texts.name, unlabelled.rows)
        write_json(folder / layout.unlabelled_report.name, unlabelled.report.as_json())


def gathered(params: Params, layout: Layout) -> "Unlabelled":
    """Return the rows that params ask for.

    Raises:
        MinnowError: names the key, and why the file cannot be used.
    """
    from minnow.data.unlabelled import TextFile, nothing, texts_to_label

    texts = params.teacher_unlabelled
    if not texts.any:
        return nothing()
    splits = {name: read_table(layout.split(name)) for name in SPLITS}
    if not (extra := read_table(layout.validation_extra)).is_empty():
        splits[layout.validation_extra.stem] = extra
    path = None if texts.file is None else raw_path(texts.file, KEY, layout, params.preset)
    # Generated data have no column; theirs is then called as that of prepared splits.
    column = params.data.text_column or "text"
    try:
        return texts_to_label(
            None
            if path is None
            else TextFile(
                project_name(path, layout),
                load_texts(path, column, folder=layout.raw(params.preset)),
            ),
            splits,
            move_scheme=params.data.move_scheme,
            copies=texts.copies,
            seed=texts.seed,
        )
    except MinnowError as error:
        message = str(error)
        of_file = path is not None and not message.startswith("teacher_unlabelled.")
        raise MinnowError(f"{KEY}: {message}" if of_file else message) from None
