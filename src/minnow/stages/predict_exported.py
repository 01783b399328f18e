"""predict_exported: run the exported model over validation, test and the further test sets, by the
code that runs a release.
"""

from functools import partial
from pathlib import Path
from typing import Annotated

from minnow.core.exports import is_exported, write_note
from minnow.core.params import StageParams
from minnow.core.tables import read_table
from minnow.data.extra import load_sets, store_sets
from minnow.data.params import DataParams, ExtraParams
from minnow.layout import EXPORTED, Layout


class Params(StageParams):
    """What `predict_exported` reads of params.yaml."""

    extra: Annotated[ExtraParams, "extra"]
    data: Annotated[DataParams, "presets.*.data"]


def main(root: Path) -> None:
    """Write its logits of both splits and of each set with labels; notes where none is exported."""
    params, layout = Params.load(root), Layout(root)
    logits, extra = layout.logits(EXPORTED), layout.extra(EXPORTED)
    if not is_exported(layout):
        write_note(logits)
        write_note(extra)
        return
    from minnow.export.stored import store_exported_logits

    files, predict = params.extra.files, partial(store_exported_logits, layout.model(EXPORTED))
    predict({name: read_table(layout.split(name)) for name in ("validation", "test")}, logits)
    sets = load_sets(files, params.data, layout, params.preset) if files else {}
    store_sets(sets, extra, layout, predict)
