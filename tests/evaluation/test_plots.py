"""The data behind the plots."""

import itertools

import numpy as np
import polars as pl
import pytest

from minnow.evaluation import metrics, plots
from minnow.evaluation.evidence import Outcome
from minnow.evaluation.metrics import Array
from minnow.evaluation.plots import CURVE_POINTS, LABEL_NAMES
from minnow.layout import HOPS, JUDGED


def example(rows: int) -> tuple[Array, Array]:
    """Return margins and labels."""
    labels = np.arange(rows) % 2
    return np.random.default_rng(0).normal(size=rows) * 1.4 + labels * 1.5, labels


def outcome(margins: Array, threshold: float = 0.0) -> Outcome:
    return Outcome(margins, margins, threshold)


def rises(column: pl.Series) -> bool:
    return all(a <= b for a, b in itertools.pairwise(column))


@pytest.mark.parametrize("rows", [6, 5_000])
def test_roc_rises_from_0_to_1(rows: int) -> None:
    table = plots.roc(*example(rows))
    assert 2 <= table.height <= CURVE_POINTS
    assert rises(table["fpr"])
    assert rises(table["tpr"])
    assert table.row(0) == (0.0, 0.0)
    assert table.row(-1) == (1.0, 1.0)


@pytest.mark.parametrize("rows", [6, 5_000])
def test_recall_rises_from_0_to_1(rows: int) -> None:
    table = plots.precision_recall(*example(rows))
    assert 2 <= table.height <= CURVE_POINTS
    assert rises(table["recall"])
    assert table.row(0) == (0.0, 1.0)
    assert table.row(-1) == (1.0, 0.5), "all rows are called phishing, and half of them are"


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    margins, labels = example(5_000)
    table = plots.roc(margins, labels)
    assert table.height == CURVE_POINTS
    area = np.trapezoid(table["tpr"].to_numpy(), table["fpr"].to_numpy())
    positive, negative = (margins[labels == label] for label in (1, 0))
    assert area == pytest.approx((positive[:, None] > negative[None]).mean(), abs=1e-3)


def test_short_curves_are_kept_as_they_are() -> None:
    table = plots.roc(np.array([4.0, 3.0, 2.0, 1.0]), np.array([1, 0, 1, 0]))
    assert table.rows() == [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]


def test_confusion_depends_on_the_counts_alone() -> None:
    margins, labels = example(200)
    table = plots.confusion(outcome(margins), labels)
    order = np.random.default_rng(1).permutation(200)
    assert table.equals(plots.confusion(outcome(margins[order]), labels[order]))
    assert not np.array_equal(labels, labels[order])


def test_confusion_by_hand_at_the_models_own_threshold() -> None:
    margins, labels = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1, 1, 0, 0])
    table = plots.confusion(outcome(margins), labels)
    assert table.rows() == [
        ("phishing", "phishing"),
        ("phishing", "safe"),
        ("safe", "phishing"),
        ("safe", "safe"),
    ]
    assert set(plots.confusion(outcome(margins, 2.0), labels)["predicted"]) == {"safe"}
    assert LABEL_NAMES.tolist() == ["safe", "phishing"]


def test_calibration_table_has_the_bins_of_the_error() -> None:
    margins, labels = example(3_000)
    table = plots.calibration(margins, labels)
    assert (table.height, table["rows"].sum()) == (metrics.ECE_BINS, 3_000)
    error = ((table["probability"] - table["observed"]).abs() * table["rows"]).sum() / 3_000
    assert error == pytest.approx(metrics.expected_calibration_error(margins, labels), abs=1e-4)


def test_shift_by_hand() -> None:
    # Probabilities 0.5, 0.5, 0.5 → 0.5, 0.5, 1: two rows stay, one moves up by a half.
    table = plots.shift(np.zeros(3), np.array([0.0, 0.0, 50.0]))
    moved = {row["dp"]: row["share"] for row in table.to_dicts() if row["share"]}
    assert moved == {0.0: 0.6667, 0.4878: 0.3333}
    assert table["share"].sum() == pytest.approx(1, abs=1e-3)
    assert not [dp for dp in table["dp"] if str(dp) == "-0.0"]


def test_sizes_by_part_leave_out_the_total() -> None:
    table = plots.size_by_part(
        {"student": {"body": 2_500_000, "head": 500_000, "total": 3_000_000}}
    )
    assert table.rows() == [("student", "body", 2.5), ("student", "head", 0.5)]


SIZES = {"teacher": {"body": 1, "total": 1}}
SLICES = pl.DataFrame({"slice": ["path: with path"], "model": ["teacher"], "score": [0.5]})


def tables_of(rows: int) -> tuple[dict[str, Outcome], Array, dict[str, pl.DataFrame]]:
    """Return outcomes that differ by model, labels, and the tables of their figures."""
    margins, labels = example(rows)
    outcomes = {
        model: outcome(margins * (1 + number) - number, threshold=number / 10)
        for number, model in enumerate(JUDGED)
    }
    return outcomes, labels, plots.plot_tables(outcomes, labels, SIZES, SLICES)


def test_a_figure_has_one_table_with_its_models_in_order() -> None:
    outcomes, labels, tables = tables_of(20)
    assert set(tables) == {"roc", "pr", "calibration", "confusion", "shift", "sizes", "slices"}
    for name in ("roc", "pr", "calibration", "confusion"):
        assert tables[name].columns[0] == "model"
        assert tables[name]["model"].unique(maintain_order=True).to_list() == list(JUDGED)
    for model, result in outcomes.items():
        own = {
            "roc": plots.roc(result.test, labels),
            "pr": plots.precision_recall(result.test, labels),
            "calibration": plots.calibration(result.test, labels),
            "confusion": plots.confusion(result, labels),
        }
        for name, table in own.items():
            assert tables[name].filter(model=model).drop("model").equals(table), (name, model)
    assert tables["sizes"].equals(plots.size_by_part(SIZES))
    assert tables["slices"].equals(SLICES)


def test_the_table_of_shifts_has_every_hop_by_both_its_ends() -> None:
    outcomes, _, tables = tables_of(20)
    hops = tables["shift"].select("before", "after").unique(maintain_order=True)
    assert hops.rows() == list(HOPS)
    for before, after in HOPS:
        own = tables["shift"].filter(before=before, after=after).select("dp", "share")
        assert own.equals(plots.shift(outcomes[before].test, outcomes[after].test))
