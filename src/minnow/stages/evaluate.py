"""evaluate: metrics of student and quantized student, how they differ from the teacher, and the plots' data."""

from pathlib import Path

from minnow import store
from minnow.layout import MODELS, Layout
from minnow.params import StageParams


class Params(StageParams):
    """What `evaluate` reads of params.yaml: nothing."""


def main(root: Path) -> None:
    """Write the metrics, agreement, sizes by part, and data for `dvc plots show`."""
    layout = Layout(root)
    from minnow import reports, scoring

    for model in ("student", "quantized"):
        store.write_json(layout.metrics(model), scoring.headline(layout, model))
    labels = scoring.labels(layout, "test")
    logits = {model: scoring.logits(layout, model, "test") for model in MODELS}
    store.write_json(layout.metrics("agreement"), reports.agreement_with_teacher(logits, labels))
    store.write_json(layout.metrics("sizes"), {model: scoring.sizes(layout, model) for model in MODELS})
    for name, table in reports.plot_tables(logits, labels).items():
        store.write_table(layout.plot(name), table)
