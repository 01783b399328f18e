"""The bootstrap: every weighted estimate against scikit-learn on the rows themselves, and what
intervals promise.
"""

from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as sk

from minnow.evaluation import bootstrap, metrics, units
from minnow.evaluation.bootstrap import Ranked
from minnow.evaluation.metrics import Array
from minnow.evaluation.units import JudgedRows, Units


def example(rows: int, *, seed: int = 0, ties: bool = False) -> tuple[Array, Array]:
    """Return margins and labels of a middling classifier."""
    draw = np.random.default_rng(seed)
    labels = (draw.random(rows) < 0.4).astype(np.int64)
    margins = draw.normal(size=rows) * 2 + 3 * labels - 1.5
    return (np.round(margins) if ties else margins), labels


def alone(labels: Array) -> JudgedRows:
    """Rows that are units of their own."""
    return JudgedRows(labels, Units.rows(len(labels)))


def in_units(labels: Array, *, seed: int) -> JudgedRows:
    """Rows in half as many units, some of which are large."""
    numbers = np.random.default_rng(seed).random(len(labels)) ** 2 * len(labels) / 2
    kept, of = np.unique(numbers.astype(int), return_inverse=True)
    return JudgedRows(labels, Units(of.astype(np.int32), len(kept), kept.astype(str)))


def numbers(found: dict[str, Array]) -> dict[str, float]:
    """Metrics with the calibration error in place of its gaps."""
    gaps = found.pop("gaps")
    return {**{name: float(value) for name, value in found.items()}, "ece": np.abs(gaps).sum()}


