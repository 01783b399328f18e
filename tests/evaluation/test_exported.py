"""The exported model as one more of every table, in the run that has one."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from helpers.stage import edit, new_project
from minnow.core.exports import judged_models
from minnow.core.files import read_json, write_json, write_manifest
from minnow.core.params import EVEN_ODDS, ThresholdParams
from minnow.core.tables import read_table, write_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation import calibration, findings, metrics
from minnow.evaluation.other_sets import Judging, on_extra_sets
from minnow.evaluation.outcomes import Method
from minnow.layout import (
    AGAINST_BASELINE,
    BASELINE,
    EVERY_MODEL,
    EXPORT_HOPS,
    HOPS,
    JUDGED,
    Layout,
    hops_among,
)
from minnow.stages import compare, evaluate

METHOD = Method(0.005, 1000, 0, ())


def with_mode(root: Path, mode: str) -> Layout:
    layout = Layout(root)
    layout.model("exported").mkdir(parents=True)
    write_manifest(layout.model("exported"), {"mode": mode})
    return layout


def test_hops_are_those_between_models_that_there_are() -> None:
    assert hops_among(JUDGED) == HOPS
    assert hops_among(EVERY_MODEL) == (*HOPS, *EXPORT_HOPS)
    assert hops_among(("teacher", "student")) == (("teacher", "student"),)


@pytest.mark.parametrize(
    ("mode", "models"), [("exact", EVERY_MODEL), ("fast", EVERY_MODEL), ("none", JUDGED)]
)
def test_a_run_judges_what_it_exported(tmp_path: Path, mode: str, models: tuple[str, ...]) -> None:
    assert judged_models(with_mode(tmp_path, mode)) == models


def test_where_nothing_was_run_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(MinnowError, match="dvc repro"):
        judged_models(Layout(tmp_path))


def write_rows(layout: Layout) -> None:
    """Write logits of all models on two splits and a further test set, equal but for the exported
    model's: its margins are 1 higher on validation, and three of its rows of test and ten of the
    further set are wrong.
    """
    drawn = np.random.default_rng(0)
    for split, wrong in (("validation", 0), ("test", 3), ("feed", 10)):
        labels = drawn.integers(0, 2, 400)
        rows = pl.DataFrame(
            {
                "id": [f"{split}{row}" for row in range(400)],
                "label": labels,
                "domain": [f"{row}.org" for row in range(400)],
            }
        )
        margins = drawn.normal(size=400) + 3.0 * (2 * labels - 1)
        if split != "feed":
            write_table(layout.split(split), rows)
        for model in EVERY_MODEL:
            own = margins.copy()
            if model == "exported":
                own += split == "validation"
                own[np.flatnonzero((labels == 1) & (margins > 1))[:wrong]] = -1.0
            write_logits_of(layout, model, split, rows, own)


def write_logits_of(
    layout: Layout, model: str, split: str, rows: pl.DataFrame, margins: metrics.Array
) -> None:
    logits = np.stack([np.zeros(len(margins)), margins], axis=1).astype(np.float32)
    if split == "feed":
        columns = {f"logit_{place}": logits[:, place] for place in (0, 1)}
        write_table(layout.extra_set(model, split), rows.with_columns(**columns))
    else:
        write_logits(layout.logits_of(model, split), rows["id"].to_list(), logits)


def test_its_hops_are_its_own(tmp_path: Path) -> None:
    """Equal to the quantized model's but on three rows of test, all of them for the worse."""
    layout = Layout(tmp_path)
    write_rows(layout)
    judging = Judging(layout, METHOD, "row", EVEN_ODDS)
    outcomes = {model: judging.outcome(model) for model in EVERY_MODEL}
    found = judging.assess(outcomes, judging.rows("test"))
    assert [(hop.before, hop.after) for hop in found.hops] == [
        *HOPS,
        *EXPORT_HOPS,
        *AGAINST_BASELINE,
    ]
    changed = {(hop.before, hop.after): (hop.worse, hop.better) for hop in found.hops}
    assert changed["quantized", "exported"] == changed["teacher", "exported"] == (3, 0)
    assert changed["teacher", "quantized"] == (0, 0)
    assert found.models["exported"].f1.value < found.models["quantized"].f1.value


