"""evaluate: what every model is worth, with intervals, and what each hop from teacher to quantized
cost.
"""

from pathlib import Path
from typing import Annotated

from minnow.core.files import write_json
from minnow.core.params import StageParams
from minnow.core.tables import read_table, write_table
from minnow.evaluation.params import Controls, EvaluateParams
from minnow.layout import BASELINE, HOPS, JUDGED, Layout


class Params(StageParams):
    """What `evaluate` reads of params.yaml."""

    evaluate: Annotated[EvaluateParams, "evaluate"]
    controls: Annotated[Controls, "controls"]


def main(root: Path) -> None:
    """Write the metrics of all models but the teacher's, everything that is told of them, and the
    plots' data.
    """
    params, layout = Params.load(root), Layout(root)
    from minnow.controls import definitions
    from minnow.evaluation import evidence, inputs, other_sets, plots, slices

    definitions.discard_stale(layout, params.controls.root)
    given, fpr = params.evaluate, params.evaluate.threshold.fpr
    for model in (BASELINE, "student", "quantized"):
        write_json(layout.metrics(model), inputs.headline(layout, model, fpr))
    method = evidence.Method(margin=given.margin, resamples=given.resamples, seed=given.seed)
    outcomes = {model: other_sets.outcome(layout, model, fpr) for model in JUDGED}
    labels = inputs.labels_of(layout, "test")
    judgement = other_sets.judge(layout, outcomes, labels, method)
    sizes = {model: inputs.sizes(layout, model) for model in JUDGED}
    in_slices = slices.report(
        slices.cut(read_table(layout.split("test")), read_table(layout.split("train"))["domain"]),
        labels,
        {model: outcome.test for model, outcome in outcomes.items()},
        {model: outcome.threshold for model, outcome in outcomes.items()},
        HOPS,
    )
    told = {
        "intervals": evidence.intervals_report(judgement, labels, method),
        "hops": evidence.hops_report(judgement, labels, method),
        "calibration": evidence.calibration_report(
            outcomes,
            validation_labels=inputs.labels_of(layout, "validation"),
            labels=labels,
            wanted_fpr=fpr,
        ),
        "sizes": sizes,
        "slices": in_slices,
        "extra": other_sets.on_extra_sets(layout, outcomes, method),
        "controls": other_sets.on_controls(
            layout, params.controls.root, outcomes, judgement, fpr, method
        ),
    }
    for name, value in told.items():
        write_json(layout.metrics(name), value)
    tables = {**plots.plot_tables(outcomes, labels, sizes), "slices": slices.table(in_slices)}
    for name, table in tables.items():
        write_table(layout.plot(name), table)
