"""Statistics of kept margins: against scikit-learn, laws of both ways to draw, claims, tables."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from helpers.study import STRENGTH, kept_set
from minnow.core.params import EVEN_ODDS, PrecisionParams, ThresholdParams
from minnow.core.thresholds import decision_threshold
from minnow.evaluation import drawn_thresholds, evidence
from minnow.evaluation.outcomes import Method, Outcome
from minnow.evaluation.units import Units
from minnow.experiments import study_tables
from minnow.experiments.kept_margins import KeptRun, KeptSet, RunSeeds, domain_digest
from minnow.experiments.margin_statistics import HeldOut, Plan, column_scores, domain_names
from minnow.experiments.seed_statistics import Seeded, no_claim, spread_parts, study_report
from minnow.layout import JUDGED

PLAN = Plan(margin=0.005, resamples=300, seed=0)
RULES = [
    ThresholdParams(fpr=0.05, f1=False, precision=None),
    ThresholdParams(fpr=None, f1=True, precision=None),
    ThresholdParams(fpr=None, f1=False, precision=PrecisionParams(wanted=0.2, prevalence=0.02)),
]
SEEDS = [RunSeeds(0, t, 100 * t + s) for t in range(3) for s in range(2)]
WORDS = {"models": "model", "hops": "after"}


@pytest.fixture(scope="module")
def kept() -> KeptSet:
    return kept_set(SEEDS)


@pytest.fixture(scope="module")
def report(kept: KeptSet) -> dict[str, Any]:
    return study_report(kept, PLAN)


def test_scores_are_those_of_scikit_learn(kept: KeptSet, report: dict[str, Any]) -> None:
    part = HeldOut.of(kept, 0)
    for found in report["kept_scores"]:
        margins, labels = part.columns[found["column"]], part.rows.labels
        assert found["f1"]["value"] == pytest.approx(f1_score(labels, margins > 0), abs=1e-4)
        assert found["accuracy"]["value"] == pytest.approx(
            accuracy_score(labels, margins > 0), abs=1e-4
        )
        assert found["roc_auc"]["value"] == pytest.approx(roc_auc_score(labels, margins), abs=1e-4)


def test_rows_without_a_domain_are_drawn_one_by_one_as_evaluation_draws_them() -> None:
    digests = pl.Series([domain_digest(name) for name in ("", "a.b", "", "a.b")], dtype=pl.UInt64)
    assert Units.domains(domain_names(digests)).count == 3


def test_a_change_of_f1_is_as_uncertain_as_evaluation_says(
    kept: KeptSet, report: dict[str, Any]
) -> None:
    """The same margins as a test split: where few domains flip, its interval is stretched."""
    part, run = HeldOut.of(kept, 0), kept.runs[0]
    margins = {name: part.columns[run.models[name].column] for name in ("student", "quantized")}
    found = evidence.assess(
        {name: Outcome(each, each, 0.0) for name, each in margins.items()},
        validation=part.rows,
        test=part.rows,
        hops=(("student", "quantized"),),
        method=Method(PLAN.margin, PLAN.resamples, PLAN.seed),
    )
    change = report["kept_changes"][1]
    assert (change["before"], change["after"]) == ("student", "quantized")
    low, high = (change["f1"][f"by_domain_{end}"] for end in ("low", "high"))
    assert found.sample.no_interval is None
    assert (low, high) == (found.hops[0].f1.low, found.hops[0].f1.high)


@pytest.mark.parametrize("rule", RULES)
def test_thresholds_that_validation_set_are_drawn_as_evaluation_draws_them(
    rule: ThresholdParams,
) -> None:
    """Of the same distances every resample gives the same, by domain and by row; a threshold that
    is held fixed gives another F1, and the same area under the curve.
    """
    kept = kept_set(SEEDS[:1], rule=rule)
    part, columns = HeldOut.of(kept, 0), columns_of(kept.runs[0])
    scores, fixed = (column_scores(each, PLAN) for each in (part, replace(part, rules={})))
    for way, these in (("by_domain", part), ("by_row", part.by_row())):
        drawn = evidence.resampled(
            {
                model: Outcome(part.on_validation[column], part.columns[column], 0.0, rule)
                for model, column in columns.items()
            },
            these.validation,
            these.rows,
            Method(PLAN.margin, PLAN.resamples, PLAN.seed),
        )
        for model, column in columns.items():
            for score, found in getattr(scores[column], way).items():
                assert np.array_equal(found, drawn[model][score]), (way, model, score)
    for column in columns.values():
        one, other = fixed[column].by_domain, scores[column].by_domain
        assert not np.array_equal(one["f1"], other["f1"])
        assert np.array_equal(one["roc_auc"], other["roc_auc"])


@pytest.mark.parametrize("rule", RULES)
def test_kept_distances_give_back_the_threshold_they_were_taken_from(
    rule: ThresholdParams,
) -> None:
    """float16 loses order far from the threshold alone: the rule cuts validation where it did."""
    part = HeldOut.of(kept_set(SEEDS[:1], rule=rule), 0)
    for name, margins in part.on_validation.items():
        at = decision_threshold(margins, part.validation.labels, part.rules[name])
        assert np.array_equal(margins > at, margins > 0)


def columns_of(run: KeptRun) -> dict[str, str]:
    return {name: model.column for name, model in run.models.items()}


def test_of_one_run_a_hop_is_as_uncertain_as_that_runs_change() -> None:
    """Where few domains hold many rows too, and also for the mean of runs."""
    kept = kept_set(SEEDS[:1])
    uneven = pl.when(pl.col("id") % 3 == 0).then(1).otherwise("domain")
    rows = kept.rows.with_columns(uneven.cast(pl.UInt64).alias("domain"))
    report = study_report(KeptSet(rows, kept.runs), PLAN)
    for hop, change in zip(report["study_hops"], report["kept_changes"], strict=True):
        assert (hop["before"], hop["after"]) == (change["before"], change["after"])
        for end in ("low", "high"):
            assert hop["f1"][end] == change["f1"][f"by_domain_{end}"]


def test_what_stretches_a_mean_moves_its_draws_and_no_part_of_its_spread() -> None:
    drawn = np.random.default_rng(0)
    plain = Seeded(drawn.normal(size=6), drawn.normal(size=(6, 300)), SEEDS)
    wide = replace(plain, wider=drawn.normal(size=300))
    assert wide.mean(0).draws - plain.mean(0).draws == pytest.approx(wide.wider)
    assert spread_parts(wide) == spread_parts(plain)


def test_drawn_domains_vary_as_their_sums_do(kept: KeptSet) -> None:
    """Accuracy's variance by domain is about Σ (domain's errors − its rows · rate)² / rows²."""
    part = HeldOut.of(kept, 0)
    (name, margins) = next(iter(part.columns.items()))
    wrong = ((margins > 0) != part.rows.labels).astype(float)
    residual = part.rows.units.sums(wrong - wrong.mean())
    wanted = (residual**2).sum() ** 0.5 / len(wrong)
    drawn = column_scores(part, Plan(0.005, 2000, 0))[name].by_domain["accuracy"]
    assert drawn.std() == pytest.approx(wanted, rel=0.08)


def test_intervals_hold_their_value_and_p_fit_the_flips(report: dict[str, Any]) -> None:
    for change in report["kept_changes"]:
        for score in ("f1", "accuracy", "roc_auc"):
            for way in ("by_domain", "by_row"):
                low, high = (change[score][f"{way}_{end}"] for end in ("low", "high"))
                assert low <= change[score]["difference"] <= high
    assert {len(report["kept_changes"])} == {len(SEEDS) * 5}


def test_teachers_vary_and_their_students_vary_less_by_teacher(report: dict[str, Any]) -> None:
    parts = {tuple(each["of"]): each for each in report["study_parts"]}
    assert parts["teacher",]["student"] == 0
    assert parts["baseline",]["teacher"] == parts["baseline",]["student"] == 0
    assert parts["student",]["student"] > 0
    assert all(each["split"] is None for each in parts.values())


def test_the_mean_is_that_of_the_runs(report: dict[str, Any]) -> None:
    found = {each["model"]: each for each in report["study_models"]}
    assert set(found) == set(JUDGED)
    changes = [
        each["f1"]["difference"]
        for each in report["kept_changes"]
        if (each["before"], each["after"]) == ("teacher", "student")
    ]
    hop = next(each for each in report["study_hops"] if each["after"] == "student")
    assert hop["f1"]["mean"] == pytest.approx(np.mean(changes), abs=1e-4)
    assert (hop["splits"], hop["teachers"], hop["runs"]) == (1, 3, 6)
    assert hop["f1"]["holds"] == "teachers"


def shown_of(report: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(each["before"], each["after"]): each["shown"] for each in report["study_hops"]}


def test_a_clear_lead_is_better(report: dict[str, Any]) -> None:
    assert shown_of(report)["baseline", "teacher"] == "better"


def test_a_clear_loss_is_inferior_also_to_a_rival_which_has_no_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(STRENGTH, "quantized", 1.0)
    shown = shown_of(study_report(kept_set(SEEDS), PLAN))
    assert shown["student", "quantized"] == shown["baseline", "quantized"] == "inferior"


def test_a_rival_within_the_margin_is_not_said_to_be_non_inferior() -> None:
    """Alike but for noise: half of F1 is a margin for a step, and none against a rival."""
    report = study_report(kept_set(SEEDS), Plan(margin=0.5, resamples=300, seed=0))
    shown = shown_of(report)
    assert shown["teacher", "quantized"] == "non_inferior"
    assert shown["baseline", "quantized"] in ("better", "undecided")
    assert {each["alone"] for each in report["study_hops"] if each["before"] == "baseline"} <= {
        "better",
        "undecided",
    }


def test_a_claim_needs_two_teachers_in_every_split() -> None:
    """Two in one split and one in the other: the interval knows the teachers of one alone."""
    seeds = [RunSeeds(0, 0, 0), RunSeeds(0, 1, 100), RunSeeds(1, 100, 10_000)]
    assert no_claim(seeds, []) == "one_teacher"
    assert no_claim([*seeds, RunSeeds(1, 101, 10_100)], []) == ""
    assert no_claim(seeds[:2], [0]) == "few_domains"


def test_the_summary_has_a_row_for_each_recipe_and_what_it_is_held_against(kept: KeptSet) -> None:
    report = study_report(kept, PLAN)
    _, _, *rows = study_tables.study_summary(report).splitlines()
    recipes = sorted({run.recipe for run in kept.runs})
    firsts = [row.split("|")[1].strip() for row in rows]
    assert firsts == ["character n-grams", "teacher", *(f"student, `{name}`" for name in recipes)]
    hop = next(
        each
        for each in report["study_hops"]
        if (each["before"], each["after"]) == ("baseline", "quantized")
    )
    assert f"{hop['f1']['mean']:+.4f} [" in rows[-1]


@pytest.mark.parametrize("splits", [1, 2])
def test_one_teacher_shows_nothing_however_many_students(splits: int) -> None:
    """One in each split is one, too: nothing shows how two of the same split differ."""
    seeds = [RunSeeds(split, split, 10 * split + s) for split in range(splits) for s in range(3)]
    report = study_report(kept_set(seeds), PLAN)
    assert {each["shown"] for each in report["study_hops"]} == {"one_teacher"}
    assert {each["f1"]["holds"] for each in report["study_hops"]} == {"students"}
    assert "no claim: one teacher" in study_tables.study_hops(report["study_hops"])


def test_a_hop_in_which_nothing_flips_shows_nothing_of_so_few_rows(kept: KeptSet) -> None:
    """As evaluation says of one run: a loss may have stayed out of sight."""
    runs = tuple(
        replace(run, models={**run.models, "quantized": run.models["student"]}) for run in kept.runs
    )
    hop = study_report(KeptSet(kept.rows, runs), PLAN)["study_hops"][1]
    assert (hop["before"], hop["after"], hop["f1"]["low"]) == ("student", "quantized", 0.0)
    assert hop["shown"] == hop["alone"] == "undecided"


def test_few_domains_show_nothing(kept: KeptSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_thresholds, "too_few", lambda rows: "there are few")
    hops = study_report(kept, PLAN)["study_hops"]
    assert {each["shown"] for each in hops} == {"few_domains"}


def test_few_domains_of_validation_show_nothing_where_it_set_the_threshold() -> None:
    """Fixed, a threshold needs no validation; of two recipes, one can have too few."""
    few = pl.when(pl.col("split 0") == "validation").then(pl.col("id") % 8).otherwise("domain")
    for rule, shown in ((RULES[1], {"few_domains"}), (EVEN_ODDS, set())):
        found = kept_set(SEEDS, rule=rule)
        rows = found.rows.with_columns(few.cast(pl.UInt64).alias("domain"))
        report = study_report(KeptSet(rows, found.runs), PLAN)
        hops = {each["shown"] for each in report["study_hops"]}
        assert hops == shown if shown else "few_domains" not in hops
        told = report["study_test"][0]["no_interval"]
        assert (told or "").startswith("of validation, which sets the threshold, the") == bool(
            shown
        )


def test_a_claim_may_fall_where_it_stands_among_others(report: dict[str, Any]) -> None:
    strength = ["undecided", "worse_margin_open", "non_inferior", "inferior", "better"]
    for each in report["study_hops"]:
        assert strength.index(each["shown"]) <= strength.index(each["alone"])


def test_splits_have_a_part_without_that_of_their_domains() -> None:
    """Two splits, two teachers each, no spread within: (4 − 0)² / 2 = 8, less domains' 1.5."""
    values = np.array([1.0, 1, 5, 5])
    draws = values[:, None] + np.sqrt(1.5) * np.array([[-1.0, 1, -1, 1]]) * np.sqrt(3 / 4)
    seeds = [RunSeeds(0, 0, 0), RunSeeds(0, 1, 1), RunSeeds(1, 2, 2), RunSeeds(1, 3, 3)]
    found = spread_parts(Seeded(values, draws, seeds))
    assert found == {
        "domains": pytest.approx(1.5**0.5, abs=1e-4),
        "split": pytest.approx(6.5**0.5, abs=1e-4),
        "teacher": 0.0,
        "student": None,
        "negative": [],
    }


