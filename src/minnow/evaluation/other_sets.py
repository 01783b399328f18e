"""All models judged together: on the test split, on further sets, and beside controls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from minnow.controls import definitions
from minnow.controls.definitions import Finished
from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.tables import read_logits, read_table
from minnow.core.thresholds import decision_threshold, short_of
from minnow.errors import MinnowError
from minnow.evaluation import evidence, findings, inputs, metrics, results, transfers
from minnow.evaluation.evidence import Assessment
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.params import Unit
from minnow.evaluation.records import ControlResult, ExtraFacts, ExtraResult
from minnow.evaluation.units import JudgedRows
from minnow.layout import AGAINST_BASELINE, BASELINE, Layout, hops_among


@dataclass(frozen=True)
class Judging:
    """A checkout whose models are judged: how, by which units, and with thresholds by which
    rule.
    """

    layout: Layout
    method: Method
    unit: Unit | None = None
    rule: ThresholdParams = EVEN_ODDS

    def with_margin(self, margin: float) -> "Judging":
        """Return the same with another margin of non-inferiority."""
        return replace(self, method=replace(self.method, margin=margin))

    def rows(self, split: str) -> JudgedRows:
        """Return labels and units of a split."""
        return JudgedRows.of(read_table(self.layout.split(split)), self.unit)

    def outcome(self, model: str) -> Outcome:
        """Return a model's margins and its decision threshold, which validation sets."""
        validation, test = (
            metrics.margins_of(inputs.logits(self.layout, model, split))
            for split in ("validation", "test")
        )
        labels = inputs.labels_of(self.layout, "validation")
        threshold = decision_threshold(validation, labels, self.rule)
        return Outcome(validation, test, threshold, self.rule)

    def assess(self, outcomes: Mapping[str, Outcome], test: JudgedRows) -> Assessment:
        """Judge all models and all hops on some rows; thresholds are those of this checkout's
        validation.
        """
        return evidence.assess(
            outcomes,
            validation=self.rows("validation"),
            test=test,
            hops=(*hops_among(outcomes), *AGAINST_BASELINE),
            method=self.method,
        )


def unmet(outcomes: Mapping[str, Outcome], labels: metrics.Array) -> Iterator[str]:
    """Yield a sentence for each model whose threshold falls short of the precision wanted on
    validation, whose labels these are.
    """
    for model, outcome in outcomes.items():
        wanted = outcome.rule.precision
        said = wanted and short_of(outcome.validation, labels, wanted)
        if said:
            yield f"{model}: {said}"


def on_extra_sets(
    judging: Judging, outcomes: Mapping[str, Outcome], assessment: Assessment
) -> dict[str, ExtraResult]:
    """Return by further test set how it came about, and what all models are worth on it;
    `assessment` is that on the test split.
    """
    path = judging.layout.extra_report(BASELINE)
    return {
        name: on_extra_set(judging, name, facts, outcomes, assessment)
        for name, facts in results.read_record(dict[str, ExtraFacts], path).items()
    }


def on_extra_set(
    judging: Judging,
    name: str,
    facts: ExtraFacts,
    outcomes: Mapping[str, Outcome],
    assessment: Assessment,
) -> ExtraResult:
    """Return how a further test set came about, what all models are worth on it, and whether their
    thresholds hold there.
    """
    layout = judging.layout
    table = read_table(layout.extra_set(BASELINE, name))
    ids = table["id"].to_list()
    moved = {
        model: replace(
            outcome, test=metrics.margins_of(read_logits(layout.extra_set(model, name), ids))
        )
        for model, outcome in outcomes.items()
    }
    there = judging.assess(moved, JudgedRows.of(table, judging.unit))
    return ExtraResult(
        **vars(findings.elsewhere(there)),
        **vars(facts),
        margin=judging.method.margin,
        thresholds=transfers.transfers(outcomes, assessment.models, there.models),
    )


def on_controls(
    judging: Judging,
    names: Sequence[str],
    outcomes: Mapping[str, Outcome],
    assessment: Assessment,
) -> dict[str, ControlResult]:
    """Return by control its facts, and its models against those of this pipeline.

    A control on this pipeline's own splits is compared row by row; `assessment` is this
    pipeline's, against whose models one on another split is set, as against another sample.
    """
    return {name: beside_control(judging, name, outcomes, assessment) for name in names}


def beside_control(
    judging: Judging, name: str, outcomes: Mapping[str, Outcome], assessment: Assessment
) -> ControlResult:
    """Return a control's facts, and its models against those of this pipeline.

    Raises:
        MinnowError: it was made from other rows than this pipeline's.
    """
    layout, method = judging.layout, judging.method
    control = definitions.read_control(layout, name)
    theirs = {model: of_control(control, model, judging.rule) for model in control.logits}
    own_split = "teacher" in theirs
    if own_split:
        compared, hops = theirs, [("teacher", "student")]
        method = replace(method, seed=method.seed + 2)
    else:
        require_same_rows(control, layout, name)
        compared = {name: theirs["student"], "student": outcomes["student"]}
        hops = [(name, "student")]
    validation, test = (
        JudgedRows.of(control.rows[split], judging.unit) for split in ("validation", "test")
    )
    assessed = evidence.assess(compared, validation=validation, test=test, hops=hops, method=method)
    against = {
        model: findings.unpaired(model, assessment, assessed) for model in theirs if own_split
    }
    rows = findings.elsewhere(assessed)
    return ControlResult(**vars(rows), facts=control.facts, against_pipeline=against)


def require_same_rows(control: Finished, layout: Layout, name: str) -> None:
    """Refuse a control that was made from other rows than this pipeline's."""
    if any(rows["id"].to_list() != inputs.ids_of(layout, s) for s, rows in control.rows.items()):
        raise MinnowError(
            f"{layout.control(name)} belongs to other rows; run `dvc repro` so that it is made anew"
        )


def of_control(control: Finished, model: str, rule: ThresholdParams) -> Outcome:
    """Return the margins of a control's model on its own splits, and the threshold that `rule`
    takes from its validation.
    """
    validation, test = (
        metrics.margins_of(control.logits[model][split]) for split in ("validation", "test")
    )
    labels = control.rows["validation"]["label"].to_numpy()
    threshold = decision_threshold(validation, labels, rule)
    return Outcome(validation, test, threshold, rule)
