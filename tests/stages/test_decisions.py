"""What chooses and decides, from params.yaml to the files: rare phishing, rules for the threshold,
and a split by time, in real stages on small projects.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from helpers.stage import FILE, TRAINING, edit, new_project
from minnow.core.files import read_json
from minnow.core.params import ThresholdParams
from minnow.core.tables import read_table
from minnow.core.thresholds import decision_threshold
from minnow.data import synthetic
from minnow.evaluation import inputs, metrics, slices
from minnow.evaluation.months import by_month
from minnow.evaluation.outcomes import Outcome
from minnow.evaluation.units import JudgedRows
from minnow.layout import HOPS, Layout
from minnow.stages import prepare, teacher, teacher_eval, teacher_logits

AT_F1 = ThresholdParams(fpr=None, f1=True, precision=None)
BUILD = {
    "architecture": "bert",
    "layers": 1,
    "heads": 2,
    "hidden_size": 32,
    "intermediate_size": 32,
    "dropout": 0.1,
}
SMALL = {
    "runtime.device": "cpu",
    "runtime.precision": "float32",
    "runtime.threads": 1,
    "teacher.base": None,
    "teacher.revision": None,
    "teacher.build": BUILD,
    "teacher.vocabulary": 300,
    "teacher.max_length": 16,
    "teacher.training": {**TRAINING, "epochs": 2},
}


def rare(root: Path, rules: dict[str, Any], training: dict[str, Any]) -> Layout:
    """Run the stages of a teacher on rows of which one in twenty is phishing."""
    project = new_project(root, "file")
    texts, labels = synthetic.generate(1200, seed=0, label_noise=0.0)
    rows = pl.DataFrame({"url": texts, "label": labels})
    safe, phishing = (rows.filter(pl.col("label") == label) for label in (0, 1))
    pl.concat([safe, phishing.head(32)]).write_csv(project / FILE)
    edit(project, SMALL, "file")
    edit(project, rules)
    edit(project, {f"teacher.training.{key}": value for key, value in training.items()}, "file")
    for stage in (prepare, teacher, teacher_logits, teacher_eval):
        stage.main(project)
    return Layout(project)


def test_where_nothing_passes_one_half_a_warning_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = rare(tmp_path / "project", {}, {})
    found = read_json(layout.metrics("teacher"))
    assert found["validation_f1"] == found["f1"] == 0.0
    assert "validation_score" not in found
    said = capsys.readouterr().err
    assert "warning: teacher: F1 on validation is 0 in every epoch" in said
    assert "set evaluate.threshold.f1 to true or training.class_weight to balanced" in said


def test_at_the_best_cut_with_weights_the_same_teacher_finds_phishing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = rare(
        tmp_path / "project",
        {"evaluate.threshold.f1": True, "select": "average_precision"},
        {"class_weight": "balanced", "label_smoothing": 0.05, "accumulate": 4, "patience": 1},
    )
    found = read_json(layout.metrics("teacher"))
    labels = inputs.labels_of(layout, "validation")
    margins = metrics.margins_of(inputs.logits(layout, "teacher", "validation"))
    cut = decision_threshold(margins, labels, AT_F1)
    assert found["validation_f1"] == metrics.classification(margins, labels, cut).f1 > 0
    assert 0 < found["validation_score"] <= 1
    assert "F1 on validation is 0" not in capsys.readouterr().err


def test_the_months_of_test_are_slices(tmp_path: Path) -> None:
    project = new_project(tmp_path / "project", "file")
    texts, labels = synthetic.generate(600, seed=0, label_noise=0.0)
    days = [date(2026, 1, 1) + timedelta(days=row // 3) for row in range(600)]
    pl.DataFrame({"url": texts, "label": labels, "seen": days}).write_csv(project / FILE)
    edit(project, {"data.split": "time", "data.time_column": "seen"}, "file")
    prepare.main(project)
    layout = Layout(project)
    test, train = (read_table(layout.split(name)) for name in ("test", "train"))
    actual = np.asarray(test["label"].to_numpy())
    models = {name: Outcome(actual - 0.5, actual - 0.5, 0.0) for name in ("teacher", "quantized")}
    rows = JudgedRows.of(test, None)
    found = slices.report(slices.cut(test, train["domain"]), rows, models, HOPS).slices
    months = {one.value: one.rows for one in found if one.slice == "month"}
    assert months == dict(test["time"].dt.strftime("%Y-%m").value_counts().sort("time").rows())
    assert list(months)[-1] == "2026-07"
    told = by_month(test, actual, models)
    assert {one.month: one.rows for one in told} == months
    assert all(set(one.f1.values()) | set(one.recall.values()) == {1.0} for one in told)
    assert not set(test["domain"]) & set(train["domain"])
