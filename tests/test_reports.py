"""The data behind the plots."""

import itertools

import numpy as np
import polars as pl
import pytest

from minnow import reports
from minnow.metrics import Array
from minnow.reports import CURVE_POINTS, LABEL_NAMES


def example(rows: int) -> tuple[Array, Array]:
    draw = np.random.default_rng(0)
    labels = np.arange(rows) % 2
    logits = draw.normal(size=(rows, 2)).astype(np.float32)
    logits[:, 1] += labels * 1.5
    return logits, labels


def rises(column: pl.Series) -> bool:
    return all(a <= b for a, b in itertools.pairwise(column))


@pytest.mark.parametrize("rows", [6, 5_000])
def test_roc_rises_from_0_to_1(rows: int) -> None:
    table = reports.roc(*example(rows))
    assert 2 <= table.height <= CURVE_POINTS
    assert rises(table["fpr"])
    assert rises(table["tpr"])
    assert table.row(0) == (0.0, 0.0)
    assert table.row(-1) == (1.0, 1.0)


@pytest.mark.parametrize("rows", [6, 5_000])
def test_recall_rises_from_0_to_1(rows: int) -> None:
    table = reports.precision_recall(*example(rows))
    assert 2 <= table.height <= CURVE_POINTS
    assert rises(table["recall"])
    assert table.row(0) == (0.0, 1.0)
    assert table.row(-1) == (1.0, 0.5), "all rows are called phishing, and half of them are"


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    logits, labels = example(5_000)
    table = reports.roc(logits, labels)
    assert table.height == CURVE_POINTS
    area = np.trapezoid(table["tpr"].to_numpy(), table["fpr"].to_numpy())
    positive, negative = (logits[labels == label, 1] - logits[labels == label, 0] for label in (1, 0))
    assert area == pytest.approx((positive[:, None] > negative[None]).mean(), abs=1e-3)


def test_short_curves_are_kept_as_they_are() -> None:
    # Margins, falling: phishing, safe, phishing, safe.
    logits = np.array([[0, 4.0], [0, 3.0], [0, 2.0], [0, 1.0]])
    table = reports.roc(logits, np.array([1, 0, 1, 0]))
    assert table.rows() == [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_confusion_depends_on_the_counts_alone() -> None:
    logits, labels = example(200)
    table = reports.confusion(logits, labels)
    order = np.random.default_rng(1).permutation(200)
    assert table.equals(reports.confusion(logits[order], labels[order]))
    assert not np.array_equal(labels, labels[order])


def test_confusion_by_hand() -> None:
    logits = np.array([[0, 1.0], [1.0, 0], [0, 1.0], [1.0, 0]])
    table = reports.confusion(logits, np.array([1, 1, 0, 0]))
    assert table.rows() == [("phishing", "phishing"), ("phishing", "safe"), ("safe", "phishing"), ("safe", "safe")]
    assert LABEL_NAMES.tolist() == ["safe", "phishing"]


def test_every_model_gets_its_plots_and_all_but_the_teacher_their_agreement() -> None:
    logits, labels = example(20)
    models = {"teacher": logits, "student": logits, "quantized": -logits}
    kinds = ("confusion", "roc", "pr")
    assert set(reports.plot_tables(models, labels)) == {f"{kind}_{model}" for kind in kinds for model in models}
    agreement = reports.agreement_with_teacher(models, labels)
    assert {model: values["changed"] for model, values in agreement.items()} == {"student": 0, "quantized": 20}
