"""Kept margins: no decision moves, what goes in comes out, equal columns are stored once, and what
does not fit is refused.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.study import kept_set, prepared
from minnow.core.params import EVEN_ODDS, PrecisionParams, ThresholdParams
from minnow.core.tables import write_table
from minnow.errors import MinnowError
from minnow.evaluation import metrics
from minnow.evaluation.results import as_json, from_json
from minnow.experiments import kept_margins
from minnow.experiments.kept_margins import (
    KeptModel,
    KeptRun,
    KeptSet,
    RunSeeds,
    distances,
    domain_digest,
    read_kept,
    row_facts,
    with_run,
    without,
    write_kept,
)

ANY = st.floats(-1e6, 1e6) | st.floats(-1e-6, 1e-6) | st.sampled_from([0.0, -0.0, 5e-324, -5e-324])
# `printf example.org | b2sum -l 64` prints it.
EXAMPLE = "24dab28d73e82db5"
FIRST, SECOND, OTHER_SPLIT = RunSeeds(0, 0, 0), RunSeeds(0, 0, 1), RunSeeds(1, 100, 10000)


@given(st.lists(ANY, min_size=1), ANY)
def test_no_decision_moves_and_no_order(margins: list[float], threshold: float) -> None:
    exact = np.array([*margins, threshold])
    kept = distances(exact, threshold)
    assert kept.dtype == np.float16
    assert np.isfinite(kept).all()
    assert np.array_equal(kept > 0, exact > threshold)
    assert (np.diff(kept[np.argsort(exact, kind="stable")].astype(float)) >= 0).all()


def test_scores_survive_float16() -> None:
    """F1 and accuracy to the last digit, ROC AUC to the fourth decimal: ties are what it loses."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, size=8000)
    margins = 9 * (labels - 0.5) + generator.normal(0, 3, size=8000)
    threshold = 0.7321
    exact = metrics.classification(margins, labels, threshold)
    kept = metrics.classification(distances(margins, threshold).astype(np.float64), labels)
    assert (kept.f1, kept.accuracy, kept.precision) == (exact.f1, exact.accuracy, exact.precision)
    assert kept.roc_auc == pytest.approx(exact.roc_auc, abs=1e-4)


def test_a_file_gives_back_what_was_written_and_the_same_bytes(tmp_path: Path) -> None:
    kept = kept_set([FIRST, SECOND, OTHER_SPLIT])
    write_kept(tmp_path / "a.parquet", kept)
    again = read_kept(tmp_path / "a.parquet")
    assert again.runs == kept.runs
    assert again.rows.equals(kept.rows)
    write_kept(tmp_path / "b.parquet", again)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


RULES = [
    ThresholdParams(fpr=0.05, f1=False, precision=None),
    ThresholdParams(fpr=None, f1=True, precision=None),
    ThresholdParams(fpr=None, f1=False, precision=PrecisionParams(wanted=0.9, prevalence=0.02)),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_kept_with_its_run(tmp_path: Path, rule: ThresholdParams) -> None:
    kept = kept_set([FIRST], rule=rule)
    write_kept(tmp_path / "a.parquet", kept)
    (run,) = read_kept(tmp_path / "a.parquet").runs
    assert run == kept.runs[0]
    assert run.rule == rule


def test_runs_of_probability_one_half_are_kept_as_they_were_before_rules() -> None:
    (told,) = as_json(kept_set([FIRST]).runs)
    assert set(told) == {"recipe", "seeds", "params", "models"}
    (run,) = from_json(tuple[KeptRun, ...], [told], "old")
    assert run.rule == EVEN_ODDS


@pytest.mark.parametrize(("rule", "shared"), [(RULES[1], True), (RULES[2], False)])
def test_a_column_is_of_one_rule(rule: ThresholdParams, shared: bool) -> None:
    """Equal distances by unlike rules: their thresholds are drawn otherwise."""
    once = kept_set([FIRST], rule=RULES[1])
    facts = once.rows.select("id", "domain", "label", "split 0")
    column = once.runs[0].models["student"].column
    other = KeptRun("other", FIRST, "digest", {"student": KeptModel("", 0.0)}, rule)
    again = with_run(once, other, facts, {"student": once.rows[column].to_numpy()}).runs[1]
    assert (again.models["student"].column == column) == shared


def test_the_order_in_which_runs_came_does_not_matter_to_what_they_say() -> None:
    one, other = kept_set([FIRST, OTHER_SPLIT]), kept_set([OTHER_SPLIT, FIRST])
    assert one.runs == other.runs
    assert one.rows.equals(other.rows.select(one.rows.columns))


def test_students_of_a_teacher_share_its_column() -> None:
    kept = kept_set([FIRST, SECOND])
    first, second = kept.runs
    for model, shared in (("baseline", True), ("teacher", True), ("student", False)):
        assert (first.models[model] == second.models[model]) == shared
    assert len(kept.rows.columns) == 3 + 1 + 2 + 2 * 2


def test_each_split_seed_has_its_own_rows() -> None:
    kept = kept_set([FIRST, OTHER_SPLIT])
    for seeds in (FIRST, OTHER_SPLIT):
        table = prepared("test", seed=seeds.split)
        part = kept.part(seeds.split, "test")
        assert sorted(part["id"]) == sorted(int(row, 16) for row in table["id"])
        column = kept.find("default", seeds).models["student"].column  # type: ignore[union-attr]
        assert part[column].null_count() == 0
    assert kept.find("default", RunSeeds(0, 0, 7)) is None


def test_a_run_that_is_kept_again_replaces_itself() -> None:
    once = kept_set([FIRST, SECOND])
    twice = kept_set([FIRST, SECOND, FIRST])
    assert twice.runs == once.runs
    assert twice.rows.equals(once.rows.select(twice.rows.columns))


def test_without_its_only_run_a_set_is_empty() -> None:
    left = without(kept_set([FIRST]), "default-d0-t0-s0")
    assert left.runs == ()
    assert left.rows.height == 0
    assert left.rows.columns == ["id", "domain", "label"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (1 - pl.col("label"), "have another label or domain"),
        (pl.col("domain") + "x", "have another label or domain"),
        (pl.col("id").str.replace("^0", "f"), "stand in another split"),
    ],
)
def test_other_rows_under_the_same_name_are_refused(changed: pl.Expr, said: str) -> None:
    kept = kept_set([FIRST])
    table = prepared("test").with_columns(changed)
    facts = row_facts(table, "test", 0)
    run = KeptRun("default", SECOND, "digest", {"student": KeptModel("", 0.0)})
    with pytest.raises(MinnowError, match=said):
        with_run(kept, run, facts, {"student": np.zeros(facts.height, np.float16)})


