"""The exported model as one more of every table, in the run that has one."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from minnow.core.exports import judged_models
from minnow.core.files import read_json, write_json, write_manifest
from minnow.core.params import EVEN_ODDS
from minnow.core.tables import write_logits, write_table
from minnow.errors import MinnowError
from minnow.evaluation.other_sets import Judging
from minnow.evaluation.outcomes import Method
from minnow.layout import (
    AGAINST_BASELINE,
    EVERY_MODEL,
    EXPORT_HOPS,
    HOPS,
    JUDGED,
    Layout,
    hops_among,
)
from minnow.stages import compare

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


def test_its_threshold_and_hops_are_its_own(tmp_path: Path) -> None:
    """Equal to the quantized model's but on three rows of test, all of them for the worse."""
    layout = Layout(tmp_path)
    drawn = np.random.default_rng(0)
    for split in ("validation", "test"):
        labels = drawn.integers(0, 2, 400)
        ids = [f"{split}{row}" for row in range(400)]
        domains = [f"{row}.org" for row in range(400)]
        write_table(
            layout.split(split),
            pl.DataFrame({"id": ids, "label": labels}).with_columns(domain=pl.Series(domains)),
        )
        margins = drawn.normal(size=400) + 3.0 * (2 * labels - 1)
        for model in EVERY_MODEL:
            own = margins.copy()
            if (model, split) == ("exported", "test"):
                own[np.flatnonzero((labels == 1) & (margins > 0))[:3]] = -1.0
            logits = np.stack([np.zeros(400), own], axis=1).astype(np.float32)
            write_logits(layout.logits_of(model, split), ids, logits)
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
    assert math.isfinite(outcomes["exported"].threshold)


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