def reference(margins: Array, labels: Array, threshold: float) -> dict[str, float]:
    """Return the same estimates from scikit-learn."""
    guesses = margins > threshold
    return {
        "roc_auc": sk.roc_auc_score(labels, margins),
        "average_precision": sk.average_precision_score(labels, margins),
        "brier": sk.brier_score_loss(labels, metrics.probability(margins)),
        "ece": metrics.expected_calibration_error(margins, labels),
        "accuracy": sk.accuracy_score(labels, guesses),
        "f1": sk.f1_score(labels, guesses),
        "tpr": sk.recall_score(labels, guesses),
        "fpr": np.mean(guesses[labels == 0]),
        "high": sk.recall_score(labels, margins > 1.0),
        "high" + bootstrap.FPR: np.mean(margins[labels == 0] > 1.0),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("rows", [12, 60, 900])
def test_estimates_on_the_rows_themselves_equal_scikit_learn(rows: int, ties: bool) -> None:
    margins, labels = example(rows, ties=ties)
    found = bootstrap.point(margins, alone(labels), {"decision": 0.0, "high": 1.0})
    assert numbers(found) == pytest.approx(reference(margins, labels, 0.0), abs=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_estimates_of_a_resample_equal_scikit_learn_on_its_rows(ties: bool) -> None:
    """A row counts as often as its unit was drawn; the bins of the calibration error alone stay
    those of the rows as they are.
    """
    margins, labels = example(150, ties=ties)
    rows = in_units(labels, seed=2)
    weights = next(units.draws(rows.units.count, resamples=20, seed=1))
    at = {"decision": 0.5, "high": 1.0}
    found = bootstrap.estimates(Ranked.of(margins, rows), weights, at)
    bins = metrics.bin_of(margins)
    for number in range(20):
        drawn = np.repeat(np.arange(len(labels)), weights[rows.units.of, number])
        wanted = reference(margins[drawn], labels[drawn], 0.5)
        off = metrics.probability(margins[drawn]) - labels[drawn]
        wanted["ece"] = np.abs(np.bincount(bins[drawn], weights=off)).sum() / len(drawn)
        here = numbers({name: values[number] for name, values in found.items()})
        assert here == pytest.approx(wanted, abs=1e-12)


def test_the_order_of_the_rows_does_not_matter() -> None:
    margins, labels = example(300, ties=True)
    order = np.random.default_rng(3).permutation(300)
    thresholds = {"decision": 0.0}
    found = bootstrap.point(margins[order], alone(labels[order]), thresholds)
    assert numbers(found) == pytest.approx(
        numbers(bootstrap.point(margins, alone(labels), thresholds)), abs=1e-12
    )


@pytest.mark.parametrize("threshold", [-100.0, 100.0])
def test_thresholds_beyond_all_rows(threshold: float) -> None:
    margins, labels = example(80)
    found = bootstrap.point(margins, alone(labels), {"decision": threshold})
    assert found["f1"] == pytest.approx(sk.f1_score(labels, margins > threshold, zero_division=0))
    assert found["accuracy"] == pytest.approx(np.mean((margins > threshold) == labels))


def test_many_margins_share_groups_and_hardly_anything_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The bounds that the module names, at 64 groups rather than 65,536; what a fixed threshold
    does stays exact.
    """
    margins, labels = example(3_000)
    rows = in_units(labels, seed=2)
    weights = next(units.draws(rows.units.count, resamples=20, seed=1))
    at = {"decision": 0.25, "high": 1.0}
    exact = bootstrap.estimates(Ranked.of(margins, rows), weights, at)
    monkeypatch.setattr(bootstrap, "GROUPS", 64)
    ranked = Ranked.of(margins, rows, (0.25,))
    assert len(ranked.margins) <= 65
    found = bootstrap.estimates(ranked, weights, at)
    counts = bootstrap.Counts.of(ranked, weights)
    bound = (counts.safe / counts.negative * counts.phishing / counts.positive).sum(axis=0) / 2
    assert (np.abs(found["roc_auc"] - exact["roc_auc"]) <= bound + 1e-12).all()
    assert bound.max() < 2 / 64
    for name in ("accuracy", "f1", "tpr", "fpr"):
        assert np.array_equal(found[name], exact[name]), name
    largest = ((counts.safe + counts.phishing) / counts.positive).max(axis=0)
    assert (np.abs(found["high"] - exact["high"]) <= largest).all()
    assert np.abs(found["brier"] - exact["brier"]).max() < 0.002
    assert np.abs(found["gaps"] - exact["gaps"]).max() < 0.01


def test_no_group_stands_on_both_sides_of_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a cut that falls where one group ends anyway."""
    monkeypatch.setattr(bootstrap, "GROUPS", 8)
    margins = np.arange(40.0)
    for cut in margins + 0.5:
        highest, group = bootstrap.groups_of(margins, (cut,))
        for each in range(len(highest)):
            assert len(set(margins[group == each] > cut)) == 1, (cut, each)


def test_what_is_told_of_the_rows_is_exact_at_its_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However few groups there are."""
    monkeypatch.setattr(bootstrap, "GROUPS", 8)
    margins, labels = example(400)
    found = numbers(bootstrap.point(margins, alone(labels), {"decision": 0.3}))
    expected = reference(margins, labels, 0.3)
    assert (found["f1"], found["accuracy"]) == pytest.approx(
        (expected["f1"], expected["accuracy"]), abs=1e-12
    )


def test_each_resample_is_judged_at_its_own_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resamples are drawn some at a time, and thresholds go with them."""
    monkeypatch.setattr(units, "AT_ONCE", 7)
    margins, labels = example(200)
    rows = in_units(labels, seed=4)
    models = {"m": Ranked.of(margins, rows)}
    cuts = np.random.default_rng(1).normal(size=20)

    def drawn(at: float | Array) -> Array:
        found = bootstrap.bootstrap(
            models, {"m": {"decision": at}}, rows.units.count, resamples=20, seed=0
        )
        return found["m"]["f1"]

    one_by_one = [drawn(float(at))[place] for place, at in enumerate(cuts)]
    assert np.array_equal(drawn(cuts), one_by_one)


def test_what_a_resample_without_phishing_leaves_undefined_is_left_out() -> None:
    margins, labels = example(30)
    labels[:] = 0
    labels[0] = 1
    rows = alone(labels)
    models = {"m": Ranked.of(margins, rows)}
    found = bootstrap.bootstrap(models, {"m": {"decision": 0.0}}, 30, resamples=200, seed=0)["m"]
    empty = np.isnan(found["roc_auc"])
    assert 40 < empty.sum() < 110, "as often as the one phishing row is not drawn: 1 / e"
    for name in ("f1", "tpr", "average_precision"):
        assert np.array_equal(np.isnan(found[name]), empty), name
    assert not np.isnan(found["accuracy"]).any()
    assert np.isfinite(bootstrap.interval(found["f1"])).all()


def test_models_share_their_resamples() -> None:
    margins, labels = example(200)
    rows = in_units(labels, seed=4)
    models = {"one": Ranked.of(margins, rows), "same": Ranked.of(margins.copy(), rows)}
    thresholds = {name: {"decision": 0.0} for name in models}
    found = bootstrap.bootstrap(models, thresholds, rows.units.count, resamples=40, seed=0)
    for metric, values in found["one"].items():
        assert np.array_equal(values, found["same"][metric]), metric
        assert len(values) == 40


def test_an_interval_is_made_of_percentiles() -> None:
    values = np.arange(1001.0)[::-1].copy()
    assert bootstrap.interval(values) == pytest.approx((25.0, 975.0))


def test_more_rows_narrow_the_interval_with_their_root() -> None:
    widths = []
    for count in (400, 1_600, 6_400):
        margins, labels = example(count)
        models = {"model": Ranked.of(margins, alone(labels))}
        found = bootstrap.bootstrap(
            models, {"model": {"decision": 0.0}}, count, resamples=400, seed=0
        )
        low, high = bootstrap.interval(found["model"]["f1"])
        widths.append(high - low)
    assert [one / other for one, other in pairwise(widths)] == pytest.approx([2, 2], rel=0.3)


def test_rows_that_go_together_widen_the_interval() -> None:
    """Each row ten times over knows no more than once."""
    margins, labels = example(200)
    once, tenfold = alone(labels), np.repeat(np.arange(200), 10)
    together = JudgedRows(labels[tenfold], Units(tenfold.astype(np.int32), 200, None))
    intervals = [
        bootstrap.interval(
            bootstrap.bootstrap(
                {"m": Ranked.of(each, rows)},
                {"m": {"decision": 0.0}},
                rows.units.count,
                resamples=300,
                seed=0,
            )["m"]["f1"]
        )
        for each, rows in ((margins, once), (margins[tenfold], together))
    ]
    assert intervals[0] == pytest.approx(intervals[1], abs=1e-12)


def test_a_difference_is_wider_where_few_units_hold_many_rows() -> None:
    """Of k equal units t with k − 1 degrees of freedom, and √(k / (k − 1)) for what resamples lack;
    one large unit among many small ones counts as two.
    """
    ten, two = (10 / 9) ** 0.5 * 2.2622 / 1.96, 2**0.5 * 12.706 / 1.96
    large = Units(np.append(np.zeros(100), np.arange(1, 51)).astype(np.int32), 51, None)
    for given, factor in [(Units.rows(10), ten), (large, two), (Units.rows(5_000), 1.0)]:
        found = bootstrap.stretched(0.5, np.array([0.5, 0.6]), given)
        assert found == pytest.approx([0.5, 0.5 + 0.1 * factor], abs=1e-3)
