"""From files to what is told of all models: joined by id, on the test split, on further sets,
beside controls.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from minnow.controls.scratch import keep
from minnow.core.files import write_json
from minnow.core.params import PrecisionParams, ThresholdParams
from minnow.core.tables import read_table, write_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation import metrics, other_sets
from minnow.evaluation.metrics import Array
from minnow.evaluation.other_sets import Judging
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.records import ControlResult
from minnow.layout import JUDGED, Layout

FACTS = {
    "file": "data/raw/embedded/feed.csv",
    "rows_read": 260,
    "kept": {"safe": 125, "phishing": 125},
    "removed_seen": 3,
    "dropped": {"duplicate": 7},
    "leak": 0.1,
}
METHOD = Method(margin=0.005, resamples=1000, seed=0)
SKILL = {"baseline": 0.5, "teacher": 1.5, "student": 1.4, "quantized": 1.3}


def table(rows: int, seed: int) -> pl.DataFrame:
    labels = np.random.default_rng(seed).integers(0, 2, rows)
    ids = [f"{seed}-{row:04}" for row in range(rows)]
    domains = [f"d{row // 2}.org" for row in range(rows)]
    return pl.DataFrame({"id": ids, "label": labels, "domain": domains})


def logits(labels: Array, skill: float, seed: int) -> Array:
    margins = np.random.default_rng(seed).normal(size=len(labels)) + skill * (2 * labels - 1)
    return np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)


def write_shuffled(path: Path, rows: pl.DataFrame, values: Array) -> None:
    """Write logits in another order than the rows stand in."""
    order = np.random.default_rng(9).permutation(rows.height)
    write_logits(path, [rows["id"][int(row)] for row in order], values[order])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Return a project with splits and every model's logits of them."""
    layout = Layout(tmp_path)
    for seed, split in enumerate(("validation", "test")):
        rows = table(300 + 100 * seed, seed)
        write_table(layout.split(split), rows)
        for number, model in enumerate(JUDGED):
            values = logits(rows["label"].to_numpy(), SKILL[model], 10 * seed + number)
            write_shuffled(layout.logits_of(model, split), rows, values)
    return layout


def judging(layout: Layout, fpr: float | None = None) -> Judging:
    return Judging(layout, METHOD, None, ThresholdParams(fpr=fpr, f1=False, precision=None))


def outcomes(layout: Layout, fpr: float | None = None) -> dict[str, Outcome]:
    return {model: judging(layout, fpr).outcome(model) for model in JUDGED}


def test_margins_are_joined_by_id(layout: Layout) -> None:
    labels = read_table(layout.split("test"))["label"].to_numpy()
    wanted = metrics.margins_of(logits(labels, SKILL["student"], 12))
    assert np.array_equal(judging(layout).outcome("student").test, wanted)


def test_each_model_gets_the_threshold_of_its_own_validation(layout: Layout) -> None:
    assert {outcome.threshold for outcome in outcomes(layout).values()} == {0.0}
    found = outcomes(layout, 0.05)
    labels = read_table(layout.split("validation"))["label"].to_numpy()
    assert len({outcome.threshold for outcome in found.values()}) == len(JUDGED)
    for outcome in found.values():
        assert metrics.false_positive_rate(outcome.validation, labels, outcome.threshold) <= 0.05


def test_a_further_set_is_judged_with_this_pipelines_thresholds(layout: Layout) -> None:
    rows = table(250, 5)
    labels = rows["label"].to_numpy()
    for number, model in enumerate(JUDGED):
        values = logits(labels, SKILL[model], 50 + number)
        write_shuffled(layout.extra_set(model, "feed"), rows, values)
        stored = read_table(layout.extra_set(model, "feed"))
        joined = stored.join(rows, on="id").select("id", "label", "domain", "logit_0", "logit_1")
        write_table(layout.extra_set(model, "feed"), joined)
        write_json(layout.extra_report(model), {"feed": FACTS})
    models, judge = outcomes(layout, 0.05), judging(layout, 0.05)
    here = judge.assess(models, judge.rows("test"))
    found = other_sets.on_extra_sets(judge.with_margin(0.03), models, here)["feed"]
    assert found.margin == 0.03
    assert (found.rows, found.removed_seen) == (250, 3)
    assert found.sample.domains is not None
    assert (found.sample.total, found.sample.domains.count) == (250, 125)
    for number, model in enumerate(JUDGED):
        margins = metrics.margins_of(logits(labels, SKILL[model], 50 + number))
        wanted = metrics.classification(margins, labels, models[model].threshold)
        assert found.models[model].f1.value == wanted.f1
        decision = found.thresholds[model]["decision"]
        assert (decision.wanted, decision.fpr) == (0.05, found.models[model].fpr)
        assert decision.test_fpr == here.models[model].fpr
        assert set(found.thresholds[model]) == {"decision"}, "1 % needs 500 safe rows"
    assert len(found.hops) == 5


