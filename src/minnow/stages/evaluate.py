"""evaluate: what every model is worth, with intervals, and what each hop from the teacher to what
ships cost.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from minnow.core.exports import judged_models
from minnow.core.files import replacing, write_json
from minnow.core.params import Select, StageParams
from minnow.core.tables import read_table, write_table
from minnow.errors import warn
from minnow.evaluation.params import Controls, EvaluateParams
from minnow.layout import BASELINE, EXPORTED, Layout, hops_among


class Params(StageParams):
    """What `evaluate` reads of params.yaml."""

    evaluate: Annotated[EvaluateParams, "evaluate"]
    select: Annotated[Select, "select"]
    controls: Annotated[Controls, "controls"]


def main(root: Path) -> None:
    """Write the metrics of all models but the teacher's, the evidence, and the plots' tables."""
    params, layout = Params.load(root), Layout(root)
    from minnow.core.selection import Selection
    from minnow.evaluation import findings, inputs, months, other_sets, plots, results, slices
    from minnow.evaluation.outcomes import Method

    settings, rule = params.evaluate, params.evaluate.threshold
    selection = Selection(params.select.root, rule)
    judged = judged_models(layout)
    for model in (BASELINE, "student", "quantized", EXPORTED):
        headline = inputs.headline_of(layout, model, selection) if model in judged else None
        write_json(layout.metrics(model), results.as_json(headline) if headline else {})
    method = Method(
        settings.margin, settings.resamples, settings.seed, tuple(settings.prevalence.root)
    )
    judging = other_sets.Judging(layout, method, settings.unit, rule)
    outcomes = {model: judging.outcome(model) for model in judged}
    test, validation = judging.rows("test"), judging.rows("validation")
    for sentence in other_sets.unmet(outcomes, validation.labels):
        warn(sentence)
    assessment = judging.assess(outcomes, test)
    table, train_domains = (
        read_table(layout.split("test")),
        read_table(layout.split("train"))["domain"],
    )
    by_slice = replace(
        slices.report(slices.cut(table, train_domains), test, outcomes, hops_among(judged)),
        months=months.by_month(table, test.labels, outcomes),
    )
    found = results.Evidence(
        intervals=findings.intervals_report(assessment, method),
        hops=findings.hops_report(assessment, method),
        calibration=findings.calibration_report(
            outcomes, validation=validation, test=test, rule=rule
        ),
        slices=by_slice,
        sizes={model: inputs.needed_bytes_by_part(layout, model) for model in judged},
        extra=other_sets.on_extra_sets(
            judging.with_margin(settings.extra_margin), outcomes, assessment
        ),
        controls=other_sets.on_controls(judging, params.controls.root, outcomes, assessment),
    )
    results.write_evidence(layout, found)
    tables = plots.plot_tables(outcomes, test.labels, found.sizes, slices.slices_table(by_slice))
    with replacing(layout.evaluation_plots) as folder:
        for name, table in tables.items():
            write_table(folder / layout.evaluation_plot(name).name, table)