def test_a_part_below_zero_is_zero_and_said_so() -> None:
    values = np.array([1.0, 3, 3, 1])
    seeds = [RunSeeds(0, 0, 0), RunSeeds(0, 0, 1), RunSeeds(0, 1, 2), RunSeeds(0, 1, 3)]
    found = spread_parts(Seeded(values, np.repeat(values[:, None], 5, axis=1), seeds))
    assert (found["teacher"], found["negative"]) == (0.0, ["teacher"])
    row = {"recipe": "default", "of": ["teacher", "student"], **found}
    assert study_tables.study_parts([row]).splitlines()[-1] == (
        "| default | teacher → student | 0.0000 (0%) | one only | 0 (below 0) | 1.4142 (100%) |"
    )


def test_every_table_has_a_row_for_each_entry(report: dict[str, Any]) -> None:
    for part in ("kept_changes", "study_test", "study_models", "study_hops", "study_parts"):
        table = getattr(study_tables, part)(report[part]).splitlines()
        assert len(table) == 2 + len(report[part])
        assert {line.count("|") for line in table} == {table[0].count("|")}


def test_a_rival_is_beaten_or_not_and_has_no_margin() -> None:
    hop = {"before": "baseline", "shown": "non_inferior", "alone": "better"}
    assert study_tables.shown_text(hop) == "not shown better (alone: better)"
    assert study_tables.shown_text({**hop, "before": "teacher"}) == "non-inferior (alone: better)"


@pytest.mark.slow
def test_over_seeds_and_domains_the_truth_is_covered() -> None:
    """100 studies of three teachers with two students, the pipeline of numbers from margins on: the
    mean accuracy of the student, whose true value is Φ(strength / 2).
    """
    held, truth = 0, float(norm.cdf(1.8))
    for study in range(100):
        seeds = [RunSeeds(study, t, 100 * t + s) for t in range(3) for s in range(2)]
        report = study_report(kept_set(seeds), Plan(0.005, 200, study))
        student = next(each for each in report["study_models"] if each["model"] == "student")
        held += student["accuracy"]["low"] <= truth <= student["accuracy"]["high"]
    assert held >= 90