def keep_control(
    layout: Layout, name: str, rows: dict[str, pl.DataFrame], models: tuple[str, ...]
) -> None:
    """Lay out what a control leaves, through the scratch that it runs in."""
    scratch = Layout(layout.control_scratch(name))
    for number, (split, part) in enumerate(rows.items()):
        write_table(scratch.split(split), part)
        for model in models:
            values = logits(part["label"].to_numpy(), 1.0, 80 + number)
            write_shuffled(scratch.logits_of(model, split), part, values)
    keep(layout, name, {"control": name})


def controlled(layout: Layout, names: list[str]) -> dict[str, ControlResult]:
    models, judge = outcomes(layout), judging(layout)
    assessment = judge.assess(models, judge.rows("test"))
    return other_sets.on_controls(judge, names, models, assessment)


def test_the_student_without_a_teacher_is_compared_on_the_same_rows(layout: Layout) -> None:
    rows = {split: read_table(layout.split(split)) for split in ("validation", "test")}
    keep_control(layout, "no_teacher", rows, ("student",))
    found = controlled(layout, ["no_teacher"])["no_teacher"]
    assert set(found.models) == {"no_teacher", "student"}
    assert [(hop.before, hop.after) for hop in found.hops] == [("no_teacher", "student")]
    wanted = metrics.classification(
        judging(layout).outcome("student").test, rows["test"]["label"].to_numpy()
    )
    assert found.models["student"].f1.value == wanted.f1


def test_another_split_is_judged_by_itself(layout: Layout) -> None:
    keep_control(
        layout,
        "random_split",
        {"validation": table(90, 3), "test": table(110, 4)},
        ("teacher", "student"),
    )
    found = controlled(layout, ["random_split"])["random_split"]
    assert (found.rows, set(found.models)) == (110, {"teacher", "student"})
    assert found.sample.domains is not None
    assert found.sample.domains.count == 55
    moved = found.against_pipeline["teacher"].f1
    assert moved.low < moved.difference < moved.high
    ours = judging(layout).outcome("teacher").test
    labels = read_table(layout.split("test"))["label"].to_numpy()
    difference = found.models["teacher"].f1.value - metrics.classification(ours, labels).f1
    assert moved.difference == pytest.approx(difference, abs=1e-4)


def test_a_control_of_other_rows_is_refused_though_its_labels_are_the_same(layout: Layout) -> None:
    ours = {split: read_table(layout.split(split)) for split in ("validation", "test")}
    others = {
        split: rows.with_columns(pl.format("other-{}", "id").alias("id"))
        for split, rows in ours.items()
    }
    keep_control(layout, "no_teacher", others, ("student",))
    with pytest.raises(MinnowError, match="belongs to other rows"):
        controlled(layout, ["no_teacher"])


def test_no_controls_are_nothing(layout: Layout) -> None:
    assert controlled(layout, []) == {}


def test_each_model_that_misses_the_precision_is_named(layout: Layout) -> None:
    labels = read_table(layout.split("validation"))["label"].to_numpy()
    for wanted, told in ((0.999999, set(JUDGED)), (0.0001, set())):
        precision = PrecisionParams(wanted=wanted, prevalence=1e-4)
        rule = ThresholdParams(fpr=None, f1=False, precision=precision)
        outcome = Judging(layout, METHOD, None, rule).outcome("student")
        worst = replace(outcome, validation=np.where(labels == 0, 9.0, outcome.validation))
        said = list(other_sets.unmet(dict.fromkeys(JUDGED, worst), labels))
        assert {sentence.split(":")[0] for sentence in said} == told