def test_a_file_that_is_missing_names_those_that_are_there(tmp_path: Path) -> None:
    write_kept(tmp_path / "psu.parquet", kept_set([FIRST]))
    with pytest.raises(MinnowError, match=r"pus.parquet is missing; there are psu; `python src/"):
        read_kept(tmp_path / "pus.parquet")


def test_a_damaged_file_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "psu.parquet"
    write_kept(path, kept_set([FIRST]))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(MinnowError, match="is not what was written; `git checkout --"):
        read_kept(path)


@pytest.mark.parametrize("told", [b"", b"[" * 100_000, b"7", b'[{"recipe": 1}]'])
def test_runs_that_are_none_end_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bytes
) -> None:
    monkeypatch.setattr(kept_margins.json, "dumps", lambda *_, **__: told.decode())
    write_kept(tmp_path / "psu.parquet", kept_set([FIRST]))
    with pytest.raises(MinnowError, match=r"^/.*psu\.parquet is not what this version reads: "):
        read_kept(tmp_path / "psu.parquet")


def test_a_table_without_runs_is_none_of_ours(tmp_path: Path) -> None:
    write_table(tmp_path / "psu.parquet", pl.DataFrame({"id": [1]}))
    with pytest.raises(MinnowError, match=r"^/.*psu\.parquet is not what this version reads: "):
        read_kept(tmp_path / "psu.parquet")


def test_columns_that_runs_name_must_be_there(tmp_path: Path) -> None:
    kept = kept_set([FIRST])
    column = kept.runs[0].models["student"].column
    write_kept(tmp_path / "psu.parquet", replace(kept, rows=kept.rows.drop("label", column)))
    with pytest.raises(MinnowError, match=rf"psu\.parquet lacks label, {column}, which its runs"):
        read_kept(tmp_path / "psu.parquet")


def test_twenty_seven_runs_of_psus_size_take_less_than_two_megabytes(tmp_path: Path) -> None:
    """12,247 rows of validation and test: of both real sets together 3 MB are allowed in git."""
    generator = np.random.default_rng(0)
    names = [f"{number}.example" for number in generator.integers(0, 6600, size=12_247)]
    labels = generator.integers(0, 2, size=len(names))
    digests = [f"{row:016x}" for row in generator.integers(0, 2**62, size=len(names))]
    table = pl.DataFrame({"id": digests, "domain": names, "label": labels})
    facts, kept = row_facts(table, "test", 0), KeptSet.empty()
    for number in range(27):
        margins = generator.normal(8 * (labels - 0.5), 2, size=(3, len(names)))
        columns = {
            model: distances(margins[place], 0.0)
            for place, model in enumerate(("student", "quantized"))
        }
        columns["teacher"] = distances(8 * (labels - 0.5) + number // 3 + margins[2] * 0, 0.0)
        models = {model: KeptModel("", 0.0) for model in columns}
        run = KeptRun("default", RunSeeds(0, number // 3, number), "digest", models)
        kept = with_run(kept, run, facts, columns)
    write_kept(tmp_path / "psu.parquet", kept)
    assert (tmp_path / "psu.parquet").stat().st_size < 2e6


def test_a_domain_has_one_digest_on_every_machine() -> None:
    assert f"{domain_digest('example.org'):016x}" == EXAMPLE
