"""predict_extra: run a model over the test sets of `evaluate.extra`, without the URLs it was made with."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from minnow import store
from minnow.errors import MinnowError, nearest
from minnow.extra_params import ExtraParams
from minnow.layout import BASELINE, JUDGED, Layout
from minnow.params import RuntimeParams, StageParams
from minnow.stages.prepare import DataParams, watched

if TYPE_CHECKING:
    from minnow.extra import ExtraSet
    from minnow.sources import Columns


class Params(StageParams):
    """What `predict_extra` reads of params.yaml."""

    extra: Annotated[ExtraParams, "evaluate.extra"]
    data: Annotated[DataParams, "presets.*.data"]
    runtime: Annotated[RuntimeParams, "presets.*.runtime"]


def main(root: Path, model: str = "") -> None:
    """Write one model's logits of each set with labels, and `report.json` on how the sets came about."""
    if model not in JUDGED:
        raise MinnowError(f"predict_extra takes one of {', '.join(JUDGED)}, given {model!r}{nearest(model, JUDGED)}")
    params, layout = Params.load(root), Layout(root)
    sets = load(params, layout) if params.extra.files else {}
    with store.replacing(layout.extra(model)) as folder:
        if sets:
            predict(model, sets, folder, params.runtime, layout)
        report = {name: each.report for name, each in sets.items()}
        store.write_json(folder / layout.extra_report(model).name, report)


def load(params: Params, layout: Layout) -> "dict[str, ExtraSet]":
    """Return the sets by name.

    Raises:
        MinnowError: names the set, and why it cannot be used.
    """
    from minnow.extra import ExtraSet, extra_set
    from minnow.sources import load_file

    train, validation = (store.read_table(layout.split(name)) for name in ("train", "validation"))
    unlabelled = store.read_table(layout.unlabelled_texts)
    sets: dict[str, ExtraSet] = {}
    for name, given in params.extra.files.items():
        path = watched(given, f"evaluate.extra.{name}", layout, params.preset)
        try:
            source = load_file(path, None, columns=columns(params.data))
            each = extra_set(
                source,
                train=train,
                validation=validation,
                unlabelled=unlabelled,
                move_scheme=params.data.move_scheme,
            )
        except MinnowError as error:
            raise MinnowError(f"evaluate.extra.{name}: {error}") from None
        file = path.relative_to(os.path.normpath(layout.root)).as_posix()
        sets[name] = ExtraSet(each.rows, {"file": file, **each.report})
    return sets


def columns(given: DataParams) -> "Columns":
    """Return which columns an extra file has: the preset's own, without a split.

    A preset of generated data names none. There they are those of prepared splits: `text` and `label`, 1 for phishing.
    """
    from minnow.sources import Columns

    return Columns("text", "label", 1) if given.source == "synthetic" else replace(given.columns, split=None)


def predict(model: str, sets: "dict[str, ExtraSet]", out: Path, given: RuntimeParams, layout: Layout) -> None:
    """Write the model's logits of each set into the folder `out`, with the labels."""
    from minnow.extra import with_labels

    tables = {name: each.rows for name, each in sets.items()}
    if model == BASELINE:
        from minnow import baseline

        baseline.store_logits(layout.model(model), out, tables)
    else:
        from minnow import logits, runtime

        logits.store_logits(layout.model(model), out, tables, runtime.start(given))
    for name, rows in tables.items():
        path = out / layout.extra_set(model, name).name
        store.write_table(path, with_labels(store.read_table(path), rows))
