"""Keeping a run's margins, and their statistics, by command: made-up checkouts."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.paths import ROOT
from helpers.pipeline import edit
from helpers.study import write_run
from minnow.core.files import read_json, write_json
from minnow.core.params import ThresholdParams, read_params
from minnow.errors import MinnowError
from minnow.experiments.kept_margins import RunSeeds, read_kept
from minnow.layout import JUDGED, Layout
from minnow.tools import keep, statistics

BEST_F1 = ThresholdParams(fpr=None, f1=True, precision=None)


@pytest.fixture
def checkout(tmp_path: Path) -> Layout:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return write_run(tmp_path, RunSeeds(0, 0, 0))


def set_seeds(root: Path, seeds: RunSeeds) -> None:
    embedded = "presets__embedded__"
    changes = {f"{embedded}data__seed": seeds.split, f"{embedded}teacher__seed": seeds.teacher}
    edit(root, **changes, distill__seed=seeds.student)


def test_runs_are_kept_under_their_seeds(checkout: Layout, capsys: Any) -> None:
    keep.main(checkout.root, "mine")
    for seeds in (RunSeeds(0, 0, 1), RunSeeds(0, 1, 100)):
        set_seeds(checkout.root, seeds)
        write_run(checkout.root, seeds)
        keep.main(checkout.root, "mine")
    assert "kept default-d0-t1-s100" in capsys.readouterr().out
    kept = read_kept(checkout.kept_margins("mine"))
    assert [run.name for run in kept.runs] == [
        "default-d0-t0-s0",
        "default-d0-t0-s1",
        "default-d0-t1-s100",
    ]
    assert len({run.params for run in kept.runs}) == 1


def test_decisions_are_those_at_the_models_threshold(checkout: Layout) -> None:
    edit(checkout.root, evaluate__threshold__f1=True)
    write_run(checkout.root, RunSeeds(0, 0, 0), BEST_F1)
    keep.main(checkout.root, "mine")
    (run,) = read_kept(checkout.kept_margins("mine")).runs
    assert run.rule == BEST_F1
    assert len({model.threshold for model in run.models.values()} - {0.0}) == len(JUDGED)
    statistics.main(checkout.root)
    told = read_json(checkout.results / "mine_study.json")
    scores = {each["column"]: each["f1"]["value"] for each in told["kept_scores"]}
    for model, kept in run.models.items():
        assert scores[kept.column] == read_json(checkout.metrics(model))["f1"]


def test_thresholds_that_another_rule_set_are_refused(checkout: Layout) -> None:
    """Drawn by the rule of params.yaml, intervals would be those of another run."""
    write_run(checkout.root, RunSeeds(0, 0, 0), BEST_F1)
    with pytest.raises(MinnowError, match=r"says threshold .* of baseline, and evaluate.threshold"):
        keep.main(checkout.root, "mine")
    assert not checkout.kept_margins("mine").exists()


def test_other_params_have_another_digest_and_idle_ones_do_not(checkout: Layout) -> None:
    def digest(**changes: object) -> str:
        edit(checkout.root, **changes)
        return keep.params_digest(read_params(checkout.params))

    first = digest()
    assert digest(distill__seed=7, compare__model="teacher") == first
    assert digest(evaluate__margin=0.01) == first
    assert digest(export__mode="fast") == digest(export__mode="none") == first
    assert digest(presets__hub__teacher__max_length=64) == first
    assert digest(evaluate__validation_extra="data/raw/embedded/other.csv") != first
    assert digest(evaluate__validation_extra=None, distill__temperature=4.0) != first


def test_a_param_that_is_not_used_is_as_if_it_were_not_there(checkout: Layout) -> None:
    """Runs of before it came are of the same recipe."""
    document = read_params(checkout.params)
    with_more = {**document, "distill": {**document["distill"], "newcomer": None}}
    assert keep.params_digest(with_more) == keep.params_digest(document)


@pytest.mark.parametrize("name", ["", "../psu", "a b", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(checkout: Layout, name: str) -> None:
    with pytest.raises(MinnowError, match=r"NAME is .*; give 1 to 64 letters"):
        keep.main(checkout.root, name)
    with pytest.raises(MinnowError, match="RECIPE is"):
        keep.main(checkout.root, "mine", name or "ü")


@pytest.mark.parametrize("name", ["../psu", "a b", "x" * 65])
def test_statistics_of_a_name_that_is_no_file_name_are_refused(checkout: Layout, name: str) -> None:
    with pytest.raises(MinnowError, match=r"^NAME is .*; give 1 to 64 letters"):
        statistics.main(checkout.root, name)


def test_metrics_of_another_run_are_refused(checkout: Layout) -> None:
    write_json(checkout.metrics("student"), {"f1": 0.1234})
    with pytest.raises(MinnowError, match=r"says F1 0.1234, and the logits give .* different runs"):
        keep.main(checkout.root, "mine")
    assert not checkout.kept_margins("mine").exists()


def test_statistics_of_nothing_say_how_to_keep_something(checkout: Layout) -> None:
    with pytest.raises(MinnowError, match=r"holds no margins; `python src/stage.py keep NAME`"):
        statistics.main(checkout.root)
    keep.main(checkout.root, "mine")
    with pytest.raises(MinnowError, match=r"yours.parquet is missing; there are mine"):
        statistics.main(checkout.root, "yours")


def test_statistics_are_the_same_bytes_every_time(checkout: Layout) -> None:
    keep.main(checkout.root, "mine")
    target = checkout.results / "mine_study.json"
    statistics.main(checkout.root, "mine")
    once = target.read_bytes()
    statistics.main(checkout.root)
    assert target.read_bytes() == once