def test_its_threshold_and_temperature_are_of_its_own_logits_of_validation(tmp_path: Path) -> None:
    """Its margins are 1 higher there, and so is the threshold that gives the best F1."""
    layout = Layout(tmp_path)
    write_rows(layout)
    rule = ThresholdParams(fpr=None, f1=True, precision=None)
    judging = Judging(layout, METHOD, "row", rule)
    outcomes = {model: judging.outcome(model) for model in EVERY_MODEL}
    assert outcomes["exported"].threshold == pytest.approx(outcomes["quantized"].threshold + 1)
    rows = {split: judging.rows(split) for split in ("validation", "test")}
    found = findings.calibration_report(outcomes, rule=rule, **rows).models
    for model, outcome in outcomes.items():
        assert found[model].decision.threshold == pytest.approx(outcome.threshold, abs=1e-4)
        own = calibration.fit_temperature(outcome.validation, rows["validation"].labels)
        assert found[model].temperature == pytest.approx(own, abs=1e-4)
    assert found["exported"].temperature != found["quantized"].temperature


def test_on_a_further_test_set_it_is_judged_by_its_own_logits(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write_rows(layout)
    facts = {
        "file": "data/raw/feed.csv",
        "rows_read": 400,
        "kept": {"safe": 200, "phishing": 200},
        "removed_seen": 0,
        "dropped": {},
        "leak": 0.0,
    }
    write_json(layout.extra_report(BASELINE), {"feed": facts})
    judging = Judging(layout, METHOD, "row", EVEN_ODDS)
    outcomes = {model: judging.outcome(model) for model in EVERY_MODEL}
    found = on_extra_sets(judging, outcomes, judging.assess(outcomes, judging.rows("test")))
    hops = {(hop.before, hop.after): (hop.worse, hop.better) for hop in found["feed"].hops}
    assert hops["quantized", "exported"] == (10, 0)


@pytest.mark.parametrize("mode", ["exact", "none"])
def test_evaluate_writes_its_own_headline_or_none(tmp_path: Path, mode: str) -> None:
    """On test three of its rows are wrong, and its size is that of its own folder."""
    layout = Layout(new_project(tmp_path))
    edit(layout.root, {"evaluate.resamples": 1000})
    write_rows(layout)
    write_table(layout.split("train"), read_table(layout.split("validation")))
    for split in ("validation", "test"):
        rows = read_table(layout.split(split))
        write_table(layout.split(split), rows.with_columns(text=pl.col("domain")))
    for place, model in enumerate(EVERY_MODEL, 1):
        folder = layout.model(model)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(bytes(1000 * place))
        parts = {"body": 0, "other": 1000 * place}
        write_manifest(folder, {"parameters": 9, "bytes_by_part": parts, "mode": mode})
        write_json(layout.extra_report(model), {})
    evaluate.main(layout.root)
    found = {model: read_json(layout.metrics(model)) for model in ("quantized", "exported")}
    judged = read_json(layout.evidence("intervals"))["models"]
    assert set(judged) == {*judged_models(layout)}
    assert (found["exported"] == {}) == (mode == "none")
    if mode == "exact":
        assert found["exported"]["f1"] == judged["exported"]["f1"]["value"]
        assert found["exported"]["f1"] < found["quantized"]["f1"]
        assert found["exported"]["size_mb"] == 0.005


@pytest.mark.parametrize("model", ["teacher", "exported"])
def test_compare_takes_any_model_that_has_metrics(tmp_path: Path, model: str) -> None:
    layout = Layout(tmp_path)
    params: dict[str, Any] = {"preset": "embedded", "presets": {"embedded": {}}}
    write_json(layout.params, {**params, "compare": {"model": model}})
    write_json(layout.metrics(model), {"f1": 0.5})
    compare.main(tmp_path)
    assert read_json(layout.metrics("candidate")) == {"f1": 0.5}


def test_compare_refuses_a_model_that_was_not_exported(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    params: dict[str, Any] = {"preset": "embedded", "presets": {"embedded": {}}}
    write_json(layout.params, {**params, "compare": {"model": "exported"}})
    write_json(layout.metrics("exported"), {})
    with pytest.raises(MinnowError, match=r"export\.mode"):
        compare.main(tmp_path)
    assert not layout.metrics("candidate").exists()
