"""evaluate: what every model is worth, with intervals, and what each hop from teacher to quantized cost."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from minnow import store
from minnow.extra_params import ExtraParams
from minnow.layout import BASELINE, HOPS, JUDGED, Layout
from minnow.params import Block, Names, Seed, StageParams
from minnow.stages.teacher_eval import ThresholdParams


class EvaluateParams(Block):
    """How the models are judged. Nothing is trained for it, and no model run but on a new set in `extra`."""

    threshold: ThresholdParams
    margin: Annotated[float, Field(gt=0, lt=1)]
    resamples: Annotated[int, Field(ge=1000)]
    seed: Seed
    extra: ExtraParams


Controls = Names[Literal["no_teacher", "random_split"]]


class Params(StageParams):
    """What `evaluate` reads of params.yaml."""

    evaluate: Annotated[EvaluateParams, "evaluate"]
    controls: Annotated[Controls, "controls"]


def main(root: Path) -> None:
    """Write the metrics of all models but the teacher's, everything that is told of them, and the plots' data."""
    params, layout = Params.load(root), Layout(root)
    from minnow import controls, evidence, judging, reports, scoring, slices

    controls.discard_stale(layout, params.controls.root)
    given, fpr = params.evaluate, params.evaluate.threshold.fpr
    for model in (BASELINE, "student", "quantized"):
        store.write_json(layout.metrics(model), scoring.headline(layout, model, fpr))
    method = evidence.Method(margin=given.margin, resamples=given.resamples, seed=given.seed)
    outcomes = {model: judging.outcome(layout, model, fpr) for model in JUDGED}
    labels = scoring.labels_of(layout, "test")
    judgement = judging.judge(layout, outcomes, labels, method)
    sizes = {model: scoring.sizes(layout, model) for model in JUDGED}
    in_slices = slices.report(
        slices.cut(store.read_table(layout.split("test")), store.read_table(layout.split("train"))["domain"]),
        labels,
        {model: outcome.test for model, outcome in outcomes.items()},
        {model: outcome.threshold for model, outcome in outcomes.items()},
        HOPS,
    )
    told = {
        "intervals": evidence.intervals_report(judgement, labels, method),
        "hops": evidence.hops_report(judgement, labels, method),
        "calibration": evidence.calibration_report(
            outcomes, validation_labels=scoring.labels_of(layout, "validation"), labels=labels, wanted_fpr=fpr
        ),
        "sizes": sizes,
        "slices": in_slices,
        "extra": judging.on_extra_sets(layout, outcomes, method),
        "controls": judging.on_controls(layout, params.controls.root, outcomes, judgement, fpr, method),
    }
    for name, value in told.items():
        store.write_json(layout.metrics(name), value)
    tables = {**reports.plot_tables(outcomes, labels, sizes), "slices": slices.table(in_slices)}
    for name, table in tables.items():
        store.write_table(layout.plot(name), table)
